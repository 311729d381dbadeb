"""Splits in which each image is there as often as it is drawn: what resampling by weights is held against."""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]
Split = tuple[Arrays, Arrays]


def rows_repeated(split: Split, weights: np.ndarray) -> Split:
    """Each image as often as its weight says, each copy with an id of its own."""
    rows = np.repeat(np.arange(len(weights)), weights)
    ids = np.array([f"{place:06}" for place in range(len(rows))])

    def picked(arrays: Arrays) -> Arrays:
        kept = {name: column if name == "classes" else column[rows] for name, column in arrays.items()}
        return kept | {"ids": ids}

    return picked(split[0]), picked(split[1])


def parts_repeated(split: Split, weights: np.ndarray) -> Split:
    """As `rows_repeated`, where images have `counts` rows; copies come one after another in the order of scoring."""
    order = np.argsort([int(str(name).rpartition("/")[2].partition(".")[0]) for name in split[1]["ids"]])
    rows = np.repeat(order, weights[order])
    ids = np.array([f"{place:06}.jpg" for place in range(len(rows))])

    def picked(arrays: Arrays) -> Arrays:
        if "counts" not in arrays:
            return {name: column[rows] for name, column in arrays.items()} | {"ids": ids}
        parts = np.split(np.arange(arrays["counts"].sum()), np.cumsum(arrays["counts"])[:-1])
        places = np.concatenate([parts[row] for row in rows]).astype(int)
        whole = {"counts": arrays["counts"][rows], "ids": ids, "classes": arrays.get("classes")}
        of_rows = {name: column[places] for name, column in arrays.items() if name not in whole}
        return of_rows | {name: whole[name] for name in whole.keys() & arrays.keys()}

    return picked(split[0]), picked(split[1])
