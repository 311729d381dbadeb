"""Two records held against each other, by hand; and what stands in the way of running one again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cvbench.data_here import load_dataset
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.plan import plan
from cvbench.record import Record
from cvbench.reproducible import check_trained_here, data_differences, find_record, moved_on, with_weights
from cvbench.reproduction import changed, compared, same_machine
from cvbench.spec import DatasetRef, ModelRef, RunSpec, Weights
from cvbench.suite import load_suite
from tests import records
from tests.records import record, spec

VERSIONS = {"torch": "2.15.0", "numpy": "2.1.0", "cvbench": "1.0.0"}
HERE = {"python": "3.11.9", "os": "Linux 6.1", "machine": "x86_64", "versions": VERSIONS, "commit": "0123abc"}


def made(value: float = 0.9, **changes: Any) -> Record:
    return record(spec(), value, **{"environment": HERE} | changes)


def verdicts(first: Record, second: Record, tolerance: float) -> dict[str, str]:
    return {one.metric: one.verdict for one in compared(first, second, tolerance)}


def test_each_metric_gets_its_verdict() -> None:
    first = made(0.90, others={"nll": 40.0, "ece": 0.02, "macro_top1": 0.5})
    second = made(0.909, others={"nll": 40.39, "ece": 0.02, "top5": 1.0})
    assert verdicts(first, second, 0.01) == {
        "val/top1": "equal",
        "test/top1": "within",  # 0.009 away
        "test/nll": "within",  # of 40, 0.01 is 0.4
        "test/ece": "equal",
        "test/macro_top1": "missing",
        "test/top5": "missing",
    }
    assert verdicts(first, second, 0.0)["test/top1"] == "differs"
    assert verdicts(first, second, 0.008)["test/top1"] == "differs"
    assert verdicts(first, made(0.90, others={"nll": 40.41}), 0.01)["test/nll"] == "differs"
    assert verdicts(made(0.5), made(0.5), 0.0) == {"val/top1": "equal", "test/top1": "equal"}


def test_what_one_side_could_not_measure_speaks_for_nothing() -> None:
    """METEOR, say, where there is no Java; a metric that is gone without a reason is missing."""
    first, there = made(others={"meteor": 0.2, "cider": 0.4}), made()
    second = made(absent_metrics={"meteor": "no Java"})
    assert verdicts(first, second, 0.0)["test/meteor"] == verdicts(second, first, 0.0)["test/meteor"] == "absent"
    assert verdicts(first, second, 0.0)["test/cider"] == "missing"
    assert verdicts(first, there, 0.0)["test/meteor"] == "missing"


def test_the_smallest_bit_is_seen() -> None:
    (_, one) = compared(made(0.9), made(0.9000000000000001), 0.0)
    assert one.verdict == "differs"
    assert one.difference == pytest.approx(1.11e-16, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"environment": HERE | {"commit": "fffffff", "os": "Linux 6.9", "python": "3.12.1"}}, True),
        ({"environment": HERE | {"versions": VERSIONS | {"cvbench": "1.1.0"}}}, True),
        ({"environment": HERE | {"versions": VERSIONS | {"torch": "2.16.0"}}}, False),
        ({"environment": HERE | {"machine": "arm64"}}, False),
        ({"threads": 2}, False),
        ({"device_name": "another CPU"}, False),
        ({"jobs": 4}, True),
    ],
)
def test_where_equal_bits_are_promised(changes: dict[str, Any], same: bool) -> None:
    execution = made().execution.model_copy(
        update={k: v for k, v in changes.items() if k in ("threads", "device_name", "jobs")}
    )
    environment = changes.get("environment", HERE)
    assert same_machine(made(), made(execution=execution, environment=environment)) is same


def test_what_differs_is_named_with_both_values() -> None:
    versions = {"torch": "2.16.0", "numpy": "2.1.0", "cvbench": "1.0.0", "timm": "1.0.9"}
    other = made(
        environment=HERE | {"versions": versions, "commit": "fffffff"},
        execution=made().execution.model_copy(update={"threads": 2, "jobs": 3}),
        evaluator_version=made().evaluator_version + 1,
        dataset=records.facts(revision="bbbbbbbbbbbb", protocol={"classes": 2}),
    )
    found = {one.what: (one.recorded, one.here) for one in changed(made(), other)}
    assert found.pop("protocol")[1] == '{"classes": 2}'
    assert found == {
        "threads": (1, 2),
        "commit": ("0123abc", "fffffff"),
        "version of torch": ("2.15.0", "2.16.0"),
        "version of timm": (None, "1.0.9"),
        "evaluator version": (1, 2),
        "data revision": ("aaaaaaaaaaaa", "bbbbbbbbbbbb"),
    }
    assert changed(made(), made(0.1)) == []


def planned(folder: Path, model: str = "linear") -> RunSpec:
    file = folder / "bench.yaml"
    file.write_text(f"task: classification\ndatasets: [digits]\nmodels: [{model}]\nrecipe: {{epochs: 1}}\n")
    (run,) = plan(load_suite([file]))
    return run


def current(run: RunSpec, root: Path, **changes: Any) -> Record:
    """A record as this code would have made it."""
    info = load_dataset(run.task, run.dataset, root).info
    dataset = records.facts(revision=info.revision, protocol=dict(info.protocol))
    return record(run, 0.9, **{"dataset": dataset, "evaluator_version": EVALUATOR_VERSION} | changes)


def test_a_record_of_this_code_and_these_data_has_nothing_in_its_way(tmp_path: Path) -> None:
    kept = current(planned(tmp_path), tmp_path)
    check_trained_here(kept)
    assert moved_on(kept) == []
    # through JSON, which knows no tuples
    assert data_differences(Record.model_validate_json(kept.model_dump_json()), tmp_path) == []


def test_files_that_have_moved_on_are_named(tmp_path: Path) -> None:
    run = planned(tmp_path)
    older = run.model_copy(
        update={
            "task_version": run.task_version - 1,
            "dataset": run.dataset.model_copy(update={"version": 0}),
            "model": run.model.model_copy(update={"version": 99, "options": {"bygone": 1}}),
        }
    )
    said = "\n".join(moved_on(record(older, 0.9, evaluator_version=EVALUATOR_VERSION - 1)))
    assert f"task classification: the record is of VERSION {run.task_version - 1}, here is VERSION" in said
    assert "dataset digits: the record is of VERSION 0, here is VERSION" in said
    assert "model linear: the record is of VERSION 99, here is VERSION" in said
    assert "unknown option 'bygone' of linear" in said
    assert f"scored by evaluator {EVALUATOR_VERSION - 1}, this is {EVALUATOR_VERSION}; `cvbench rescore`" in said


def test_other_data_are_named(tmp_path: Path) -> None:
    kept = current(planned(tmp_path), tmp_path)
    protocol = kept.dataset.protocol | {"scoring_size": "native"}
    other = kept.model_copy(update={"dataset": records.facts(revision="bbbbbbbbbbbb", protocol=protocol)})
    said = data_differences(other, tmp_path)
    assert said[0] == f"data revision: the record's is bbbbbbbbbbbb, here is {kept.dataset.revision}"
    assert "protocol: scoring_size: the record's is 'native', here is None" in said
    run = spec(dataset=DatasetRef(name="mnist", options={}, version=1))
    with pytest.raises(ValueError, match="mnist"):
        data_differences(record(run, 0.9), tmp_path / "nothing")


def test_what_cannot_be_trained_again(tmp_path: Path) -> None:
    run = planned(tmp_path)
    kept = record(run, 0.9)
    edited = kept.model_copy(update={"spec": run.model_copy(update={"seed": 7})})
    with pytest.raises(ValueError, match="was edited"):
        check_trained_here(edited)
    handed_in = kept.model_copy()
    object.__setattr__(handed_in, "submission", {"name": "theirs"})
    with pytest.raises(ValueError, match="nothing to train"):
        check_trained_here(handed_in)
    for name in ("gone_plugin:build", "gone.package.plugin:build"):
        lost = record(run.model_copy(update={"model": ModelRef(name=name, options={})}), 0.9)
        with pytest.raises(ValueError, match=r"there is no module 'gone.*PYTHONPATH"):
            moved_on(lost)
    unknown = record(run.model_copy(update={"model": ModelRef(name="lenot", options={}, version=1)}), 0.9)
    with pytest.raises(ValueError, match="did you mean 'lenet'"):
        moved_on(unknown)


def test_weights_are_found_by_their_content(tmp_path: Path) -> None:
    file, moved, other = (tmp_path / name for name in ("a.pt", "moved.pt", "other.pt"))
    file.write_bytes(b"abc")
    other.write_bytes(b"xyz")
    # SHA-256 of "abc", FIPS 180-2
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    given = Weights(source=str(file), sha256=digest)
    run = spec(model=ModelRef(name="lenet", options={}, weights=given, backbone_weights=given))
    assert with_weights(run, []) == run
    file.rename(moved)
    with pytest.raises(ValueError, match=rf"a\.pt: these weights.* is gone; give a file of SHA-256 {digest}"):
        with_weights(run, [other])
    found = with_weights(run, [other, moved])
    assert found.run_id == run.run_id
    assert found.model.weights is not None
    assert found.model.backbone_weights is not None
    assert found.model.weights.source == found.model.backbone_weights.source == str(moved)
    file.write_bytes(b"changed")
    with pytest.raises(ValueError, match="is another file now"):
        with_weights(run, [])
    published = spec(model=ModelRef(name="torchvision/resnet18", options={}, weights=Weights(source="DEFAULT")))
    assert with_weights(published, []) == published


def test_records_are_found_by_folder_file_or_id(tmp_path: Path) -> None:
    places = []
    for name in ("abc123abc123", "abc999abc999"):
        place = tmp_path / "runs" / "digits" / "linear" / name / "record.json"
        place.parent.mkdir(parents=True)
        place.write_text("{}")
        places.append(place)
    store = tmp_path / "runs"
    assert find_record(str(places[0]), store) == places[0]
    assert find_record(str(places[0].parent), tmp_path) == places[0]
    assert find_record("abc1", store) == find_record("abc123abc123", store) == places[0]
    with pytest.raises(ValueError, match="Expected one run, but got abc123abc123, abc999abc999"):
        find_record("abc", store)
    for wrong in ("fff", "*", "../runs", "no/where"):
        with pytest.raises(ValueError, match="name the store with --store"):
            find_record(wrong, store)
