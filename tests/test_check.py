"""`cvbench check`: records by strangers, honest and edited, with evidence on a real server and in bad archives."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import io
import json
import pickle
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.arrays import load_arrays
from cvbench.auditing.audit import Against, audit
from cvbench.auditing.evidence import opened
from cvbench.auditing.fetching import EvidenceError, Fetch
from cvbench.auditing.report import Report
from cvbench.board import freeze
from cvbench.cli import main
from cvbench.data import streets
from cvbench.leaderboard import rank
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Execution, Record, read_record, write_record
from cvbench.spec import RunSpec
from cvbench.store import Store
from tests.records import record as record_of
from tests.records import suite

OPTIONS = {"height": 32, "width": 32, "train": 8, "val": 2, "test": 9}
URL = "https://example.org/model"


def rows_of_truth(wrong: int) -> str:
    """A CSV for the scenes: the truth, but the next class in the first `wrong` rows."""
    split = streets.build(Path(), task="classification", **OPTIONS).splits["test"]
    labels = [(split.target(row) + (row < wrong)) % 8 for row in range(len(split))]
    return "id,label\n" + "".join(f"{name},{label}\n" for name, label in zip(split.ids, labels, strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a submission, with its evidence beside it: 7 of 9 right."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "labels.csv").write_text(rows_of_truth(2))
    options = [f"{key}={value}" for key, value in OPTIONS.items()]
    told = ["--task", "classification", "--dataset", "streets", "--name", "A net", "--url", URL]
    told += ["--store", str(folder / "runs"), "--options", *options]
    assert main(["submit", str(folder / "labels.csv"), *told]) == 0
    (file,) = (folder / "runs").glob("*/*/*/record.json")
    return file.parent


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A repository's folder of that submission: record.json, and evidence.npz beside it."""
    folder = tmp_path / "submissions" / "streets" / "a-net"
    folder.mkdir(parents=True)
    for name in ("record.json", "evidence.npz"):
        (folder / name).write_bytes((made / name).read_bytes())
    return folder


def edited(place: Path, change: Callable[[dict[str, Any]], Any], name: str = "record.json") -> Path:
    """The record with keys changed by hand."""
    data = json.loads((place / "record.json").read_text())
    change(data)
    (place / name).write_text(json.dumps(data))
    return place / name


def one_more_metric(data: dict[str, Any]) -> None:
    """Which labels alone do not tell."""
    data["metrics"]["test/top5"], data["directions"]["test/top5"] = 1.0, "max"


def ids_anew(data: dict[str, Any]) -> None:
    """As somebody does who knows how ids are made."""
    spec = RunSpec.model_validate_json(json.dumps(data["spec"]))
    data |= {"run_id": spec.run_id, "group_id": spec.group_id}


Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """Calls the verb; (exit code, what it printed)."""
    for name in ("CVBENCH_DATA", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["check", *map(str, arguments)])
        written = capsys.readouterr()
        return code, written.out + written.err

    return call


def boards(folder: Path, place: Path, *, rows: tuple[Record, ...] = ()) -> Path:
    """Published boards with one for the submission's data set."""
    given = read_record(place / "record.json")
    run = given.spec.model_copy(update={"benchmark": "classification", "suite": "quick", "mode": "train"})
    finished = [record_of(run, 0.5, dataset=given.dataset, metrics={"test/top1": 0.5}), *rows]
    specs = [one.spec.model_copy(update={"benchmark": "classification"}) for one in finished]
    file = folder / "leaderboards" / "quick" / "board.json"
    file.parent.mkdir(parents=True)
    freeze(rank(suite(), specs, finished), file)
    return folder / "leaderboards"


def test_an_honest_submission_passes_and_says_what_held(check: Check, place: Path, tmp_path: Path) -> None:
    code, said = check(tmp_path / "submissions", "--boards", boards(tmp_path, place))
    assert code == 0
    (line,) = said.splitlines()
    assert line.startswith(f"{place / 'record.json'}: re-scored: schema 1, ids, data set, 9 samples, ranges")
    assert re.search(r"protocol [0-9a-f]{12} of quick/classification, evidence of \d+ bytes, scores follow", line)
    code, said = check(place / "record.json", "--json")
    (told,) = json.loads(said)
    assert (code, told["status"], told["problems"], told["name"]) == (0, "re-scored", [], "A net")


