from __future__ import annotations

import gzip
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cvbench.data import digits
from cvbench.data.base import DataError


@pytest.fixture(scope="module")
def built():
    return digits.build(Path("nowhere"))


def test_every_sample_is_scikit_learns_in_one_split(built):
    reference = load_digits()
    rows = []
    for split in built.splits.values():
        for index, name in enumerate(split.ids):
            row = int(name.removeprefix("digits/"))
            image, label = split[index]
            expected = np.floor(reference.images[row] * 255 / 16 + 0.5)
            assert (image[..., 0] == expected).all()
            assert label == reference.target[row]
            rows.append(row)
    assert sorted(rows) == list(range(1797))


def test_shapes_range_and_sizes(built):
    images, labels = built.splits["train"].bulk()
    assert images.shape == (len(built.splits["train"]), 8, 8, 1)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert labels.dtype == np.int64
    # Fixed for ever: another split would make old numbers incomparable.
    assert dict(built.info.split_sizes) == {"train": 1164, "val": 200, "test": 433}
    assert all(set(split.bulk()[1]) == set(range(10)) for split in built.splits.values())


def test_mean_and_std_are_those_of_train(built):
    pixels = built.splits["train"].bulk()[0] / 255
    assert built.info.mean == (round(pixels.mean(), 4),)
    assert built.info.std == (round(pixels.std(), 4),)


def test_scikit_learn_is_not_imported_and_pixels_are_read_late():
    code = (
        "import sys, pathlib; from cvbench.data import digits; built = digits.build(pathlib.Path('.'));"
        "assert 'sklearn' not in sys.modules and 'torch' not in sys.modules;"
        "assert 'arrays' not in vars(built.splits['train'].source); built.splits['train'][0];"
        "assert 'arrays' in vars(built.splits['test'].source)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_split_travels_to_a_worker_without_its_pixels(built):
    built.splits["val"].bulk()
    packed = pickle.dumps(built.splits["val"])
    assert len(packed) < 20_000
    assert (pickle.loads(packed)[3].image == built.splits["val"][3].image).all()


@pytest.fixture
def fake_sklearn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of another name in scikit-learn's stead, holding a copy of the data file."""
    spec = digits.importlib.util.find_spec("sklearn")
    folder = tmp_path / "sklearn" / "datasets" / "data"
    folder.mkdir(parents=True)
    shutil.copy(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", folder)
    fake = type("Spec", (), {"origin": str(tmp_path / "sklearn" / "__init__.py")})
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: fake)
    return folder / "digits.csv.gz"


def test_truncated(fake_sklearn: Path):
    fake_sklearn.write_bytes(fake_sklearn.read_bytes()[:20_000])
    with pytest.raises(DataError, match=r"digits\.csv\.gz: damaged .*install scikit-learn again"):
        digits.build(Path()).splits["train"][0]


def test_other_content(fake_sklearn: Path):
    fake_sklearn.write_bytes(gzip.compress(b"1,2,3\n"))
    with pytest.raises(DataError, match="expected 1797 rows"):
        digits.build(Path()).splits["train"][0]


def test_missing_file(fake_sklearn: Path):
    fake_sklearn.unlink()
    with pytest.raises(DataError, match="install scikit-learn again"):
        digits.build(Path())


def test_scikit_learn_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        digits.build(Path())
