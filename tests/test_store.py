"""The store: where runs lie, where they stand, and that nothing outside it is ever touched."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.data_here import data_states, load_dataset, revisions
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import EvidenceFile, Record, write_record
from cvbench.spec import Augment, DatasetRef, ModelRef, Recipe, RunSpec, Weights
from cvbench.store import Failure, Store, slug
from cvbench.yamlfile import read_yaml
from tests.data.captioned import draw, write
from tests.records import facts, record, spec

HERE = "aaaaaaaaaaaa"  # the revision in `records.facts`


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def keep(store: Store, run: RunSpec, **changes: Any) -> Record:
    made = record(run, 0.5, **changes)
    with store.lock(run) as folder:
        write_record(made, folder / "record.json")
    return made


def failure(run: RunSpec) -> Failure:
    return Failure(run_id=run.run_id, kind="ValueError", message="no", failed_at=datetime(2025, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("camvid", "camvid"),
        ("torchvision/resnet18", "torchvision-resnet18"),
        ("my_pkg.my_file:build", "my_pkg.my_file-build"),
        ("../x", "x"),
        ("../../etc/passwd", "etc-passwd"),
        ("/etc/passwd", "etc-passwd"),
        ("C:\\x", "C-x"),
        ("..", "unnamed"),
        (".", "unnamed"),
        ("", "unnamed"),
        (".hidden", "hidden"),
        ("a/../../b", "a-..-..-b"),
        ("日本語", "unnamed"),
        ("straße", "stra-e"),
        ("a\x00b\nc", "a-b-c"),
        ("x" * 500, "x" * 80),
        ("x" * 79 + "." + "y", "x" * 79),
    ],
)
def test_slugs_are_one_harmless_part(name: str, expected: str) -> None:
    assert slug(name) == expected
    assert len(Path(slug(name)).parts) == 1


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "..", "", "été/été"])
def test_every_run_lies_inside_the_store(store: Store, name: str) -> None:
    run = spec(dataset=DatasetRef(name=name, options={}), model=ModelRef(name=name, options={}))
    folder = store.folder(run)
    assert folder.parent.parent.parent == store.root
    assert folder.resolve().is_relative_to(store.root.resolve())
    assert folder.name == run.run_id


def test_where_a_run_stands(store: Store) -> None:
    run = spec()
    assert store.state(run, HERE) == "missing"
    assert (store.record(run), store.failure(run)) == (None, None)
    assert not store.root.exists()  # asking makes no folders

    store.fail(run, failure(run))
    assert store.state(run, HERE) == "failed"
    assert store.failure(run) == failure(run)

    made = keep(store, run)
    assert store.record(run) == made
    assert store.state(run, HERE) == store.state(run, None) == "done"
    assert store.state(run, "bbbbbbbbbbbb") == "outdated"
    assert store.state(spec(seed=1), HERE) == "missing"

    keep(store, run, evaluator_version=EVALUATOR_VERSION - 1)
    assert store.state(run, HERE) == store.state(run, None) == "stale"
    assert store.state(run, "bbbbbbbbbbbb") == "outdated"  # rescoring would not mend it
    keep(store, run, dataset=facts(revision="bbbbbbbbbbbb"))
    assert store.state(run, HERE) == "outdated"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}', "\x00"])
def test_a_damaged_record_is_a_failure_that_names_the_file(store: Store, text: str) -> None:
    run = spec()
    keep(store, run)
    path = store.folder(run) / "record.json"
    path.write_text(text)
    assert store.state(run, HERE) == "failed"
    with pytest.raises(ValueError, match=r"record\.json: "):
        store.record(run)


def test_the_record_of_another_run_does_not_count(store: Store) -> None:
    run, other = spec(), spec(seed=1)
    keep(store, other)
    with store.lock(run) as folder:
        (folder / "record.json").write_bytes((store.folder(other) / "record.json").read_bytes())
    assert store.state(run, HERE) == "failed"
    with pytest.raises(ValueError, match=f"Expected the record of run {run.run_id}, but got {other.run_id}"):
        store.record(run)


def test_a_damaged_failure_is_still_a_failure(store: Store) -> None:
    run = spec()
    store.fail(run, failure(run))
    (store.folder(run) / "failure.json").write_text("{")
    found = store.failure(run)
    assert found is not None
    assert found.kind == "unreadable"
    assert found.failed_at < datetime.now(UTC)
    assert store.state(run, HERE) == "failed"


def work(store: Store, run: RunSpec, labels: list[int], **changes: Any) -> None:
    """What a run leaves in its working folder: a record, the truth, something else."""
    working = store.begin(run)
    write_record(record(run, 0.5, **changes), working / "record.json")
    np.savez_compressed(working / "truth.npz", ids=np.array(["a", "b"]), labels=np.array(labels))
    (working / "evidence.npz").write_text("new")


def test_a_finished_try_replaces_the_old_one_and_nothing_else(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "thesis.tex").write_text("years of work")
    run, other = spec(), spec(seed=1)
    kept = keep(store, other)
    keep(store, run)
    with store.lock(run) as folder:
        (folder / "wandb" / "deep").mkdir(parents=True)
        (folder / "wandb" / "link").symlink_to(outside)
        (folder / ".record.json.1.tmp").touch()
        (folder / "folder_link").symlink_to(outside)
        (folder / "dangling").symlink_to(tmp_path / "gone")
        work(store, run, [0, 1], samples={"test": 2})
        assert store.state(run, HERE) == "done"  # the old record counts until the new try is whole
        store.finish(run)
        assert {path.name for path in folder.iterdir()} == {".lock", "spec.yaml", "record.json", "evidence.npz"}
    found = store.record(run)
    assert found is not None
    assert found.samples == {"test": 2}
    assert (outside / "thesis.tex").read_text() == "years of work"
    assert store.record(other) == kept


def test_a_try_that_fails_keeps_the_old_record(store: Store) -> None:
    run = spec()
    made = keep(store, run)
    (store.begin(run) / "log.txt").write_text("what went wrong")
    store.fail(run, failure(run))
    assert store.record(run) == made
    assert store.failure(run) == failure(run)
    assert (store.folder(run) / "failure.log").read_text() == "what went wrong"


def test_a_first_try_that_fails_keeps_its_log(store: Store) -> None:
    run = spec()
    with store.lock(run):
        (store.begin(run) / "log.txt").write_text("what went wrong")
        store.fail(run, failure(run))
    assert (store.folder(run) / "log.txt").read_text() == "what went wrong"
    assert store.state(run, HERE) == "failed"


def test_what_a_killed_try_left_is_gone_at_the_next(store: Store) -> None:
    run = spec()
    with store.lock(run):
        (store.begin(run) / "half.npz").touch()
        assert [path.name for path in store.begin(run).iterdir()] == ["spec.yaml"]


def test_what_a_killed_try_can_be_gone_on_from_is_kept(store: Store) -> None:
    run = spec()
    with store.lock(run):
        working = store.begin(run)
        for name in ("resume.ckpt", "best-at-7.ckpt", "log.txt", "best.ckpt", "half.npz", "resume.ckpt.new"):
            (working / name).write_text("before")
        for name in ("predictions", "tensorboard"):
            (working / name).mkdir()
        names = {path.name for path in store.begin(run).iterdir()}
        assert names == {"spec.yaml", "resume.ckpt", "best-at-7.ckpt", "log.txt", "tensorboard"}
        assert (working / "resume.ckpt").read_text() == "before"
        assert [path.name for path in store.begin(run, anew=True).iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize("before", [True, False])
def test_a_damaged_checkpoint_stays_aside_until_the_run_is_done(store: Store, before: bool) -> None:
    """Whoever wants to know what became of it finds it: after a try that failed, after one that was killed."""
    run = spec()
    if before:
        keep(store, run)
    with store.lock(run) as folder:
        aside = store.begin(run) / "resume.ckpt.damaged"
        aside.write_text("half")
        (aside.parent / "log.txt").write_text("why")
        store.fail(run, failure(run))
        assert (folder / ("failure.log" if before else "log.txt")).read_text() == "why"
        assert {path.name for path in store.begin(run).iterdir()} == {"spec.yaml", "resume.ckpt.damaged"}
        work(store, run, [0, 1])
        assert aside.read_text() == "half"
        store.finish(run)
        assert not list(folder.rglob("*.damaged"))
        aside = store.begin(run) / "resume.ckpt.damaged"
        aside.write_text("half")
        assert [path.name for path in store.begin(run, anew=True).iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize(("kind", "stays"), [("killed", True), ("OSError", True), ("LossIsNotFiniteError", False)])
@pytest.mark.parametrize("before", [True, False])
def test_a_failed_try_leaves_its_checkpoint_where_that_helps(
    store: Store, kind: str, stays: bool, before: bool
) -> None:
    run = spec()
    if before:
        keep(store, run)
    with store.lock(run) as folder:
        working = store.begin(run)
        for name in ("resume.ckpt", "best-at-7.ckpt", "log.txt", "curves.csv"):
            (working / name).write_text("before")
        store.fail(run, failure(run).model_copy(update={"kind": kind}))
        assert (folder / ("failure.log" if before else "log.txt")).read_text() == "before"
        assert (folder / "curves.csv").exists() is not before
        assert working.exists() is stays
        left = {path.name for path in store.begin(run).iterdir()}
    assert left == {"spec.yaml"} | ({"resume.ckpt", "best-at-7.ckpt", "log.txt"} if stays else set())
    assert (store.record(run) is not None) is before


def test_a_damaged_record_is_set_aside_and_a_newer_one_is_left_alone(store: Store) -> None:
    run = spec()
    keep(store, run)
    path = store.folder(run) / "record.json"
    path.write_text('{"cut off')
    work(store, run, [0, 1])
    store.finish(run)
    assert path.with_name("record.json.damaged").read_text() == '{"cut off'
    assert store.state(run, HERE) == "done"
    path.write_text('{"schema_version": 99}')
    with pytest.raises(ValueError, match="upgrade cvbench"):
        store.begin(run)
    assert path.read_text() == '{"schema_version": 99}'


def test_truth_is_kept_once_and_must_not_change(store: Store) -> None:
    for seed in (0, 1):
        with store.lock(spec(seed=seed)):
            work(store, spec(seed=seed), [0, 1])
            store.finish(spec(seed=seed))
    (kept,) = store.folder(spec()).parents[1].glob("truth-*.npz")
    with store.lock(spec(seed=2)):
        work(store, spec(seed=2), [1, 1])
        with pytest.raises(ValueError, match="the labels differ from those that other runs"):
            store.finish(spec(seed=2))
    with np.load(kept) as truth:
        assert truth["labels"].tolist() == [0, 1]
    assert store.record(spec(seed=2)) is None


def test_the_old_record_goes_first_and_the_new_one_comes_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill in the middle of replacing must not leave a record beside half of its evidence."""
    run = spec()
    keep(store, run)
    (store.folder(run) / "evidence.npz").touch()
    work(store, run, [0, 1])
    steps: list[tuple[str, str]] = []
    unlink, replace = Path.unlink, Path.replace
    monkeypatch.setattr(Path, "unlink", lambda self, **given: steps.append(("-", self.name)) or unlink(self, **given))
    monkeypatch.setattr(Path, "replace", lambda self, to: steps.append(("+", Path(to).name)) or replace(self, to))
    store.finish(run)
    moves = [step for step in steps if not step[1].startswith("truth")]
    assert moves[0] == ("-", "record.json")
    assert moves[-1] == ("+", "record.json")
    assert ("+", "evidence.npz") in moves