def test_without_evidence_it_is_self_reported(check: Check, place: Path) -> None:
    (place / "evidence.npz").unlink()
    code, said = check(f"{place.parent}/*/record.json")
    assert code == 0
    assert ": self-reported: " in said
    assert said.endswith(", no evidence\n")
    edited(place, lambda data: data.update(evidence=None))
    assert check(place)[0] == 0


def test_truth_is_taken_from_a_folder_of_the_store(check: Check, place: Path, made: Path, tmp_path: Path) -> None:
    (kept,) = made.parents[1].glob("truth-*.npz")
    truth = load_arrays(kept)
    other = tmp_path / "truth" / kept.name
    other.parent.mkdir()
    np.savez_compressed(other, **truth)
    assert check(place, "--truth", other.parent)[0] == 0
    np.savez_compressed(other, **{**truth, "labels": truth["labels"][::-1]})
    code, said = check(place, "--truth", other.parent)
    assert code == 1
    assert "evidence.truth: Expected" in said
    assert check(place, "--truth", tmp_path / "gone")[0] == 2


def test_a_run_passes_too(check: Check, place: Path) -> None:
    given = read_record(place / "record.json")
    model = given.spec.model.model_copy(update={"name": "linear"})
    spec = given.spec.model_copy(update={"mode": "train", "model": model})
    on = Execution(accelerator="cpu", devices=1, device_name="a CPU", threads=1, batch_per_device=32)
    changes = {"spec": spec, "run_id": spec.run_id, "group_id": spec.group_id, "submission": None, "execution": on}
    costs = given.costs.model_copy(update={"parameters": 5})
    write_record(given.model_copy(update={**changes, "costs": costs}), place / "record.json")
    code, said = check(place)
    assert (code, "re-scored" in said) == (0, True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda data: data["metrics"].update({"test/top1": 0.99}),
            r"metrics.test/top1: Expected 0.7777\d+ from",
        ),
        (lambda data: data["metrics"].update({"test/top1": 7 / 9 + 2e-9}), "metrics.test/top1: Expected 0.7777"),
        (lambda data: data["metrics"].update({"test/top1": 1.5}), r"metrics.test/top1: Expected a value in \[0, 1\]"),
        (lambda data: data["metrics"].update({"test/top1": -0.1}), r"metrics.test/top1: Expected a value in \[0, 1\]"),
        (
            lambda data: [
                data[key].update({"test/top5": value}) for key, value in (("metrics", 1.0), ("directions", "max"))
            ],
            "metrics.test/top5: Expected nothing, as the",
        ),
        (lambda data: data["metrics"].update({"test/topp": 1.0}), "metrics.test/topp: no metric of classification"),
        (lambda data: data["metrics"].pop("test/macro_top1"), "metrics.test/macro_top1: Expected 0.[0-9]+, but got"),
        (
            lambda data: data["metrics"].pop("test/top1"),
            "metrics: Expected test/top1, the primary metric, but",
        ),
        (lambda data: data["directions"].update({"test/top1": "min"}), "directions.test/top1: Expected 'max'"),
        (lambda data: data["per_class"]["accuracy"].update(tunnel=0.123), "per_class.accuracy.tunnel: Expected"),
        (lambda data: data["per_class"]["accuracy"].update(moon=1.0), "per_class.accuracy.moon: no class"),
        (
            lambda data: data.update(run_id="0123456789ab"),
            "run_id: Expected [0-9a-f]{12}, the hash of `spec`, but",
        ),
        (lambda data: data["spec"].update(seed=3), "run_id: Expected [0-9a-f]{12}, the hash of `spec`"),
        (
            lambda data: data["dataset"]["protocol"].update(classes=9),
            "dataset.protocol: Expected protocol [0-9a-f]",
        ),
        (lambda data: data["dataset"].update(revision="0" * 12), "dataset.revision: Expected [0-9a-f]{12} of quick"),
        (lambda data: data["samples"].update(test=8), "samples.test: Expected 9, all of dataset.split_sizes.test, but"),
        (lambda data: data["evidence"].update(sha256="0" * 64), "evidence: Expected SHA-256 0000"),
        (
            lambda data: data["evidence"].update(size_bytes=5),
            r"evidence: .*evidence.npz: Expected 5 bytes, but",
        ),
        (lambda data: data["evidence"].update(size_bytes=10**12), "evidence: Expected at most 50000000 bytes"),
        (lambda data: data["evidence"].update(truth="0" * 64), "evidence.truth: Expected [0-9a-f]{64}, the truth here"),
        (
            lambda data: data.update(evaluator_version=99),
            f"evaluator_version: Expected evaluator {EVALUATOR_VERSION}, but",
        ),
        (lambda data: data.update(schema_version=99), r"the file: Expected schema_version <= 1, but got 99; upgrade"),
        (lambda data: data.update(submission=None), "the file: .*Expected `submission` exactly where spec.mode is sub"),
        (
            lambda data: data["submission"].update(url="javascript:x"),
            "the file: .*submission.url: Expected a URL",
        ),
        (lambda data: data["submission"].update(name="Other"), "the file: .*Expected submission.name to be spec.model"),
        (
            lambda data: (data["spec"]["model"]["options"].update(evidence="0" * 64), ids_anew(data)),
            "spec.model.options.evidence: Expected [0-9a-f]{64}, the digest of its evidence",
        ),
        (
            lambda data: (data["spec"]["dataset"]["options"].update(seed=1), ids_anew(data)),
            'spec.dataset.options: Expected {"height":32,"seed":0',
        ),
        (
            lambda data: (data["spec"]["dataset"].update(name="evil:build"), ids_anew(data)),
            r"spec.dataset.name: Expected a data set of the boards, streets \(classification\), but got evil:build",
        ),
    ],
)
def test_what_was_edited_by_hand_is_found(
    change: Callable[[dict[str, Any]], Any], problem: str, check: Check, place: Path, tmp_path: Path
) -> None:
    published = boards(tmp_path, place)
    file = edited(place, change)
    code, said = check(file, "--boards", published)
    assert code == 1
    assert f"{file}: refused: " in said
    assert re.search(rf"(?m)^{re.escape(str(file))}: {problem}", said), said


