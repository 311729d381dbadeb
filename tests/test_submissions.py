"""`cvbench submit`: what others predicted is scored as a run is, and finds its board."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from cvbench.arrays import digest, load_arrays
from cvbench.claims import hold
from cvbench.claims_file import load_claims
from cvbench.cli import main
from cvbench.data_here import load_dataset
from cvbench.harness import run
from cvbench.leaderboard import rank
from cvbench.machine import Machine
from cvbench.plan import plan
from cvbench.record import Record, load_records, read_record
from cvbench.scoring.by_name import scoring_of
from cvbench.store import Store
from cvbench.submissions import submitted
from cvbench.suite import load_suite
from cvbench.table import metrics_table

OPTIONS = {"height": 32, "width": 48, "train": 24, "val": 6, "test": 11}
NAME, URL = "U-Net, B. Author <b>2026</b>", "https://example.org/paper?x=1&y=2#z"
MODELS: dict[str, Any] = {
    "classification": "linear",
    "segmentation": {"name": "unet", "options": {"width": 4}},
    "detection": {"name": "fcos", "options": {"width": 8}},
    "captioning": "prior",
}
TASKS = list(MODELS)


class Run(NamedTuple):
    """A finished run: its benchmark's file, its store, its folder there and its record."""

    file: Path
    store: Path
    folder: Path
    record: Record


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """The one finished run of a task in a store of its own, made when it is first asked for."""
    made: dict[str, Run] = {}

    def of(task: str) -> Run:
        if task not in made:
            folder = tmp_path_factory.mktemp(task)
            dataset = {"name": "streets", "options": OPTIONS}
            benchmark = {"task": task, "datasets": [dataset], "models": [MODELS[task]], "recipe": {"epochs": 1}}
            (folder / "small.yaml").write_text(json.dumps(benchmark))
            store, (spec,) = Store(folder / "runs"), plan(load_suite([folder / "small.yaml"]))
            here = Machine(accelerator="cpu", threads=1, cache=folder / "cache", save_predictions=True)
            with pytest.MonkeyPatch.context() as patched, store.lock(spec):
                patched.setenv("CVBENCH_METEOR_JAR", "nowhere.jar")  # takes long, and is tested elsewhere
                run(spec, here, store.begin(spec))
                store.finish(spec)
            record = store.record(spec)
            assert record is not None
            made[task] = Run(folder / "small.yaml", store.root, store.folder(spec), record)
        return made[task]

    return of


def probabilities(evidence: dict[str, np.ndarray], labels: np.ndarray, classes: int) -> np.ndarray:
    """Rows with the top five and the true class of the evidence; what is left over is shared by the others."""
    rows = np.full((len(labels), classes), np.nan)
    place = np.arange(len(labels))
    np.put_along_axis(rows, evidence["top"].astype(int), evidence["top_probability"].astype(float), axis=1)
    rows[place, labels] = np.exp(evidence["true_log_probability"].astype(float))
    rest = np.isnan(rows)
    left = np.maximum(1 - np.nansum(rows, axis=1), 0)
    share = left / np.maximum(rest.sum(axis=1), 1)
    return np.where(rest, share[:, None], rows)