def test_a_try_that_is_whole_is_completed_and_no_other(store: Store) -> None:
    run, other = spec(), spec(seed=1)
    evidence = EvidenceFile(sha256=hashlib.sha256(b"new").hexdigest(), size_bytes=3, truth="0" * 64)
    damages: list[Callable[[Path], object]] = [
        lambda working: (working / "record.json").unlink(),
        lambda working: (working / "record.json").write_text("{"),
        lambda working: write_record(record(other, 0.5), working / "record.json"),
        lambda working: (working / "evidence.npz").write_text("ne"),
        lambda working: (working / "evidence.npz").unlink(),
        lambda working: (working / "truth.npz").unlink(),
    ]
    with store.lock(run) as folder:
        assert not store.complete(run)
        for damage in damages:
            work(store, run, [0, 1], evidence=evidence)
            damage(folder / ".new")
            assert not store.complete(run)
            assert store.record(run) is None
        work(store, run, [0, 1], evidence=evidence)
        (folder / ".new" / "resume.ckpt").write_text("the process was killed before this went")
        assert store.complete(run)
        assert not store.complete(run)
        assert store.record(run) == record(run, 0.5, evidence=evidence)
        assert {path.name for path in folder.iterdir()} == {".lock", "spec.yaml", "record.json", "evidence.npz"}