def test_files_that_are_no_records(check: Check, place: Path) -> None:
    for content in (b"", b"{", b"\xff", b'{"a":' * 100_000):
        (place / "record.json").write_bytes(content)
        code, said = check(place)
        assert code == 1
        assert "the file: not a readable record" in said
    (place / "record.json").unlink()
    (place / "record.json").symlink_to("/etc/hostname")
    assert "the file: Expected a file, but got a link" in check(place)[1]
    assert check(place / "gone.json")[0] == 2
    assert check()[0] == 2


def test_nothing_that_a_record_says_begins_a_line_of_the_log(check: Check, place: Path) -> None:
    odd = place.parent / "x\n::error::y"
    odd.mkdir()
    (odd / "record.json").write_text("{")
    _, said = check(odd)
    assert "::error::y" in said
    assert not re.search(r"(?m)^::", said)


def test_duplicates_are_found(check: Check, place: Path, tmp_path: Path) -> None:
    twin = tmp_path / "submissions" / "streets" / "twin"
    twin.mkdir()
    for name in ("record.json", "evidence.npz"):
        (twin / name).write_bytes((place / name).read_bytes())
    code, said = check(tmp_path / "submissions")
    assert code == 1
    assert f"{twin / 'record.json'}: run_id: Expected a result of its own, but {place / 'record.json'} has" in said

    def renamed(data: dict[str, Any]) -> None:
        data["submission"]["name"] = data["spec"]["model"]["name"] = "Twin"
        ids_anew(data)

    edited(twin, renamed)
    assert (
        "evidence.sha256: Expected evidence of its own, but it is that of 'A net'" in check(tmp_path / "submissions")[1]
    )
    with zipfile.ZipFile(twin / "evidence.npz") as packed:  # packed anew: another file, the same arrays
        members = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(twin / "evidence.npz", "w") as loose:
        for name, content in members.items():
            loose.writestr(name, content)
    data = (twin / "evidence.npz").read_bytes()
    edited(twin, lambda one: one["evidence"].update(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)))
    assert check(twin)[0] == 0
    assert check(twin, "--known", place.parent)[0] == 1
    # a known record at the same place is the older version of this one
    known = tmp_path / "base" / "submissions" / "streets" / "a-net"
    known.mkdir(parents=True)
    (known / "record.json").write_bytes((place / "record.json").read_bytes())
    assert check(place, "--known", tmp_path / "base")[0] == 0