def predictions(run: Run, out: Path) -> Path:
    """The run's own predictions in the format of its task, as somebody else would hand them in."""
    task = run.record.spec.task
    if task == "segmentation":
        return run.folder / "predictions"
    if task in ("detection", "captioning"):
        assert main(["export", str(run.folder), "--out", str(out)]) == 0
        return out / "results.json"
    evidence, classes = load_arrays(run.folder / "evidence.npz"), run.record.dataset.classes
    (truth,) = run.store.glob("streets/truth-*.npz")
    rows = probabilities(evidence, load_arrays(truth)["labels"], len(classes))
    out.mkdir()
    with (out / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", *(f"p_{index}" for index in range(len(classes)))])
        for name, best, row in reversed(list(zip(evidence["ids"], evidence["top"][:, 0], rows.tolist(), strict=True))):
            writer.writerow([name.removeprefix("test/"), classes[best], *row])
    return out / "rows.csv"


def line(file: Path, task: str, store: Path, *more: str, name: str = NAME, url: str = URL) -> list[str]:
    told = ["--task", task, "--dataset", "streets", "--name", name, "--url", url, "--store", str(store)]
    return ["submit", str(file), *told, *more, "--options", *(f"{key}={value}" for key, value in OPTIONS.items())]


def scores_of(record: Record) -> dict[str, float]:
    return {name: value for name, value in record.metrics.items() if name.startswith("test/")}


@pytest.mark.parametrize("task", TASKS)
def test_truth_is_that_of_a_run(task: str, run_of: Callable[[str], Run]) -> None:
    run = run_of(task)
    truth = scoring_of(task).split_truth(load_dataset(task, run.record.spec.dataset, Path()))
    assert run.record.evidence is not None
    assert digest(truth) == run.record.evidence.truth
    (kept,) = run.store.glob("streets/truth-*.npz")
    assert {name: array.dtype for name, array in truth.items()} == {k: a.dtype for k, a in load_arrays(kept).items()}


@pytest.mark.parametrize("task", TASKS)
def test_a_runs_own_predictions_score_what_the_run_scored(
    task: str,
    run_of: Callable[[str], Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = run_of(task)
    monkeypatch.setenv("CVBENCH_METEOR_JAR", "nowhere.jar")
    file = predictions(run, tmp_path / "out")
    capsys.readouterr()
    assert main([*line(file, task, tmp_path / "runs"), "--parameters", "1234", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = Path(told["folder"])
    record = read_record(folder / "record.json")
    assert folder == tmp_path / "runs" / "streets" / "U-Net-B.-Author-b-2026-b" / record.run_id
    ours, theirs = scores_of(record), scores_of(run.record)
    if task == "classification":  # a CSV has probabilities as decimals, a run logarithms and float32
        for name in ("test/nll", "test/ece"):
            assert ours.pop(name) == pytest.approx(theirs.pop(name), rel=1e-6)
    assert ours == theirs
    assert record.per_class == run.record.per_class
    assert record.dataset.model_dump(exclude={"input_size"}) == run.record.dataset.model_dump(exclude={"input_size"})
    assert (record.samples, record.absent_metrics) == ({"test": 11}, run.record.absent_metrics)
    assert record.submission is not None
    assert (record.submission.name, record.submission.url) == (NAME, URL)
    assert (record.spec.mode, record.spec.model.name, record.run_id) == ("submitted", NAME, record.spec.run_id)
    assert (record.costs.parameters, record.costs.macs, record.execution) == (1234, None, None)
    assert record.evidence is not None
    assert run.record.evidence is not None
    assert record.evidence.truth == run.record.evidence.truth
    if task != "classification":  # whose probabilities are float32 in the run
        assert digest(load_arrays(folder / "evidence.npz")) == digest(load_arrays(run.folder / "evidence.npz"))


@pytest.mark.parametrize("task", TASKS)
def test_a_real_run_passes_the_check_of_strangers_records(
    task: str, run_of: Callable[[str], Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVBENCH_METEOR_JAR", "nowhere.jar")
    record = run_of(task).folder / "record.json"
    capsys.readouterr()
    assert main(["check", str(record)]) == 0
    assert f"{record}: re-scored: " in capsys.readouterr().out


def labels_of(run: Run, out: Path) -> Path:
    out.mkdir(exist_ok=True)
    evidence = load_arrays(run.folder / "evidence.npz")
    rows = [f"{name},{best}\n" for name, best in zip(evidence["ids"], evidence["top"][:, 0], strict=True)]
    (out / "labels.csv").write_text("id,label\n" + "".join(rows))
    return out / "labels.csv"


def test_labels_alone_are_enough_and_say_what_they_lack(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    run = run_of("classification")
    assert main(line(labels_of(run, tmp_path), "classification", tmp_path / "runs")) == 0
    (record,) = load_records(tmp_path / "runs")
    theirs = scores_of(run.record)
    assert scores_of(record) == {name: theirs[name] for name in ("test/top1", "test/macro_top1")}
    assert set(record.absent_metrics) == {"top5", "nll", "ece"}


def test_the_run_id_is_that_of_name_and_content(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    file, store = labels_of(run_of("classification"), tmp_path), tmp_path / "runs"
    assert main(line(file, "classification", store)) == 0
    assert main(line(file, "classification", store, url="http://example.org/other")) == 0
    (first,) = load_records(store)
    assert first.submission is not None
    assert first.submission.url == "http://example.org/other"
    head, *rows = file.read_text().splitlines(keepends=True)
    file.write_text(head + "".join(reversed(rows)))
    assert main(line(file, "classification", store)) == 0
    (again,) = load_records(store)  # the order of rows says nothing
    assert (again.run_id, again.group_id) == (first.run_id, first.group_id)
    assert again.submission is not None
    assert again.submission.predictions != first.submission.predictions
    assert main(line(file, "classification", store, name="Another")) == 0
    label = rows[0].strip().partition(",")[2]
    file.write_text(file.read_text().replace(rows[0], rows[0].replace(f",{label}", f",{(int(label) + 1) % 8}")))
    assert main(line(file, "classification", store)) == 0
    assert len({record.run_id for record in load_records(store)}) == 3


def test_the_store_of_runs_bears_submissions(
    run_of: Callable[[str], Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of("classification")
    assert main(line(labels_of(run, tmp_path), "classification", run.store, name="linear")) == 0
    records = load_records(run.store)
    (mine,) = (record for record in records if record.submission is not None)
    assert [record.run_id for record in records if record.submission is None] == [run.record.run_id]
    assert len(list(run.store.glob("streets/truth-*.npz"))) == 1
    planned = plan(load_suite([run.file]))
    assert Store(run.store).state(planned[0], mine.dataset.revision) == "done"
    assert Store(run.store).state(mine.spec, mine.dataset.revision) == "done"
    capsys.readouterr()
    assert main(["plan", str(run.file), "--store", str(run.store), "--json"]) == 0
    assert mine.run_id not in capsys.readouterr().out
    assert main(["run", str(run.file), "--store", str(run.store)]) == 0  # nothing is left to do
    assert len(load_records(run.store)) == 2
    # as a row, costs and set-up stay empty
    table = metrics_table([mine.spec], [mine])
    assert table.loc[0, "mean"] == mine.metrics["test/top1"]
    assert table.loc[0, "parameters"] is None
    board = rank(load_suite([run.file]), [mine.spec.model_copy(update={"benchmark": "small"})], [mine]).boards[0]
    assert board.rows[0].costs is not None
    assert board.rows[0].costs.parameters is None
    # a name says nothing of how it was made: nothing published is held against it
    claim = {"task": "classification", "dataset": "streets", "model": "linear", "metric": "top1", "claimed": 50.0}
    claim |= {"unit": "%", "tolerance": 1.0, "source": "nobody", "protocol": {"classes": 8}, "test_samples": 11}
    (tmp_path / "claims.yaml").write_text(json.dumps({"claims": [claim]}))
    assert [held.seeds for held in hold(load_claims(tmp_path / "claims.yaml"), [mine])] == [0]
    # and it is no model to look into
    assert main(["predict", str(Store(run.store).folder(mine.spec)), str(tmp_path / "x.png")]) == 2


def test_a_board_gets_the_submissions_that_belong_on_it(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    file, store = labels_of(run_of("classification"), tmp_path), tmp_path / "runs"
    for name in ("Second", "First"):
        assert main(line(file, "classification", store, name=name)) == 0
    first, second = sorted(load_records(store), key=lambda record: record.spec.model.name)
    board = ("classification", first.spec.dataset, first.dataset.protocol, first.dataset.revision)
    assert submitted(store, *board) == [first, second]
    assert submitted(store, "detection", *board[1:]) == []
    other = first.spec.dataset.model_copy(update={"options": first.spec.dataset.options | {"seed": 1}})
    assert submitted(store, board[0], other, *board[2:]) == []
    assert submitted(store, *board[:2], {**first.dataset.protocol, "classes": 9}, board[3]) == []
    assert submitted(store, *board[:3], "another") == []
    assert submitted(tmp_path / "nothing", *board) == []
    # the layout of a repository
    kept = tmp_path / "submissions" / "streets" / "first" / "record.json"
    kept.parent.mkdir(parents=True)
    kept.write_bytes((Store(store).folder(first.spec) / "record.json").read_bytes())
    assert submitted(tmp_path / "submissions", *board) == [first]
    (kept.parent.parent / "half").mkdir()
    damaged = kept.parent.parent / "half" / "record.json"
    damaged.write_text("{")  # a run's, for all that can be told
    assert submitted(tmp_path / "submissions", *board) == [first]
    damaged.write_text(kept.read_text().replace('"run_id"', '"runid"', 1))
    with pytest.raises(ValueError, match=r"half/record\.json: not a readable record \(run_id"):
        submitted(tmp_path / "submissions", *board)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "--name: Expected a name of 1 to 100 characters, but got 0"),
        ({"name": "x" * 10_000}, "--name: Expected a name of 1 to 100 characters, but got 10000"),
        ({"name": "a\nb"}, r"--name: Expected a name of visible characters"),
        ({"name": "a\u202eb"}, r"but got 'a\u202eb'"),
        ({"name": " a"}, "neither begins nor ends with a space"),
        ({"url": "javascript:alert(1)"}, "--url: Expected a URL such as https://example.org/paper"),
        ({"url": "https://me:secret@example.org/"}, "--url: Expected a URL without user and password"),
        ({"url": "https://example.org/a b"}, "--url: Expected a URL without spaces and odd characters"),
        ({"url": 'https://example.org/"><script>'}, "percent-encode them"),
        ({"url": "https://"}, "--url: Expected a URL such as"),
        ({"url": "https://[::1"}, "--url: Expected a URL such as"),
        ({"url": "https://example.org/" + "x" * 3000}, "--url: Expected a URL of at most 2000 characters"),
        ({"more": ["--evidence-url", "ftp://example.org/evidence.npz"]}, "--evidence-url: Expected a URL such as"),
        ({"more": ["--parameters", "-1"]}, "--parameters: Expected a number >= 0"),
        ({"more": ["--dataset", "streest"]}, "unknown dataset 'streest'; did you mean 'streets'?"),
        ({"more": ["--dataset", "evil:build"]}, "Expected a data set of cvbench, but got 'evil:build'"),
        ({"more": ["--task", "clasification"]}, "did you mean 'classification'?"),
        ({"more": ["--options", "tset=3"]}, "unknown option 'tset' of streets; did you mean 'test'?"),
        ({"more": ["--options", "test=3"]}, "expected only what the test split of streets holds, but 8 more"),
        ({"more": ["--options", "test"]}, "Expected an option of streets as key=value, but got 'test'"),
    ],
)
def test_what_cannot_stand_on_a_board(
    changes: dict[str, Any],
    message: str,
    run_of: Callable[[str], Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = labels_of(run_of("classification"), tmp_path)
    more = changes.pop("more", [])
    told = line(file, "classification", tmp_path / "runs", **changes)
    if more and more[0] in told and more[0] != "--options":
        told[told.index(more[0]) + 1], more = more[1], []
    told = told + more[1:] if more[:1] == ["--options"] else [*told[:2], *more, *told[2:]]
    assert main(told) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("../../../etc/passwd", "etc-passwd"),
        ("..", "unnamed"),
        ("日本語", "unnamed"),
        ("<script>a</script>", "script-a-script"),
    ],
)
def test_no_name_leads_out_of_the_store(name: str, folder: str, run_of: Callable[[str], Run], tmp_path: Path) -> None:
    file = labels_of(run_of("classification"), tmp_path)
    assert main(line(file, "classification", tmp_path / "deep" / "runs", name=name)) == 0
    (record,) = load_records(tmp_path / "deep" / "runs")
    assert record.spec.model.name == name
    assert [path.name for path in (tmp_path / "deep" / "runs" / "streets").iterdir() if path.is_dir()] == [folder]
    assert {path.name for path in tmp_path.iterdir()} == {"deep", "labels.csv"}


def wrong_csv(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda file: file.write_text(change(file.read_text())) and None


def wrong_json(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return write


def wrong_size(folder: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "000003.png")


@pytest.mark.parametrize(
    ("task", "spoil", "message"),
    [
        ("classification", wrong_csv(lambda text: text[: text.rindex("\n", 0, -1)]), "1 are missing: '000000'"),
        ("classification", wrong_csv(lambda text: text.replace("000001", "999", 1)), "1 are missing: '000001'"),
        (
            "classification",
            wrong_csv(lambda text: re.sub("000001,[^,]*", "000001,tunel", text)),
            "did you mean 'tunnel'?",
        ),
        ("classification", wrong_csv(lambda text: text.replace(",p_7", "", 1)), "expected 9 values as in the header"),
        ("segmentation", lambda folder: (folder / "000003.png").unlink(), "1 are missing: '000003'"),
        ("segmentation", lambda folder: (folder / "000003.png").rename(folder / "x.png"), "1 are missing: '000003'"),
        ("segmentation", wrong_size, "000003.png: expected the size of its truth test/000003, 48 x 32, but got 8 x 8"),
        ("segmentation", lambda folder: (folder / "000003.png").write_bytes(b"no"), "cannot be decoded as an image"),
        (
            "detection",
            wrong_json(lambda rows: rows[0].update(score=float("nan"))),
            "results[0].score: expected a finite",
        ),
        (
            "detection",
            wrong_json(lambda rows: rows[0].update(category_id=5)),
            "1 vehicle, 2 pedestrian, 3 bike, 4 sign",
        ),
        (
            "detection",
            wrong_json(lambda rows: rows[0].update(image_id=77)),
            "of the test split of streets (the nearest",
        ),
        ("captioning", wrong_json(lambda rows: rows.pop()), "a caption for each of the 11 images"),
        ("captioning", wrong_json(lambda rows: rows.append(rows[0])), "expected each image once"),
    ],
)
def test_predictions_that_do_not_fit_leave_nothing(
    task: str,
    spoil: Callable[[Path], None],
    message: str,
    run_of: Callable[[str], Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = predictions(run_of(task), tmp_path / "out")
    given = tmp_path / "given"
    shutil.copytree(made, given) if made.is_dir() else shutil.copy(made, given)
    spoil(given)
    capsys.readouterr()
    assert main(line(given, task, tmp_path / "runs")) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_another_truth_in_the_store_is_told_and_leaves_no_half_record(
    run_of: Callable[[str], Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = labels_of(run_of("classification"), tmp_path), tmp_path / "runs"
    assert main(line(file, "classification", store)) == 0
    (kept,) = store.glob("streets/truth-*.npz")
    arrays = load_arrays(kept)
    np.savez_compressed(kept, **{**arrays, "labels": arrays["labels"][::-1]})
    assert main(line(file, "classification", store, name="Late")) == 2
    assert "the labels differ from those" in capsys.readouterr().err
    assert [path.name for path in store.glob("streets/*") if path.is_dir()] == ["U-Net-B.-Author-b-2026-b"]


def test_submitting_needs_no_torch(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    told = line(predictions(run_of("detection"), tmp_path / "out"), "detection", tmp_path / "runs")
    code = "import sys; from cvbench.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code, *told], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "0 False"


def test_samples_are_listed_as_predictions_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    told = ["data", "samples", "streets", "test=2", "--task", "detection"]
    assert main(told) == 0
    assert capsys.readouterr().out == "id,image_id\ntest/000000,0\ntest/000001,1\n"
    assert main([*told, "--json"]) == 0
    classes = json.loads(capsys.readouterr().out)["classes"]
    assert classes[1] == {"index": 1, "name": "pedestrian", "category_id": 2}
    assert main([*told, "--split", "tset"]) == 2
    assert "did you mean 'test'?" in capsys.readouterr().err
