from __future__ import annotations

import io
import pickle
import pickletools
import warnings
from pathlib import Path

import numpy as np
import pytest

from cvbench.data import cifar10, cifar100
from cvbench.data.base import DataError

RECORDS = 40  # a file


def python_pickle(pixels: np.ndarray, labels: list[int], key: bytes) -> bytes:
    """Opcode by opcode what Python 2 and its numpy wrote into the official files (protocol 2, byte strings)."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + value.to_bytes(2, "little")

    rows, width = pixels.shape
    minus_1 = b"J\xff\xff\xff\xff"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN" + minus_1 * 2 + b"K\x00tb"
    raw = pixels.tobytes()
    state = (
        b"(K\x01"
        + number(rows)
        + number(width)
        + b"\x86"
        + dtype
        + b"\x89T"
        + len(raw).to_bytes(4, "little")
        + raw
        + b"tb"
    )
    entries = text(b"batch_label") + text(b"training batch 1 of 5") + text(key)
    entries += b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + entries + text(b"data") + array + state + b"u."


def records(seed: int, classes: int) -> tuple[np.ndarray, list[int]]:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (RECORDS, 3072), dtype=np.uint8)
    return pixels, random.integers(0, classes, RECORDS).tolist()


def fake10(root: Path, version: str) -> None:
    folder = root / f"cifar-10-batches-{version}"
    folder.mkdir(parents=True)
    for seed, name in enumerate(
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    ):
        pixels, labels = records(seed, 10)
        if version == "py":
            (folder / name).write_bytes(python_pickle(pixels, labels, b"labels"))
        else:
            (folder / f"{name}.bin").write_bytes(np.c_[np.array(labels, np.uint8), pixels].tobytes())


def fake100(root: Path, version: str) -> None:
    folder = root / f"cifar-100-{version}"
    folder.mkdir(parents=True)
    for seed, name in enumerate(["train", "test"]):
        pixels, labels = records(seed, 100)
        if version == "python":
            (folder / name).write_bytes(python_pickle(pixels, labels, b"fine_labels"))
        else:
            coarse = np.full(RECORDS, 19, np.uint8)
            (folder / f"{name}.bin").write_bytes(np.c_[coarse, np.array(labels, np.uint8), pixels].tobytes())


CASES = [
    (cifar10, fake10, "bin"),
    (cifar10, fake10, "py"),
    (cifar100, fake100, "binary"),
    (cifar100, fake100, "python"),
]
NAMED = pytest.mark.parametrize(
    ("module", "fake", "version"), CASES, ids=[f"{m.__name__[13:]}-{v}" for m, _, v in CASES]
)


def test_the_fake_is_a_pickle_of_an_array():
    pixels, labels = records(0, 10)
    content = python_pickle(pixels, labels, b"labels")
    pickletools.dis(content, out=io.StringIO())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy.core is an old name
        loaded = pickle.loads(content, encoding="bytes")
    assert (loaded[b"data"] == pixels).all()
    assert loaded[b"labels"] == labels


@NAMED
def test_fake_copy_comes_back(tmp_path: Path, module, fake, version: str):
    fake(tmp_path, version)
    built = module.build(tmp_path)
    classes = built.info.num_classes
    files = 5 if module is cifar10 else 1
    assert sum(built.info.split_sizes.values()) == (files + 1) * RECORDS
    rows = {name: split[index] for split in built.splits.values() for index, name in enumerate(split.ids)}
    for row in (0, 7, RECORDS * files - 1):
        pixels, labels = records(row // RECORDS, classes)
        image, label = rows[f"train/{row:05d}"]
        assert image.shape == (32, 32, 3)
        # red first, row by row: the published layout
        assert (image[:, :, 0].ravel() == pixels[row % RECORDS, :1024]).all()
        assert (image[:, :, 2].ravel() == pixels[row % RECORDS, 2048:]).all()
        assert label == labels[row % RECORDS]
    pixels, labels = records(files, classes)
    images, found = built.splits["test"].bulk()
    assert (images == pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)).all()
    assert found.tolist() == labels
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("module", "fake", "versions"), [(cifar10, fake10, ("bin", "py")), (cifar100, fake100, ("binary", "python"))]
)
def test_both_versions_are_one_protocol(tmp_path: Path, module, fake, versions: tuple[str, str]):
    built = []
    for version in versions:
        fake(tmp_path / version, version)
        built.append(module.build(tmp_path / version))
    one, other = built
    assert one.info.protocol == other.info.protocol
    assert one.info.classes == other.info.classes
    for role in ("train", "val", "test"):
        assert one.splits[role].ids == other.splits[role].ids
        assert all((a == b).all() for a, b in zip(one.splits[role].bulk(), other.splits[role].bulk(), strict=True))


def test_binary_is_preferred(tmp_path: Path):
    fake10(tmp_path, "py")
    alone = cifar10.build(tmp_path).info.revision
    fake10(tmp_path, "bin")
    assert cifar10.build(tmp_path).info.revision != alone


def test_class_names():
    assert cifar10.CLASSES[3] == "cat"
    assert len(set(cifar100.CLASSES)) == 100
    assert list(cifar100.CLASSES) == sorted(cifar100.CLASSES)  # the official fine labels are alphabetical
    assert (cifar100.CLASSES[0], cifar100.CLASSES[49], cifar100.CLASSES[99]) == ("apple", "mountain", "worm")


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_malicious_pickle_is_refused_and_does_nothing(tmp_path: Path, protocol: int):
    fake10(tmp_path, "py")
    content = pickle.dumps({b"data": Malicious(tmp_path / "owned"), b"labels": [1]}, protocol=protocol)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_3: not the official .*refused.*nothing in it was run"):
        cifar10.build(tmp_path)
    assert not (tmp_path / "owned").exists()
    pickle.loads(content)  # without the restriction it would have run
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "name",
    [b"builtins\neval", b"os\nsystem", b"numpy\nload", b"numpy.core.multiarray\nscalar", b"numpy\nndarray.tofile"],
)
def test_other_names_are_refused(tmp_path: Path, name: bytes):
    fake10(tmp_path, "py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x04c" + name + b"\n(U\x01xtR.")
    with pytest.raises(DataError, match=f"asks for {name.decode().replace(chr(10), '.')}"):
        cifar10.build(tmp_path)


def test_an_array_that_lies_about_its_size(tmp_path: Path):
    fake10(tmp_path, "py")
    pixels, labels = records(0, 10)
    content = python_pickle(pixels, [*labels, 0], b"labels")
    content = content.replace(b"(K\x01K\x28M\x00\x0c", b"(K\x01K\x29M\x00\x0c")  # 41 rows for 40
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_1: .*shape \(41, 3072\)"):
        cifar10.build(tmp_path)


@NAMED
def test_truncated(tmp_path: Path, module, fake, version: str):
    fake(tmp_path, version)
    path = max(tmp_path.rglob("*test*"))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=rf"{path.name}: .*damaged"):
        module.build(tmp_path)


@NAMED
def test_label_out_of_range(tmp_path: Path, module, fake, version: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        f"{__name__}.records", lambda seed, classes: (np.zeros((RECORDS, 3072), np.uint8), [200] * RECORDS)
    )
    fake(tmp_path, version)
    with pytest.raises(DataError, match=r"expected labels from 0 to 9+, but got 200"):
        module.build(tmp_path).splits["train"][0]


@NAMED
def test_file_missing(tmp_path: Path, module, fake, version: str):
    fake(tmp_path, version)
    path = max(tmp_path.rglob("*test*"))
    path.unlink()
    name = module.__name__.rpartition(".")[2]
    with pytest.raises(DataError, match=rf"expected .*{path.name}.*cvbench data fetch {name}"):
        module.build(tmp_path)


def test_not_there(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"cifar10 is not there: expected .*cifar-10-batches-bin.*cvbench data fetch cifar10"
    ):
        cifar10.build(tmp_path)
