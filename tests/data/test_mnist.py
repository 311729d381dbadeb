from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cvbench.data import fashion_mnist, mnist
from cvbench.data.base import DataError, Dataset
from cvbench.data.split import hashed

TRAIN, TEST = 120, 30
IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


def idx(array: np.ndarray) -> bytes:
    """The format as LeCun's page describes it: two zero bytes, 8 = unsigned byte, dimensions, sizes big-endian."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def fake(folder: Path, zipped: bool = True) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays = {}
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in {"train": TRAIN, "t10k": TEST}.items():
        arrays[f"{part}-images-idx3-ubyte"] = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = random.integers(0, 10, count, dtype=np.uint8)
    for name, array in arrays.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array))) if zipped else (folder / name).write_bytes(
            idx(array)
        )
    return arrays


@pytest.mark.parametrize(
    ("build", "folder"),
    [(mnist.build, "MNIST/raw"), (fashion_mnist.build, "FashionMNIST/raw")],
    ids=["mnist", "fashion"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["gz", "raw"])
def test_fake_copy_comes_back(tmp_path: Path, build: Callable[[Path], Dataset], folder: str, zipped: bool):
    arrays = fake(tmp_path / folder, zipped)
    built = build(tmp_path)
    rows = {}
    for split in (built.splits["train"], built.splits["val"]):
        rows |= {name: split[index] for index, name in enumerate(split.ids)}
    assert sorted(rows) == [f"train/{row:05d}" for row in range(TRAIN)]
    for row in range(TRAIN):
        image, label = rows[f"train/{row:05d}"]
        assert image.shape == (28, 28, 1)
        assert (image[..., 0] == arrays[IMAGES][row]).all()
        assert label == arrays[LABELS][row]
    images, labels = built.splits["test"].bulk()
    assert (images[..., 0] == arrays["t10k-images-idx3-ubyte"]).all()
    assert (labels == arrays["t10k-labels-idx1-ubyte"]).all()
    assert (built.info.channels, built.info.input_size, built.info.num_classes) == (1, (28, 28), 10)
    assert {role: len(split) for role, split in built.splits.items()} == dict(built.info.split_sizes)


def test_val_is_a_fixed_twelfth(tmp_path: Path):
    fake(tmp_path / "MNIST/raw")
    val = set(mnist.build(tmp_path).splits["val"].ids)
    ids = [f"train/{row:05d}" for row in range(TRAIN)]
    assert val == {name for name, take in zip(ids, hashed(ids, 1 / 12), strict=True) if take}


def test_wrapping_does_not_change_the_revision_but_labels_do(tmp_path: Path):
    arrays = fake(tmp_path / "a/MNIST/raw")
    fake(tmp_path / "b/MNIST/raw", zipped=False)
    first = mnist.build(tmp_path / "a").info.revision
    assert mnist.build(tmp_path / "b").info.revision == first
    arrays[LABELS][0] = (arrays[LABELS][0] + 1) % 10
    (tmp_path / "b/MNIST/raw" / LABELS).write_bytes(idx(arrays[LABELS]))
    assert mnist.build(tmp_path / "b").info.revision != first


def test_pixels_are_read_at_first_use(tmp_path: Path):
    fake(tmp_path / "MNIST/raw")
    built = mnist.build(tmp_path)
    assert "arrays" not in vars(built.splits["train"].source)
    assert built.splits["train"].source is built.splits["val"].source


def test_not_there(tmp_path: Path):
    with pytest.raises(DataError, match=r"The dataset mnist is not there.*MNIST/raw.*`cvbench data fetch mnist`"):
        mnist.build(tmp_path)


def test_one_file_missing(tmp_path: Path):
    fake(tmp_path / "MNIST/raw")
    (tmp_path / "MNIST/raw" / f"{LABELS}.gz").unlink()
    with pytest.raises(DataError, match=rf"expected .*{LABELS}\.gz.*cvbench data fetch mnist"):
        mnist.build(tmp_path)


def test_truncated_pixels(tmp_path: Path):
    fake(tmp_path / "MNIST/raw", zipped=False)
    path = tmp_path / "MNIST/raw" / IMAGES
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"{IMAGES}: expected {TRAIN * 784} bytes .* but got {TRAIN * 784 - 100}"):
        mnist.build(tmp_path).splits["train"][0]


def test_truncated_gzip(tmp_path: Path):
    fake(tmp_path / "MNIST/raw")
    path = tmp_path / "MNIST/raw" / f"{IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=rf"{IMAGES}\.gz: truncated or damaged gzip"):
        mnist.build(tmp_path).splits["train"][0]


def test_too_long(tmp_path: Path):
    fake(tmp_path / "MNIST/raw", zipped=False)
    with open(tmp_path / "MNIST/raw" / IMAGES, "ab") as file:
        file.write(b"0")
    with pytest.raises(DataError, match=f"got {TRAIN * 784 + 1}"):
        mnist.build(tmp_path).splits["train"][0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, b"", "starts with nothing"),
        (IMAGES, b"\0\0\x08\x03\0\0", r"expected an idx file .*magic number 2051"),
        (IMAGES, idx(np.zeros(784, np.uint8)), r"magic number 2051.*starts with 00000801"),
        (LABELS, idx(np.zeros((2, 2), np.uint8)), r"magic number 2049.*starts with 00000802"),
        (LABELS, idx(np.zeros(7, np.uint8)), rf"{LABELS}: expected {TRAIN} labels, one an image, but got 7"),
        (LABELS, idx(np.full(TRAIN, 10)), r"expected labels from 0 to 9, but got 10"),
        (
            IMAGES,
            idx(np.zeros((TRAIN, 28, 27), np.uint8)),
            r"train images are \(28, 27\) pixels, test images \(28, 28\)",
        ),
    ],
)
def test_wrong_content(tmp_path: Path, name: str, content: bytes, message: str):
    fake(tmp_path / "MNIST/raw", zipped=False)
    (tmp_path / "MNIST/raw" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        mnist.build(tmp_path)


def test_empty_split(tmp_path: Path):
    fake(tmp_path / "MNIST/raw", zipped=False)
    for name, shape in {"t10k-images-idx3-ubyte": (0, 28, 28), "t10k-labels-idx1-ubyte": (0,)}.items():
        (tmp_path / "MNIST/raw" / name).write_bytes(idx(np.zeros(shape, np.uint8)))
    with pytest.raises(DataError, match="split test of mnist is empty"):
        mnist.build(tmp_path)


def test_the_real_one(shared_data: Path):
    built = mnist.build(shared_data)
    assert sum(built.info.split_sizes.values()) == 70_000
    assert dict(built.info.split_sizes) == {"train": 55_032, "val": 4_968, "test": 10_000}
    images, labels = built.splits["train"].source.arrays
    # Published counts of each class, first labels, and the md5 of the unpacked official train images.
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c".replace(" ", ""))
    assert hashlib.md5(header + images.tobytes()).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert np.bincount(built.splits["test"].bulk()[1]).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert images.mean() / 255 == pytest.approx(built.info.mean[0], abs=5e-5)
    assert images.std() / 255 == pytest.approx(built.info.std[0], abs=5e-5)
