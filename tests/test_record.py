"""Records: written whole or not at all, read back equal, and every bad file named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cvbench.record import SCHEMA_VERSION, Costs, load_records, metric, read_record, write_atomically, write_record
from tests.records import record, spec

GOLDEN = Path(__file__).parent / "golden" / "record_1.json"


def test_a_record_comes_back_equal(tmp_path: Path) -> None:
    first = record(spec(), 0.75, others={"nll": 1.5})
    path = tmp_path / "record.json"
    write_record(first, path)
    again = read_record(path)
    assert again == first
    assert again.spec.run_id == first.run_id
    assert (metric(again, "top1"), metric(again, "top1", "val"), metric(again, "miou")) == (0.75, 0.5, None)
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]
    assert path.read_text().endswith("}\n")
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()  # whoever shares the store can read it


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_records_of_the_first_release_always_load() -> None:
    """The file is committed and never written again; numbers copied from it by hand."""
    old = read_record(GOLDEN)
    assert (old.schema_version, old.run_id, old.group_id) == (1, "e1b0f4a3c2d9", "0a1b2c3d4e5f")
    assert (old.spec.dataset.name, old.spec.model.name, old.spec.seed) == ("camvid", "unet", 1)
    assert old.spec.recipe.input_size == (180, 240)
    assert old.metrics == {"val/miou": 0.4125, "test/miou": 0.3875}
    assert old.per_class["iou"] == {"sky": 0.75, "bicyclist": None}
    assert old.costs.parameters == 7763272
    assert old.selection.epoch == 6
    assert old.started_at.isoformat() == "2025-01-31T12:30:00+00:00"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda text: text[: len(text) // 2], "not a readable record"),
        (lambda text: "", "not a readable record"),
        (lambda text: "[]", "not a readable record"),
        (lambda text: text.replace('"run_id"', '"runid"', 1), "not a readable record (run_id: Field required)"),
        (
            lambda text: text.replace('"epochs": 4', '"epochs": "4"'),
            "spec.recipe.epochs: Input should be a valid integer",
        ),
        (lambda text: text.replace("0.3875", "NaN"), "metrics.test/miou: Input should be a finite number"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "but got 2; upgrade cvbench"),
        (
            lambda text: json.dumps({"schema_version": 99, "all": "new"}),
            f"Expected schema_version <= {SCHEMA_VERSION}, but got 99; upgrade cvbench",
        ),
    ],
    ids=range(8),
)
def test_bad_records_are_named(damage: Any, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(damage(GOLDEN.read_text()))
    with pytest.raises(ValueError, match=r"record\.json: ") as raised:
        read_record(path)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b"\xff\x00\xff")
    with pytest.raises(ValueError, match=r"record\.json: not a readable record"):
        read_record(path)


def test_what_a_newer_version_adds_is_passed_over(tmp_path: Path) -> None:
    data = json.loads(GOLDEN.read_text())
    data["energy_joules"] = 5.0
    data["costs"]["energy_joules"] = 5.0
    path = tmp_path / "record.json"
    path.write_text(json.dumps(data))
    assert read_record(path) == read_record(GOLDEN)


def test_a_number_that_is_none_never_gets_into_a_record() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="finite"):
            record(spec(), value)
        with pytest.raises(ValidationError, match="finite"):
            Costs(parameters=1, train_seconds=value)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, "new")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half of it \ud800 and the rest")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]
    write_atomically(path, "new")
    assert path.read_text() == "new"


def test_two_writers_never_share_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: used.append(self.name) or replace(self, target))
    for _ in range(3):
        write_atomically(tmp_path / "record.json", "x")
    assert len(set(used)) == 3
    assert all(name.startswith(".") for name in used)


def test_all_records_of_a_store(tmp_path: Path) -> None:
    runs = [spec(model, seed) for model in ("mlp", "lenet") for seed in (1, 0)]
    for run in runs:
        folder = tmp_path / "digits" / run.model.name / run.run_id
        folder.mkdir(parents=True)
        write_record(record(run, 0.5), folder / "record.json")
    (tmp_path / "boards" / "quick").mkdir(parents=True)
    (tmp_path / "digits" / "mlp" / "half").mkdir()
    found = load_records(tmp_path)
    assert {one.run_id for one in found} == {run.run_id for run in runs}
    assert [one.spec.model.name for one in found] == ["lenet", "lenet", "mlp", "mlp"]
    assert load_records(str(tmp_path / "boards")) == []
    for name in ("a", "b"):
        (tmp_path / "digits" / "mlp" / name).mkdir()
        (tmp_path / "digits" / "mlp" / name / "record.json").write_text("{")
    with pytest.raises(ValueError, match=r"(?s)mlp/a/record\.json.*mlp/b/record\.json"):
        load_records(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        load_records(tmp_path / "gone")
