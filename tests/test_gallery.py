"""Which samples a gallery shows, and its list on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvbench.gallery import GALLERY, Picture, picked, read_list, write_list


def test_the_hardest_then_those_next_to_the_median() -> None:
    values = np.array([0.9, 0.1, 0.5, np.nan, 0.3, 0.55, 1.0])
    # of the six known, the median is 0.525
    assert picked(values, 2) == [(1, "hard"), (4, "hard"), (2, "typical"), (5, "typical")]


def test_no_sample_twice_where_there_are_few() -> None:
    assert picked(np.array([0.5, 0.5]), 3) == [(0, "hard"), (1, "hard")]
    assert picked(np.array([np.nan]), 3) == []


def test_the_list_is_read_back(tmp_path: Path) -> None:
    assert read_list(tmp_path) == []
    (tmp_path / GALLERY).mkdir()
    pictures = [Picture(file="hard-0.webp", sample="test/ä", kind="hard", score=0.25)]
    write_list(tmp_path / GALLERY, pictures)
    assert read_list(tmp_path) == pictures


@pytest.mark.parametrize("file", ["../../etc/passwd", "a.svg", "x/y.webp", ".webp"])
def test_a_list_that_names_other_files_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / GALLERY).mkdir()
    text = f'[{{"file": "{file}", "sample": "a", "kind": "hard", "score": 0}}]'
    (tmp_path / GALLERY / "gallery.json").write_text(text)
    with pytest.raises(ValueError, match=r"gallery\.json: Expected a list of pictures"):
        read_list(tmp_path)
