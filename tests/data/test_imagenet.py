from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from cvbench.data import imagenet
from cvbench.data.base import DataError

WNIDS = [f"n{10_000_000 + 7 * number}" for number in range(1000)]  # sorted
PICTURE = b""


@pytest.fixture(scope="module", autouse=True)
def _picture(tmp_path_factory: pytest.TempPathFactory) -> None:
    global PICTURE
    path = tmp_path_factory.mktemp("picture") / "a.jpg"
    Image.fromarray(np.full((5, 7, 3), 200, np.uint8)).save(path)
    PICTURE = path.read_bytes()


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PICTURE)


def devkit(folder: Path, answers: list[int]) -> None:
    """As official: numbers are not in the order of the wnids, and synsets with children follow the classes."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    rows = [(number + 1, wnid, "crane, bird", "…", 0) for number, wnid in enumerate(reversed(WNIDS))]
    rows.append((1001, "n00001740", "entity", "…", 2))
    (folder / "data").mkdir(parents=True)
    savemat(folder / "data" / "meta.mat", {"synsets": np.array(rows, dtype=fields)[:, None]})
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(
        "".join(f"{answer}\n" for answer in answers)
    )


def train(root: Path, wnids: list[str], images: int = 30) -> None:
    for wnid in wnids:
        for number in range(images):
            picture(root / "imagenet" / "train" / wnid / f"{wnid}_{number}.JPEG")


def flat_val(root: Path, answers: list[int]) -> None:
    for number in range(len(answers)):
        picture(root / "imagenet" / "val" / f"ILSVRC2012_val_{number + 1:08d}.JPEG")


def test_official_layout(tmp_path: Path):
    answers = [1000, 1, 998, 500]  # reversed: number 1000 is the first wnid
    train(tmp_path, [WNIDS[0], WNIDS[2], WNIDS[999]])
    flat_val(tmp_path, answers)
    devkit(tmp_path / "imagenet" / "ILSVRC2012_devkit_t12", answers)
    built = imagenet.build(tmp_path, val_share=0.2)
    assert built.info.num_classes == 1000
    assert built.info.classes[0] == f"{WNIDS[0]} crane"
    assert len(set(built.info.classes)) == 1000
    assert [built.splits["test"].target(index) for index in range(4)] == [0, 999, 2, 500]
    assert built.splits["test"].ids[0] == "val/ILSVRC2012_val_00000001"
    image, label = built.splits["test"][1]
    assert (image.shape, label) == ((5, 7, 3), 999)
    for role in ("train", "val"):
        split = built.splits[role]
        for index, name in enumerate(split.ids):
            assert WNIDS[split.target(index)] == name.removeprefix("train/").partition("_")[0]
    assert len(built.splits["train"]) + len(built.splits["val"]) == 90
    assert not set(built.splits["train"].ids) & set(built.splits["val"].ids)
    assert built.info.protocol["classes"] == 1000
    assert built.info.protocol["roles"]["test"] == "official val"
    assert built.info.redistributable is False


def test_val_sorted_into_folders_gives_the_same_ids_and_labels(tmp_path: Path):
    answers = [1000, 1, 998, 500]
    flat_val(tmp_path / "a", answers)
    for number, answer in enumerate(answers):
        wnid = WNIDS[1000 - answer]
        picture(tmp_path / "b" / "imagenet" / "val" / wnid / f"ILSVRC2012_val_{number + 1:08d}.JPEG")
    for root in ("a", "b"):
        devkit(tmp_path / root / "imagenet" / "ILSVRC2012_devkit_t12", answers)
    pairs = []
    for root in ("a", "b"):
        built = imagenet.build(tmp_path / root)
        assert list(built.splits) == ["test"]  # evaluation only: no train folder
        test = built.splits["test"]
        pairs.append({name: test.target(index) for index, name in enumerate(test.ids)})
    assert pairs[0] == pairs[1]


def test_without_devkit_classes_are_the_sorted_folders(tmp_path: Path):
    for wnid in WNIDS:
        picture(tmp_path / "imagenet" / "train" / wnid / f"{wnid}_1.JPEG")
    picture(tmp_path / "imagenet" / "val" / WNIDS[3] / "ILSVRC2012_val_00000001.JPEG")
    built = imagenet.build(tmp_path)
    assert built.info.classes == tuple(WNIDS)
    assert built.splits["test"].target(0) == 3
    hashes = {wnid: hashlib.sha256(f"train/{wnid}_1".encode()).digest()[:8] for wnid in WNIDS}
    chosen = [wnid for wnid in WNIDS if int.from_bytes(hashes[wnid], "big") / 2**64 < 0.0078]
    assert built.splits["val"].ids == [f"train/{wnid}_1" for wnid in chosen]


def test_a_subset_is_refused_unless_asked_for(tmp_path: Path):
    train(tmp_path, WNIDS[:3])
    for wnid in WNIDS[:4]:
        picture(tmp_path / "imagenet" / "val" / wnid / f"ILSVRC2012_val_0000{wnid[-4:]}.JPEG")
    with pytest.raises(DataError, match=r"expected 1000 class folders, but found 3, and no devkit at .*`classes: 3`"):
        imagenet.build(tmp_path)
    built = imagenet.build(tmp_path, classes=3, val_share=0.2)
    assert built.info.num_classes == 3
    assert built.info.protocol["classes"] == WNIDS[:3]
    assert len(built.splits["test"]) == 3  # the fourth class is left out


def test_a_subset_with_devkit_and_flat_val(tmp_path: Path):
    train(tmp_path, WNIDS[:2])
    answers = [999, 5, 1000]
    flat_val(tmp_path, answers)
    devkit(tmp_path / "imagenet" / "ILSVRC2012_devkit_t12", answers)
    built = imagenet.build(tmp_path, classes=2, val_share=0.2)
    assert [built.splits["test"].target(index) for index in range(2)] == [1, 0]
    assert built.info.classes == (f"{WNIDS[0]} crane", f"{WNIDS[1]} crane")


def test_not_there(tmp_path: Path):
    with pytest.raises(DataError, match=r"imagenet is not there.*https://image-net\.org"):
        imagenet.build(tmp_path)


def test_flat_val_without_devkit(tmp_path: Path):
    train(tmp_path, WNIDS[:2])
    flat_val(tmp_path, [1, 2])
    with pytest.raises(DataError, match=r"val: the images lie flat.*ILSVRC2012_devkit_t12"):
        imagenet.build(tmp_path, classes=2)


def test_empty_val(tmp_path: Path):
    train(tmp_path, WNIDS[:2])
    (tmp_path / "imagenet" / "val").mkdir()
    with pytest.raises(DataError, match="split test of imagenet is empty"):
        imagenet.build(tmp_path, classes=2, val_share=0.2)


def test_share_too_small_for_a_tiny_subset(tmp_path: Path):
    train(tmp_path, WNIDS[:2], images=2)
    picture(tmp_path / "imagenet" / "val" / WNIDS[0] / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DataError, match=r"split val of imagenet is empty.*raise `val_share`"):
        imagenet.build(tmp_path, classes=2)


@pytest.mark.parametrize("name", ["cats", "n123", "n99999999"])
def test_a_folder_that_is_no_class(tmp_path: Path, name: str):
    answers = [1]
    train(tmp_path, [WNIDS[0], name])
    flat_val(tmp_path, answers)
    devkit(tmp_path / "imagenet" / "ILSVRC2012_devkit_t12", answers)
    with pytest.raises(DataError, match=rf"train/{name}: expected a wnid of ILSVRC 2012"):
        imagenet.build(tmp_path)


def test_a_folder_that_is_no_wnid_without_devkit(tmp_path: Path):
    train(tmp_path, [WNIDS[0], "thumbnails"])
    picture(tmp_path / "imagenet" / "val" / WNIDS[0] / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DataError, match="train/thumbnails: expected a wnid"):
        imagenet.build(tmp_path, classes=2)


def test_more_images_than_answers(tmp_path: Path):
    flat_val(tmp_path, [1, 2, 3])
    devkit(tmp_path / "imagenet" / "ILSVRC2012_devkit_t12", [1, 2])
    with pytest.raises(DataError, match=r"ILSVRC2012_val_00000003\.JPEG: expected .* with an answer in"):
        imagenet.build(tmp_path)


def test_damaged_devkit(tmp_path: Path):
    flat_val(tmp_path, [1])
    devkit(tmp_path / "imagenet" / "ILSVRC2012_devkit_t12", [1])
    meta = tmp_path / "imagenet" / "ILSVRC2012_devkit_t12" / "data" / "meta.mat"
    meta.write_bytes(meta.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"meta\.mat: not the devkit's meta\.mat, or damaged.*unpack the devkit again"):
        imagenet.build(tmp_path)


def test_truncated_image(tmp_path: Path):
    flat_val(tmp_path, [1])
    devkit(tmp_path / "imagenet" / "ILSVRC2012_devkit_t12", [1])
    (tmp_path / "imagenet" / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(PICTURE[:-60])
    built = imagenet.build(tmp_path)
    with pytest.raises(DataError, match=r"ILSVRC2012_val_00000001\.JPEG: cannot be decoded"):
        built.splits["test"][0]