def test_what_is_on_a_board_already_is_a_duplicate_unless_it_is_an_update(
    check: Check, place: Path, tmp_path: Path
) -> None:
    published = boards(tmp_path, place, rows=(read_record(place / "record.json"),))
    code, said = check(place, "--boards", published)
    assert code == 1
    assert "is on quick/classification: 'A net" in said
    known = tmp_path / "base" / "submissions" / "streets" / "a-net"
    known.mkdir(parents=True)
    (known / "record.json").write_bytes((place / "record.json").read_bytes())
    assert check(place, "--boards", published, "--known", tmp_path / "base")[0] == 0


def test_no_code_of_anybody_is_imported_and_no_torch(place: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("open('was_here', 'w').close()\ndef build(*a, **k): raise SystemExit(0)\n")

    def evil(data: dict[str, Any]) -> None:
        data["spec"]["dataset"]["name"] = "evil:build"
        data["spec"]["model"]["name"] = data["submission"]["name"] = "evil:build"
        ids_anew(data)

    edited(place, evil)
    code = "import sys; from cvbench.cli import main; print(main(sys.argv[1:]), {'torch', 'evil'} & set(sys.modules))"
    line = [sys.executable, "-c", code, "check", str(place), "--data-root", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "0 set()"
    assert "no truth here" in done.stdout
    assert not (tmp_path / "was_here").exists()


def test_no_package_is_looked_for_in_the_current_folder(
    check: Check, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "optional_package.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    found: list[object] = []

    def look(*_: object) -> list[Report]:
        found.append(importlib.util.find_spec("optional_package"))
        return []

    monkeypatch.setattr("cvbench.auditing.audit.audit", look)
    assert check(place)[0] == 0
    assert found == [None]
    assert sys.path[:2] == ["", str(tmp_path)]


# Evidence from an address ---------------------------------------------------------------------------------------------


class Served(http.server.BaseHTTPRequestHandler):
    """Answers by what `answers` has for a path."""

    answers: dict[str, Callable[[Served], None]]

    def do_GET(self) -> None:
        self.answers[self.path](self)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send(self, body: bytes, length: int | None = None, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


def drip(server: Served, body: bytes) -> None:
    server.send(b"", length=len(body))
    for letter in body[:200]:
        server.wfile.write(bytes([letter]))
        server.wfile.flush()
        time.sleep(0.02)


@pytest.fixture
def served(place: Path) -> Iterator[str]:
    body = (place / "evidence.npz").read_bytes()
    released = threading.Event()
    answers: dict[str, Callable[[Served], None]] = {
        "/good": lambda server: server.send(body),
        "/unsized": lambda server: server.send(body, length=-1),
        "/redirect": lambda server: server.send(b"", code=302, Location="/good"),
        "/loop": lambda server: server.send(b"", code=302, Location="/loop"),
        "/to-file": lambda server: server.send(b"", code=302, Location="file:///etc/hostname"),
        "/to-ftp": lambda server: server.send(b"", code=302, Location="ftp://127.0.0.1/x"),
        "/to-inside": lambda server: server.send(b"", code=302, Location="https://127.0.0.1/x"),
        "/wrong": lambda server: server.send(b"X" + body[1:]),
        "/short": lambda server: server.send(body[:100], length=len(body)),
        "/short-unsized": lambda server: server.send(body[:100], length=-1),
        "/more": lambda server: server.send(body + b"x", length=-1),
        "/announced": lambda server: server.send(b"", length=10**12),
        "/gone": lambda server: server.send(b"", code=404),
        "/silent": lambda server: released.wait(20) and None,
        "/drip": lambda server: drip(server, body),
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Served,), {"answers": answers}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that leave are what is tested
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/good", None),
        ("/unsized", None),
        ("/redirect", None),
        ("/loop", "could not be had"),
        ("/to-file", "could not be had .*is not allowed"),
        ("/to-ftp", "Expected a URL such as"),
        ("/to-inside", "Expected a public host, but 127.0.0.1 is 127.0.0.1"),
        ("/wrong", "Expected SHA-256"),
        ("/short", "bytes, but got 100: cut off on the way|could not be had"),
        ("/short-unsized", "bytes, but got 100: cut off on the way"),
        ("/more", "bytes, but more came"),
        ("/announced", "bytes, but the server offers '1000000000000'"),
        ("/gone", "could not be had .*404"),
        ("/silent", "could not be had .*timed out"),
        ("/drip", "bytes in 0.5 s, but only"),
    ],
)
def test_evidence_by_its_address(
    path: str, problem: str | None, served: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    file = edited(place, lambda data: data["evidence"].update(url=served + path))
    (place / "evidence.npz").unlink()
    patience = 0.5 if path in ("/silent", "/drip") else 20.0
    fetch = Fetch(silence_seconds=patience, seconds=patience, on_loopback=True)
    (report,) = audit([file], Against(fetch=fetch))
    if problem is None:
        assert (report.status, report.problems) == ("re-scored", [])
    else:
        assert re.search(problem, report.problems[0].text), report.problems
        assert report.problems[0].key == "evidence"


def test_the_command_line_fetches_by_https_alone(served: str, check: Check, place: Path) -> None:
    edited(place, lambda data: data["evidence"].update(url=served + "/good"))
    code, said = check(place)
    assert code == 1
    assert "evidence: http://127.0.0.1" in said
    assert "Expected https, but got http" in said
    edited(place, lambda data: data["evidence"].update(url="https://127.0.0.1:9/x"))
    assert "Expected a public host" in check(place)[1]
    edited(place, lambda data: data["evidence"].update(url="https://me:word@example.org/x"))
    assert "the file: not a readable record (evidence.url: Expected a URL without user" in check(place)[1]


# Bad archives ---------------------------------------------------------------------------------------------------------


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name + ".npy", content)
    return stream.getvalue()


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


class Bomb:
    def __reduce__(self) -> Any:
        return (open, ("was_unpickled", "w"))


def bomb() -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = Bomb()
    return array


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (archive(a=npy(np.zeros(2_000_000))), "at most 1000000 bytes unpacked, but the archive declares 16000128"),
        (archive(a=npy(bomb(), allow_pickle=True)), "Expected numbers or text in 'a.npy', but got 'object'"),
        (archive(a=pickle.dumps(Bomb())), "Expected an npz, but reading it gave ValueError"),
        (archive(a=npy(np.zeros(3)).replace(b"(3,)", b"(9,)")), "'a.npy' to be as large as its header says"),
        (archive(a=npy(np.zeros(3)).replace(b"'<f8'", b"'|V0'")), "Expected numbers or text"),
        (archive(**{f"a{place}": npy(np.zeros(1)) for place in range(65)}), "at most 64 arrays, but got 65"),
        (archive(**{"a.json": npy(np.frombuffer(b'["a", 1]', np.uint8))}), "Expected texts in 'a'"),
        (archive(**{"a.json": npy(np.frombuffer(b"[" * 100_000, np.uint8))}), "reading it gave RecursionError"),
        (npy(np.zeros(3)), "reading it gave BadZipFile"),
        (b"", "reading it gave BadZipFile"),
    ],
    ids=range(10),
)
def test_archives_that_are_not_opened(
    data: bytes, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EvidenceError, match=problem):
        opened(data, 1_000_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arrays",
    [
        {"ids": np.array(["a"])},
        {"ids": np.zeros((3, 3)), "top": np.zeros(9)},
        {"ids": None, "top": np.zeros((0, 5), int)},
        {"ids": None, "top": np.full((9, 1), "x")},
        {"ids": None, "top": np.zeros((9, 1), int), "top_probability": np.full((9, 1), np.nan)},
    ],
    ids=range(5),
)
def test_evidence_of_any_shape_is_a_problem_and_no_crash(
    arrays: dict[str, np.ndarray], check: Check, place: Path
) -> None:
    own = load_arrays(place / "evidence.npz")
    np.savez(place / "evidence.npz", **{name: own[name] if array is None else array for name, array in arrays.items()})
    data = (place / "evidence.npz").read_bytes()
    edited(place, lambda one: one["evidence"].update(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)))
    code, said = check(place)
    assert code == 1
    assert "evidence: cannot be scored: " in said


def test_a_store_is_checked_whole(check: Check, made: Path) -> None:
    assert Store(made.parents[2]).folder(read_record(made / "record.json").spec) == made
    assert check(made.parents[2])[0] == 0
