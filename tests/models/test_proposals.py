"""Region proposals: what is found, that it is the same every time, and what the cache on disk promises."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cvbench.data.streets import scene
from cvbench.models.detection import proposals, regions, selective_search
from cvbench.models.detection.boxes import shuffled, stable_first, unique
from cvbench.models.detection.proposals import SOURCES, Proposals, Source


def overlaps(ours, boxes) -> np.ndarray:
    """IoU of each of `ours` with each of `boxes`, worked out pixel by pixel: boxes of whole numbers below 200."""

    def masks(places):
        grid = np.arange(200)
        across = (grid >= places[:, 0, None]) & (grid < places[:, 2, None])
        down = (grid >= places[:, 1, None]) & (grid < places[:, 3, None])
        return (down[:, :, None] & across[:, None, :]).reshape(len(places), -1).astype(np.float32)

    first, second = masks(np.asarray(ours)), masks(np.asarray(boxes))
    shared = first @ second.T
    return shared / (first.sum(1)[:, None] + second.sum(1)[None] - shared)


def recall(source: str, number: int, scenes: int = 20) -> float:
    """Share of the boxes of some street scenes that one of the proposals meets with an IoU of 0.5."""
    find = Proposals(source, number)
    drawn = [scene(0, index, 96, 128, "val") for index in range(scenes)]
    met = [overlaps(one.boxes_xyxy, find.of(one.image)).max(axis=1) >= 0.5 for one in drawn if len(one.boxes_xyxy)]
    return float(np.concatenate(met).mean())


@pytest.fixture
def street() -> np.ndarray:
    return scene(0, 3, 96, 128).image


@pytest.fixture
def counted(monkeypatch):
    """A source that counts how often it is asked; its boxes depend on the pixels' sum."""
    asked: list[int] = []

    def find(image, min_side):
        asked.append(int(image.sum()))
        start = asked[-1] % 5
        return np.array([[start, 0, start + 7, 9], [0, 1, 4, 8], [2, 2, 12, 12]])

    monkeypatch.setitem(SOURCES, "windows", Source(find, lambda: {"version": 1}))
    return asked


class Opened:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# What is found -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "switch"), [("fast", "Fast"), ("quality", "Quality")])
def test_selective_search_finds_what_opencv_finds(street, name, switch):
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.cvtColor(street, cv2.COLOR_RGB2BGR))
    getattr(search, f"switchToSelectiveSearch{switch}")()
    expected = {(x, y, x + w, y + h) for x, y, w, h in search.process().tolist() if min(w, h) >= 6}
    found = getattr(selective_search, name)(street, 6)
    assert len(found) == len(expected)
    assert set(map(tuple, found.tolist())) == expected


def test_selective_search_takes_grey_images(street):
    grey = street[:, :, :1]
    assert np.array_equal(selective_search.fast(grey, 5), selective_search.fast(np.repeat(grey, 3, axis=2), 5))


def test_regions_begin_with_things_of_their_own_colour():
    image = np.full((96, 128, 3), (90, 120, 90), np.uint8)
    image += np.random.default_rng(0).integers(0, 8, image.shape, np.uint8)
    things = np.array([[10, 10, 40, 30], [60, 50, 100, 80], [5, 60, 25, 90]])
    for (left, top, right, bottom), colour in zip(things, [(220, 40, 40), (40, 40, 220), (250, 250, 250)], strict=True):
        image[top:bottom, left:right] = colour
    found = stable_first(regions.blobs(image, 5))
    assert len(found) > 100
    assert overlaps(things, found[:30]).max(axis=1).min() > 0.6
    assert overlaps(things, regions.regions(image, 5)[:45]).max(axis=1).min() > 0.6


def test_regions_meet_twice_as_many_things_of_a_street_as_windows():
    # Measured on other scenes: .64 and .33.
    assert recall("regions", 300) > 0.5
    assert recall("windows", 300) < 0.4


