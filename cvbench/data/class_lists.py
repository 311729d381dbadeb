"""Finds the images of a classification folder and their classes, in each layout that `folder` understands."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath
from typing import Literal, NamedTuple

from cvbench.data.base import ROLES, DataError
from cvbench.data.files import EXTENSIONS, list_folders, natural

Layout = Literal["auto", "folders", "lists", "hash"]
ALIASES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}


class Item(NamedTuple):
    """An image: its path below the dataset's folder with forward slashes, its class, and its path below the class."""

    name: str
    label: str
    inner: str


class Found(NamedTuple):
    """parts: the items by role, or under "all" where the files do not split them. lists: the annotation files read."""

    layout: str
    parts: dict[str, list[Item]]
    classes: list[str]
    lists: list[Path]


def find(folder: Path, layout: Layout) -> Found:
    """What lies in `folder`, in `layout` or the first of folders, lists, hash that is there.

    Raises:
        DataError: not that layout, fewer than two classes, a class that train has not, a list that cannot be read.
    """
    folders = _split_folders(folder)
    lists = [folder / f"{role}.txt" for role in ROLES if (folder / f"{role}.txt").is_file()]
    layout = layout if layout != "auto" else "folders" if folders else "lists" if lists else "hash"
    if layout == "folders":
        if not folders:
            raise DataError(f"{folder}: `layout: folders` needs folders train and test (or val), but there are none")
        found = Found(layout, {role: _walk(folder, part) for role, part in folders.items()}, [], [])
        classes = list_folders(folder / next(iter(folders.values())))
    elif layout == "lists":
        if not lists:
            raise DataError(f"{folder}: `layout: lists` needs train.txt and test.txt (or val.txt), but there are none")
        parts = {path.stem: _read_list(folder, path) for path in lists}
        classes, names_file = _list_classes(folder, parts)
        found = Found(layout, _named(parts, classes), [], lists + names_file)
    else:
        found, classes = Found(layout, {"all": _walk(folder, "")}, [], []), list_folders(folder)
    if len(classes) < 2:
        raise DataError(
            f"{folder}: expected two classes or more, but found {', '.join(classes) or 'none'}; "
            "`path` must be the folder that holds the class folders, or train/ and test/ with the class folders in them"
        )
    for role, items in found.parts.items():
        if unknown := sorted({item.label for item in items} - set(classes)):
            raise DataError(
                f"{folder}: {role} has the class {unknown[0]!r}, which {next(iter(found.parts))} has not "
                f"({', '.join(classes[:10])}); rename or remove it"
            )
    return found._replace(classes=classes)


def _split_folders(folder: Path) -> dict[str, str]:
    """role -> the folder that holds it, in the order train, val, test; upper and lower case alike."""
    there = {name.lower(): name for name in list_folders(folder)}
    return {role: there[alias] for role in ROLES for alias in ALIASES[role] if alias in there}


def _walk(folder: Path, part: str) -> list[Item]:
    """Every image of every class folder of `folder / part`, however deep; sorted."""
    items = []
    for label in list_folders(folder / part):
        top = folder / part / label
        inner = [
            Path(base, name).relative_to(top).as_posix()
            for base, _, names in os.walk(top)
            for name in names
            if os.path.splitext(name)[1].lower() in EXTENSIONS and not name.startswith(".")
        ]
        prefix = f"{part}/{label}/" if part else f"{label}/"
        items += [Item(prefix + name, label, name) for name in sorted(inner, key=natural)]
    return items


def _read_list(folder: Path, path: Path) -> list[Item]:
    items = []
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text ({error})") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        name = name.strip()
        if not name or name.startswith("/") or PureWindowsPath(name).drive or ".." in name.split("/"):
            raise DataError(
                f"{path}:{number}: expected `relative/path.jpg label`, the path below {folder}, but got {line!r}"
            )
        items.append(Item(name, label, name.partition("/")[2] or name))
    return items


def _list_classes(folder: Path, parts: dict[str, list[Item]]) -> tuple[list[str], list[Path]]:
    """The class names in order, and classes.txt where it was used."""
    labels = {item.label for items in parts.values() for item in items}
    numbers = all(label.isdecimal() for label in labels)
    file = folder / "classes.txt"
    if file.is_file():
        names = [line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
        if numbers and labels and max(map(int, labels)) >= len(names):
            raise DataError(f"{file}: has {len(names)} names, but the lists use the label {max(map(int, labels))}")
        return names, [file]
    if numbers and labels:
        return [str(number) for number in range(max(map(int, labels)) + 1)], []
    first = next(iter(parts.values()))
    return sorted({item.label for item in first}), []


def _named(parts: dict[str, list[Item]], classes: list[str]) -> dict[str, list[Item]]:
    """Numbers become class names where the lists hold nothing else."""
    if not all(item.label.isdecimal() for items in parts.values() for item in items):
        return parts
    return {role: [item._replace(label=classes[int(item.label)]) for item in items] for role, items in parts.items()}