def test_a_run_folder_that_is_a_link_is_refused(store: Store, tmp_path: Path) -> None:
    run = spec()
    outside = tmp_path / "precious"
    outside.mkdir()
    store.folder(run).parent.mkdir(parents=True)
    store.folder(run).symlink_to(outside)
    with pytest.raises(ValueError, match="Expected a folder, but got a symbolic link"), store.lock(run):
        pass
    assert list(outside.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("not a folder")
    with pytest.raises(ValueError, match=r"afile: Expected a folder of runs, but got a file; .*--store"):
        Store(tmp_path / "afile")
    store = Store(tmp_path / "runs")
    store.root.mkdir()
    (store.root / "digits").write_text("not a folder")
    run = spec(dataset=DatasetRef(name="digits", options={}))
    with pytest.raises(ValueError, match=r"digits.*: Expected a folder of the store, but got a file"), store.lock(run):
        pass


HOLDER = """
import sys
from cvbench.spec import RunSpec
from cvbench.store import Store
run = RunSpec.model_validate_json(sys.argv[2])
with Store(sys.argv[1]).lock(run):
    print("held", flush=True)
    sys.stdin.readline()
print("free", flush=True)
"""


def test_two_processes_do_not_hold_one_run(store: Store) -> None:
    run = spec()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.root), run.model_dump_json()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        lock = store.folder(run) / ".lock"
        with lock.open("a") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with store.lock(spec(seed=1)):  # another run is another lock
            pass
        holder.stdin.write("\n")
        holder.stdin.flush()
        with store.lock(run) as folder:  # waits for the holder
            assert folder == store.folder(run)
            with lock.open("a") as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert holder.stdout.readline() == "free\n"
    assert holder.returncode == 0