@pytest.mark.parametrize("size", [(96, 96), (40, 130)])
def test_windows_begin_with_the_largest_and_cover_the_image(size):
    height, width = size
    found = regions.windows(np.zeros((*size, 3), np.uint8), 4)
    areas = (found[:, 2:] - found[:, :2]).prod(axis=1)
    assert areas[0] >= 0.6 * min(size) ** 2
    assert areas[:9].mean() > 5 * areas[-9:].mean()
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= (width, height)).all()
    rng = np.random.default_rng(0)
    sides = rng.uniform(0.3, 0.9, (200, 1)) * min(size)
    corners = rng.uniform(0, 1, (200, 2)) * (np.array([width, height]) - sides)
    squares = np.concatenate([corners, corners + sides], axis=1).round().astype(int)
    assert overlaps(squares, found).max(axis=1).min() >= 0.5  # half a window apart, scales a square root of 2


@pytest.mark.parametrize("source", list(SOURCES))
def test_no_box_is_small_repeated_or_outside(street, source):
    find = Proposals(source, 10_000, min_size=0.1)
    found = find.of(street)
    assert len(np.unique(found, axis=0)) == len(found) > 10
    assert ((found[:, 2:] - found[:, :2]) >= 12.8).all()
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= (128, 96)).all()
    assert np.array_equal(Proposals(source, 7, min_size=0.1).of(street), found[:7])


def test_the_whole_image_where_nothing_is_found(monkeypatch):
    monkeypatch.setitem(SOURCES, "windows", Source(lambda image, side: np.zeros((0, 4), np.int64), dict))
    assert Proposals("windows", 5).of(np.zeros((8, 12, 3), np.uint8)).tolist() == [[0, 0, 12, 8]]


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 16)])
@pytest.mark.parametrize("source", list(SOURCES))
def test_flat_and_tiny_images_get_proposals(source, size):
    assert len(Proposals(source, 20).of(np.full((*size, 3), 7, np.uint8)))


# The same every time -------------------------------------------------------------------------------------------------


def test_selective_search_has_one_order_in_every_process(street):
    program = (
        "import hashlib; from cvbench.data.streets import scene; from cvbench.models.detection import selective_search;"
        "print(hashlib.sha256(selective_search.fast(scene(0, 3, 96, 128).image, 5).tobytes()).hexdigest())"
    )
    run = [sys.executable, "-c", program]
    assert subprocess.check_output(run) == subprocess.check_output(run)
    assert np.array_equal(selective_search.fast(street, 5), selective_search.fast(street, 5))


@pytest.mark.parametrize("order", [shuffled, stable_first])
def test_an_order_is_a_function_of_the_set(order):
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 90, (300, 2))
    boxes = unique(np.concatenate([corners, corners + rng.integers(5, 60, (300, 2))], axis=1), 0)
    ordered = order(boxes)
    assert np.array_equal(order(rng.permutation(boxes)), ordered)
    assert np.array_equal(np.unique(ordered, axis=0), np.unique(boxes, axis=0))
    # Among those that come first no two nearly coincide; each of the rest nearly coincides with one of them.
    same = overlaps(ordered, ordered) > 0.8 + 1e-6
    first = next(i for i in range(len(ordered)) if same[i, :i].any())
    assert all(same[i, :first].any() for i in range(first, len(ordered)))


@pytest.mark.parametrize("source", list(SOURCES))
def test_a_mirrored_image_has_the_mirrored_boxes(street, source):
    find = Proposals(source, 150)
    found, mirrored = find.of(street), find.of(street[:, ::-1])
    assert np.array_equal(mirrored, np.stack([128 - found[:, 2], found[:, 1], 128 - found[:, 0], found[:, 3]], axis=1))


def test_a_batch_of_floats_gives_the_boxes_of_its_pixels(street):
    other = scene(0, 4, 96, 128).image
    pixels = torch.from_numpy(np.stack([street, other])).permute(0, 3, 1, 2).float()
    # Arithmetic on the way may have moved values a little, to either side.
    batch = (pixels + 0.6 * torch.rand(pixels.shape, generator=torch.Generator().manual_seed(0)) - 0.3) / 255
    find = Proposals("regions", 40)
    first, second = find(batch)
    assert first.dtype == torch.float32
    assert np.array_equal(first.numpy(), find.of(street))
    assert np.array_equal(second.numpy(), find.of(other))


