"""The command line as people use it: verbs in this process, and what only a fresh process can show in a few others."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cvbench.cli import VERBS, main
from cvbench.record import write_record
from cvbench.store import Store
from cvbench.suite import load_suite
from tests import records

REPOSITORY = Path(__file__).resolve().parents[1]
BENCHMARK = """\
task: classification
datasets: [digits]
models: [linear, {name: mlp, label: small, options: {hidden: [16]}}]
seeds: [0, 1]
recipe: {epochs: 1, lr: 1e-2}
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cvbench(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    """Runs one command line in this process, in an empty folder that holds the benchmark bench.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CVBENCH_DATA", raising=False)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    Path("bench.yaml").write_text(BENCHMARK)

    def call(*arguments: str) -> Result:
        capfd.readouterr()
        code = main(arguments)
        return Result(code, *capfd.readouterr())

    return call


def fresh(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a new process that finds this checkout."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_names_every_verb_in_order(cvbench: Callable[..., Result]) -> None:
    result = cvbench("--help")
    assert result.code == 0
    assert re.findall(r"^  (\w+):", result.out, re.MULTILINE)[: len(VERBS)] == list(VERBS)
    assert not result.err


@pytest.mark.parametrize("verb", [*VERBS, "data verify"])
def test_help_of_each_verb_fits_a_terminal(cvbench: Callable[..., Result], verb: str) -> None:
    result = cvbench(*verb.split(), "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: cvbench {verb}")
    assert max(map(len, result.out.splitlines())) <= 80
    entries = [line for line in result.out.splitlines() if re.match(r" {1,5}\S", line)]
    assert all(re.match(r"  (-|\w+:)", line) for line in entries), entries  # what goes on is indented further


def test_version(cvbench: Callable[..., Result]) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", cvbench("--version").out)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rnu", 'Unknown command "rnu". Did you mean "run"?'),
        ("run --onyl x bench.yaml", "--onyl"),
        ("run bench.yaml --rerun some", "missing"),
        ("run", "name at least one benchmark"),
        ("run nowhere.yaml", "nowhere.yaml: no such file"),
        ("plan bench.yaml recipe.epoch=1", "'epochs'"),
        ("plan bench.yaml --only nothing/*", "fits none of: digits/linear, digits/small"),
        ("run bench.yaml --jobs 0", "--jobs: jobs: Expected greater than or equal to 1, but got 0"),
        ("run bench.yaml --cache-limit 4GX", "4GX"),
        ("run bench.yaml --machine machine.yaml", "machine.yaml: cannot be read"),
        ("list modles", "models"),
        ("list models alexnt", "alexnt"),
        ("list models --task clasification", "'classification'"),
        ("leaderboard --check", "leaderboards: no such folder"),
        ("leaderboard bench.yaml --check", "--out"),
        ("data fetch", "data list"),
        ("data fetch mnits", "mnist"),
        ("data verify camvid classes=13", "classes"),
        ("data verify camvid classes", "key=value"),
        ("data verify digits sice=3", "unknown option 'sice'"),
        ("score classifcation --truth a --predictions b", "'classification'"),
        ("score segmentation --truth a --predictions b --classes many", "--classes"),
        ("score classification --truth a.csv --predictions b.csv --ignore 3", "--ignore"),
        ("predict .", "name at least one image"),
    ],
)
def test_a_mistake_is_explained_on_stderr_with_exit_2_and_no_traceback(
    cvbench: Callable[..., Result], line: str, message: str
) -> None:
    result = cvbench(*line.split())
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


def test_all_mistakes_of_a_benchmark_at_once(cvbench: Callable[..., Result]) -> None:
    Path("wrong.yaml").write_text("task: classification\ndatasets: [digts]\nmodels: [linaer]\nsedes: [0]\n")
    result = cvbench("plan", "wrong.yaml")
    assert result.code == 2
    assert "wrong.yaml:2: unknown dataset 'digts'; did you mean 'digits'?" in result.err
    assert "wrong.yaml:3: unknown model 'linaer'; did you mean 'linear'?" in result.err
    assert "wrong.yaml:4: unknown key 'sedes'; did you mean 'seeds'" in result.err


def test_an_internal_error_shows_its_traceback(monkeypatch: pytest.MonkeyPatch, cvbench: Callable[..., Result]) -> None:
    def broken(*_: object) -> None:
        raise TypeError("ours")

    monkeypatch.setattr("cvbench.catalog.entries", broken)
    with pytest.raises(TypeError, match="ours"):
        cvbench("list", "models")


def test_ctrl_c_is_exit_130(monkeypatch: pytest.MonkeyPatch, cvbench: Callable[..., Result]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cvbench.suite.load_suite", interrupted)
    result = cvbench("run", "bench.yaml")
    assert result.code == 130
    assert "what is finished is kept" in result.err


def test_plan_shows_what_the_store_holds(cvbench: Callable[..., Result]) -> None:
    from cvbench.plan import plan  # ours below, not the verb

    first, second, third, fourth = plan(load_suite(["bench.yaml"]))
    assert [run.name for run in (second, third)] == ["digits/linear seed 1", "digits/small seed 0"]
    store = Store("runs")
    store.folder(first).mkdir(parents=True)
    write_record(records.record(first, 0.9), store.folder(first) / "record.json")  # of made-up data, so outdated
    store.folder(third).mkdir(parents=True)
    (store.folder(third) / "failure.json").write_text(
        json.dumps({"run_id": third.run_id, "kind": "ValueError", "message": "m", "failed_at": "2026-01-01T00:00:00Z"})
    )
    found = json.loads(cvbench("plan", "bench.yaml", "--json").out)
    assert [run["state"] for run in found["runs"]] == ["outdated", "missing", "failed", "missing"]
    assert [run["run_id"] for run in found["runs"]] == [run.run_id for run in (first, second, third, fourth)]
    assert found["counts"] == {"outdated": 1, "missing": 2, "failed": 1}
    text = cvbench("plan", "bench.yaml")
    assert re.search(rf"^failed .* small +0 +{third.run_id}", text.out, re.MULTILINE)
    assert "2 missing: to run" in text.out


def test_plan_shows_where_runs_would_go(cvbench: Callable[..., Result]) -> None:
    Path("machine.yaml").write_text("slurm: {partition: gpu, time: 2:00:00}\nthreads: 4\naccelerator: cuda\n")
    line = "plan bench.yaml --machine machine.yaml --executor slurm --devices 2"
    place = json.loads(cvbench(*line.split(), "--json").out)["placement"]
    assert place["where"] == "SLURM (partition gpu)"
    assert (place["threads"], place["cpus"], place["gpus"], place["minutes"]) == (4, 8, 2, 120)
    told = cvbench(*line.split()).out
    assert "SLURM (partition gpu): as many runs at once as there is room for, each with 8 CPUs" in told
    here = json.loads(cvbench("plan", "bench.yaml", "--accelerator", "cpu", "--jobs", "3", "--json").out)["placement"]
    assert (here["executor"], here["slots"], here["minutes"]) == ("local", [[], [], []], None)


def test_plan_says_which_data_are_not_here(cvbench: Callable[..., Result]) -> None:
    Path("own_data.py").write_text("raise RuntimeError('plan runs no code of yours')\n")
    Path("bench.yaml").write_text(BENCHMARK.replace("[digits]", "[digits, mnist, 'own_data:build', cifar10]"))
    text = cvbench("plan", "bench.yaml")
    assert text.code == 0
    told = [line for line in text.out.splitlines() if line.startswith("data not here: ")]
    assert len(told) == 2
    assert told[0].startswith(
        f"data not here: mnist: The dataset mnist is not there: the data root {Path.cwd() / 'data'} does not exist"
    )
    assert told[1].startswith("data not here: cifar10: The dataset cifar10 is not there")
    found = json.loads(cvbench("plan", "bench.yaml", "--json").out)
    problems = {run["dataset"]: run["problem"] for run in found["runs"]}
    assert problems["digits"] is problems["own_data:build"] is None
    assert f"data not here: mnist: {problems['mnist']}" == told[0]
    assert {run["state"] for run in found["runs"]} == {"missing"}


@pytest.mark.parametrize(
    ("only", "count"),
    [("digits/*", 4), ("*/small", 2), ("bench/digits/linear", 2), ("* seed 1", 2), ("digits/linear", 2)],
)
def test_only_chooses_runs(cvbench: Callable[..., Result], only: str, count: int) -> None:
    assert len(json.loads(cvbench("plan", "bench.yaml", "--only", only, "--json").out)["runs"]) == count


def test_overrides_may_stand_anywhere(cvbench: Callable[..., Result]) -> None:
    one = json.loads(cvbench("plan", "bench.yaml", "recipe.epochs=7", "--json").out)
    other = json.loads(cvbench("plan", "--json", "bench.yaml", "--store", "runs", "recipe.epochs=7").out)
    assert one == other
    assert {run["spec"]["recipe"]["epochs"] for run in one["runs"]} == {7}


def test_list_shows_names_and_options(cvbench: Callable[..., Result]) -> None:
    entries = json.loads(cvbench("list", "models", "--task", "classification", "--json").out)
    known = {entry["name"]: entry for entry in entries}
    assert {"linear", "mlp", "lenet", "torchvision/alexnet"} <= known.keys()
    assert known["mlp"]["options"]["hidden"] == [800]
    assert "option classes: 11" in cvbench("list", "datasets", "camvid").out
    assert "miou" in cvbench("list", "metrics").out


def test_score_prints_what_the_hand_says(cvbench: Callable[..., Result]) -> None:
    Path("truth.csv").write_text("id,label\na,0\nb,1\nc,1\nd,0\n")
    Path("found.csv").write_text("id,label\na,0\nb,1\nc,0\nd,0\n")
    line = ["score", "classification", "--truth", "truth.csv", "--predictions", "found.csv"]
    result = json.loads(cvbench(*line, "--json").out)
    assert result["metrics"]["top1"] == 0.75
    assert result["metrics"]["macro_top1"] == 0.75  # class 0: 2 of 2, class 1: 1 of 2
    assert re.search(r"^  top1 +0\.750000$", cvbench(*line).out, re.MULTILINE)


def test_data_list_says_what_is_here(cvbench: Callable[..., Result]) -> None:
    rows = {row["name"]: row for row in json.loads(cvbench("data", "list", "--json").out)}
    assert rows["digits"]["here"]
    assert not rows["mnist"]["here"]
    assert rows["mnist"]["obtain"] == "cvbench data fetch mnist"


def test_data_verify_and_preview(cvbench: Callable[..., Result]) -> None:
    report = json.loads(cvbench("data", "verify", "digits", "--json").out)
    assert report["ok"]
    assert sum(report["counts"].values()) == 1797  # what scikit-learn ships
    text = cvbench("data", "verify", "digits")
    assert (text.code, text.err) == (0, "")
    assert "OK: 0 problems" in text.out
    drawn = cvbench("data", "preview", "digits", "--split", "test", "--count", "3")
    assert drawn.out == "Wrote digits_test.png\n"
    assert Path("digits_test.png").read_bytes().startswith(b"\x89PNG")


def test_data_verify_fails_on_damage(cvbench: Callable[..., Result]) -> None:
    from PIL import Image

    for label in ("cat", "dog"):
        for index in range(20):
            path = Path("pets") / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (index, len(label), ord(label[0]))).save(path)
    whole = Path("pets/cat/7.png").read_bytes()
    assert cvbench("data", "verify", "folder", f"path={Path.cwd() / 'pets'}").code == 0
    Path("pets/cat/7.png").write_bytes(whole[: len(whole) // 2])
    damaged = cvbench("data", "verify", "folder", "path=pets", "--data-root", ".")
    assert damaged.code == 1
    assert "cat/7.png" in damaged.out


@pytest.mark.parametrize("command", ["--help", "plan bench.yaml", "list models", "data list", "leaderboard --help"])
def test_light_verbs_import_nothing_heavy(tmp_path: Path, command: str) -> None:
    (tmp_path / "bench.yaml").write_text(BENCHMARK)
    heavy = "{'torch', 'torchvision', 'lightning', 'torchmetrics', 'pandas', 'sklearn', 'scipy', 'wandb'}"
    done = fresh(
        f"import os, sys; os.chdir({str(tmp_path)!r}); from cvbench.cli import main; code = main({command.split()!r}); "
        f"print('heavy:', sorted({heavy} & sys.modules.keys()), code)"
    )
    assert done.stdout.splitlines()[-1:] == ["heavy: [] 0"], done.stderr


def test_boards_import_no_torch(tmp_path: Path) -> None:
    (tmp_path / "bench.yaml").write_text(BENCHMARK)
    done = fresh(
        f"import os, sys; os.chdir({str(tmp_path)!r}); from cvbench.cli import main; "
        "code = main(['leaderboard', 'bench.yaml', '--out', 'boards']); print('torch' in sys.modules, code)"
    )
    assert done.stdout.splitlines()[-1:] == ["False 0"], done.stderr
    assert (tmp_path / "boards" / "bench" / "board.json").exists()


def test_the_public_names_are_there_and_lazy() -> None:
    done = fresh(
        "import sys, cvbench; assert not {'numpy', 'pydantic', 'torch'} & sys.modules.keys(), 'heavy'; "
        "import cvbench.plan, cvbench.suite; from cvbench import plan, load_suite, load_records; "
        "assert plan is sys.modules['cvbench.plan'].plan and cvbench.plan is plan and callable(load_suite); "
        "from cvbench import execute; assert 'torch' not in sys.modules; print(dir(cvbench))"
    )
    names = ["__version__", "execute", "load_model", "load_records", "load_suite", "plan", "tuned"]
    assert done.stdout.strip() == str(names), done.stderr
    from cvbench import load_model

    assert callable(load_model)


def test_nobody_reading_on_is_no_error(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cvbench", "list", "models"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


def test_run_to_a_board_with_a_failure_then_keep_then_publish_and_check(cvbench: Callable[..., Result]) -> None:
    """One suite for all of it, because a worker that imports torch costs seconds."""
    Path("broken_model.py").write_text("def build(info, **options):\n    raise RuntimeError('no such luck')\n")
    Path("bench.yaml").write_text(BENCHMARK.replace("models: [", "models: ['broken_model:build', "))
    first = cvbench("run", "bench.yaml", "--jobs", "1", "--threads", "1", "--only", "digits/[bl]*")
    assert first.code == 1
    assert "bench: 1 benchmark, 4 of 6 runs" in first.err
    assert re.search(r"\[4/4\] digits/linear seed 1: done in \d+ s, test/top1 0\.\d{4}", first.err)
    assert re.search(r"linear +\d\d\.\d\d ± \d+\.\d\d +\[\d+\.\d\d, \d+\.\d\d\] +2 of 2", first.out)
    assert re.search(r"small .*0 of 2, 2 missing", first.out)  # what --only left out is shown as missing, never dropped
    assert re.search(r"broken_model:build .*0 of 2, 2 failed", first.out)
    assert "2 failed" in first.err
    assert re.search(r"digits/broken_model:build seed 0 +RuntimeError +1 +no such luck", first.err)
    assert "Traceback" not in first.err
    assert f"Board: {Path('runs/boards/bench').resolve()}" in first.out

    kept = sorted(path.stat().st_mtime_ns for path in Path("runs").glob("*/*/*/record.json"))
    again = cvbench("run", "bench.yaml", "--only", "*/linear", "--json")
    assert again.code == 0
    found = json.loads(again.out)  # nothing but JSON
    assert (len(found["done"]), len(found["skipped"]), found["failed"]) == (0, 2, [])
    assert sorted(path.stat().st_mtime_ns for path in Path("runs").glob("*/*/*/record.json")) == kept
    quiet = cvbench("run", "bench.yaml", "--only", "*/linear", "--quiet")
    assert (quiet.code, quiet.err) == (0, "")

    from PIL import Image

    Image.new("L", (8, 8), 30).save("one.png")
    run = next(Path("runs").glob("digits/linear/*/record.json")).parent
    told = cvbench("predict", str(run), "one.png", "--out", "seen")
    assert told.code == 0, told.err
    assert re.search(r"^one\.png: \d \d+\.\d %, \d ", told.out)
    assert {"one.png", "predictions.json"} <= {path.name for path in Path("seen").iterdir()}
    assert cvbench("predict", "runs", "one.png").code == 2

    assert cvbench("leaderboard", "bench.yaml", "--out", "boards").code == 0
    assert cvbench("leaderboard", "--check", "--out", "boards").code == 0
    table = Path("boards/bench/leaderboard.md")
    table.write_text(table.read_text().replace("2 of 2", "3 of 3"))
    changed = cvbench("leaderboard", "--check", "--out", "boards")
    assert changed.code == 1
    assert "leaderboard.md" in changed.err