def test_the_saved_spec_is_the_same_run(store: Store) -> None:
    texts = ["no", "yes", "true", "null", "~", "", " x ", "1e-3", "012", "0x1F", "1_000", "2020-01-01", "a: b # c", "=",
             "<<", "!t", "'\"", "\t", "été\n日"]  # fmt: skip
    odd = dict(zip("abcdefghijklmnopqrs", texts, strict=True))
    odd |= {"numbers": [1e-5, 1e22, 0.1 + 0.2, -0.0, 2.0, 3], "deep": [[1], {"x": None}]}  # type: ignore[dict-item]
    run = spec(
        dataset=DatasetRef(name="folder", options=odd, version=1),
        model=ModelRef(name="mlp", options={}, weights=Weights(source="/a b/ü.pt", sha256="12e4")),
        recipe=Recipe(steps=3, lr=3e-4, augment=Augment(crop_scale=(0.5, 1.0))),
        overrides=("lr", "warmup"),
    )
    with store.lock(run):
        folder = store.begin(run)
    again = RunSpec.model_validate_json(json.dumps(read_yaml(folder / "spec.yaml").data))
    assert again.run_id == run.run_id
    assert again == run


PLUGIN = """
from pathlib import Path
from types import SimpleNamespace

Path(__file__).with_name("was_imported").touch()

def build(root, **options):
    if options.get("wrong"):
        raise KeyError("anything at all")
    return SimpleNamespace(info=SimpleNamespace(revision="0123456789ab", options=options, split_sizes={}))
"""


def own(**options: Any) -> RunSpec:
    return spec(dataset=DatasetRef(name="my_own_data:build", options=options))


def test_revisions_of_somebodys_own_data_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "my_own_data.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    request.addfinalizer(lambda: sys.modules.pop("my_own_data", None))
    monkeypatch.setattr(sys, "path", list(sys.path))
    good, wrong, gone = own(), own(wrong=True), spec(dataset=DatasetRef(name="no_such_file:build", options={}))
    assert set(revisions([good, wrong, gone], tmp_path).values()) == {None}
    assert not (tmp_path / "was_imported").exists()
    found = revisions([good, wrong, gone], tmp_path, plugins=True)
    assert found == {good.run_id: "0123456789ab", wrong.run_id: None, gone.run_id: None}
    data: Any = load_dataset("classification", own(size=[1, 2]).dataset, tmp_path)
    assert data.info.options == {"size": (1, 2)}


def test_revisions_of_data_that_are_here_and_that_are_not(tmp_path: Path) -> None:
    streets = {"height": 32, "width": 32, "train": 1, "val": 1, "test": 1}
    here = [
        spec(dataset=DatasetRef(name="streets", options=streets, version=1), seed=seed, task=task)
        for task in ("classification", "segmentation")
        for seed in (0, 1)
    ]
    not_here = spec(dataset=DatasetRef(name="camvid", options={}), task="segmentation")
    unknown = spec(dataset=DatasetRef(name="camvidd", options={}), task="segmentation")
    found = revisions([*here, not_here, unknown], tmp_path)
    assert found[not_here.run_id] is found[unknown.run_id] is None
    assert found[here[0].run_id] == found[here[1].run_id] is not None
    states = data_states([*here, not_here], tmp_path)
    assert states[here[0].run_id] == (found[here[0].run_id], None, {"train": 1, "val": 1, "test": 1})
    revision, problem, sizes = states[not_here.run_id]
    assert (revision, sizes) == (None, None)
    assert problem is not None
    assert problem.startswith("The dataset camvid is not there")
    assert "\n" not in problem


def test_a_data_root_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the default one, `data`, is: files are named below a folder that could be looked for within itself."""
    draw(tmp_path / "data" / "own" / "images", names := [f"{place}.png" for place in range(60)])
    write(tmp_path / "data" / "own" / "captions.json", {name: [f"Picture {name}."] for name in names})
    reference = DatasetRef(name="folder_captions", options={"path": "own", "min_count": 1}, version=1)
    monkeypatch.chdir(tmp_path)
    here, there = (load_dataset("captioning", reference, root) for root in (Path("data"), tmp_path / "data"))
    assert here.info == there.info