# The cache -----------------------------------------------------------------------------------------------------------


def test_flips_and_later_epochs_read_the_cache(counted, tmp_path, street):
    find = Proposals("windows", 2)
    find.use_cache(tmp_path)
    first = find.of(street)
    assert np.array_equal(find.of(street), first)
    find.of(street[:, ::-1])
    again = Proposals("windows", 3)  # fewer or more of the same boxes
    again.use_cache(tmp_path)
    assert np.array_equal(again.of(street)[:2], first)
    assert len(counted) == 1
    assert len(list(tmp_path.rglob("*.npy"))) == 1


@pytest.mark.parametrize("change", ["pixels", "min_size", "settings", "shape"])
def test_whatever_changes_the_boxes_is_another_entry(counted, tmp_path, street, change, monkeypatch):
    def ask(image, min_size=0.04):
        find = Proposals("windows", 5, min_size)
        find.use_cache(tmp_path)
        return find.of(image)

    ask(street)
    if change == "pixels":
        street[50, 50, 1] ^= 1
    if change == "settings":
        monkeypatch.setitem(SOURCES, "windows", Source(SOURCES["windows"].find, lambda: {"version": 2}))
    ask(street.reshape(128, 96, 3) if change == "shape" else street, 0.05 if change == "min_size" else 0.04)
    assert len(counted) == 2


def test_without_a_folder_nothing_is_kept(counted, street):
    find = Proposals("windows", 5)
    find.of(street)
    find.of(street)
    assert len(counted) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle", "other"])
def test_a_damaged_entry_is_made_again(counted, tmp_path, street, damage):
    find = Proposals("windows", 5)
    find.use_cache(tmp_path)
    expected = find.of(street)
    (file,) = tmp_path.rglob("*.npy")
    whole = file.read_bytes()
    if damage == "pickle":
        np.save(file, np.array([Opened(tmp_path / "opened")], dtype=object), allow_pickle=True)
    elif damage == "other":
        np.save(file, np.zeros((3, 5), np.uint16))
    else:
        file.write_bytes(whole[:-3] if damage == "cut" else b"")
    assert np.array_equal(find.of(street), expected)
    assert len(counted) == 2
    assert file.read_bytes() == whole
    assert not (tmp_path / "opened").exists()


def test_a_cache_that_cannot_be_written_costs_time_only(counted, tmp_path, street, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    find = Proposals("windows", 5)
    find.use_cache(tmp_path / "file")
    assert len(find.of(street)) == 3

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(proposals.np, "save", full)
    find.use_cache(tmp_path)
    with caplog.at_level(logging.DEBUG):
        assert len(find.of(street)) == 3
    assert "No space left" in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".part", ".npy")]


def test_many_writers_leave_one_whole_entry(counted, tmp_path, street):
    def ask(_):
        find = Proposals("windows", 5)
        find.use_cache(tmp_path)
        return find.of(street)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(40)))
    assert all(np.array_equal(one, found[0]) for one in found)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


# The user's mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_cv2", [False, True])
def test_without_opencvs_modules_the_extra_is_named(monkeypatch, with_cv2):
    def missing(name):
        if with_cv2:
            return object()  # OpenCV without its contributed modules
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r'pip install "cvbench\[selective-search\]"'):
        Proposals("selective_search", 10)
    Proposals("regions", 10)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"`source` to be one of selective_search, .*, but got 'edge_boxes'"):
        Proposals("edge_boxes", 10)
    with pytest.raises(ValueError, match="`proposals` to be at least 1, but got 0"):
        Proposals("regions", 0)
    with pytest.raises(ValueError, match=r"`min_size` .* in \[0, 1\], but got 20"):
        Proposals("regions", 10, 20)
