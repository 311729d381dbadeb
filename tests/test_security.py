"""The rules of safety, each with an attack.

Beside their subjects: YAML tags and alias bombs (`test_yamlfile.py`), pickles as weights (`models/test_weights.py`), as
data (`data/test_cifar.py`) and as proposals (`models/test_proposals.py`), archives with `..`, absolute names, links and
devices (`data/test_archive.py`, `data/test_download.py`), file names in annotations (`data/test_boxes.py`,
`data/test_folder*.py`), names as path parts (`test_store.py`), in galleries (`test_gallery.py`), as markup and formulas
(`page/`). Here: what goes through several parts, and what no single part could see.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import sqlite3
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from cvbench import arrays as arrays_file
from cvbench import record as record_file
from cvbench.arrays import load_arrays, save_arrays
from cvbench.board import read_board
from cvbench.cli import main
from cvbench.executors.base import Outcomes
from cvbench.executors.execute import execute
from cvbench.executors.launch import _redact
from cvbench.index import FILE, Index
from cvbench.logs import logged_to
from cvbench.plan import plan
from cvbench.record import read_record, write_record
from cvbench.redaction import HIDDEN, redacted, secret_in, secrets
from cvbench.spec import DatasetRef, ModelRef
from cvbench.store import Failure, Store
from cvbench.suite import load_suite
from tests.dangerous import dangers
from tests.records import record, spec
from tests.test_harness import machine

PACKAGE = Path(__file__).resolve().parents[1] / "cvbench"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "WANDB_API_KEY": "swordfish77810123456789abcdef0123456789ab",
    "HF_TOKEN": "hf_opensesame'quoted\"6612",
    "HTTPS_PROXY": "http://someone:tr0ub4dor@proxy.example:3128",
}
HIDDEN_VALUES = [SECRETS["AWS_SECRET_ACCESS_KEY"], SECRETS["WANDB_API_KEY"], "opensesame", "tr0ub4dor"]
CLASSES = ["<script>alert(1)<", '"><img src=x onerror=alert(2)>', "$(touch owned)`touch owned`; touch owned"]
LABEL = "<script>alert(3)</script>{{ 7 * 7 }}$(touch owned)|`x`"
LEAKY = '''
"""Models that speak of what is in the environment."""
import logging, os, warnings
from torch import nn

def told(info):
    for name in ("AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "HF_TOKEN", "HTTPS_PROXY"):
        logging.getLogger("lightning.pytorch").warning("%s is %s", name, os.environ[name])
        warnings.warn(f"cannot reach {os.environ[name]}")
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, info.num_classes))

def raised(info):
    token, key = os.environ["HF_TOKEN"], os.environ["AWS_SECRET_ACCESS_KEY"]
    raise ConnectionError(f"401 for {token!r} by {os.environ['HTTPS_PROXY']}", {"key": key})
'''


# What is allowed where, and why: Markdown is escaped by its own filters, which `page/test_text.py` attacks.
KNOWN = {"page/markdown.py": {"jinja2 without autoescape"}}


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


class Ran(NamedTuple):
    """A suite that has run: its store, its outcomes, the folder of its boards."""

    store: Store
    outcomes: Outcomes
    board: Path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Real runs on images, classes and labels with dangerous names, by models that tell secrets; and their boards."""
    folder = tmp_path_factory.mktemp("hostile")
    draws = np.random.default_rng(0)
    for role, count in {"train": 6, "val": 2, "test": 2}.items():
        for place, name in enumerate(CLASSES):
            (folder / "photos" / role / name).mkdir(parents=True)
            for index in range(count):
                pixels = draws.integers(80 * place, 80 * place + 40, (8, 8, 3), dtype=np.uint8)
                file = f"{index}<img src=x onerror=alert(4)>$(touch owned).png"
                Image.fromarray(pixels).save(folder / "photos" / role / name / file)
    (folder / "leaky_plugin.py").write_text(LEAKY)
    models = [{"name": "leaky_plugin:told", "label": LABEL}, "leaky_plugin:raised"]
    dataset = {"name": "folder", "options": {"path": "photos"}}
    recipe = {"epochs": 1, "batch_size": 6, "input_size": [8, 8]}
    benchmark = {"task": "classification", "datasets": [dataset], "models": models, "recipe": recipe}
    (folder / "bench.yaml").write_text(json.dumps(benchmark))
    before, there = dict(os.environ), Path.cwd()
    os.environ.update(SECRETS)
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    try:
        suite = load_suite(["bench.yaml"])
        store = Store(folder / "runs")
        outcomes = execute(plan(suite), store, machine(folder, jobs=1))
        assert main(["leaderboard", "bench.yaml", "--out", "boards", "--data-root", str(folder)]) == 0
        assert main(["run", "bench.yaml", "--quiet", "--only", "nothing*"]) == 2  # nor does a mistake show anything
    finally:
        os.chdir(there)
        sys.path.remove(str(folder))
        os.environ.clear()
        os.environ.update(before)
    return Ran(store, outcomes, folder / "boards" / "bench")


def test_dangerous_names_are_names(hostile: Ran) -> None:
    (done,) = hostile.outcomes.done
    assert done.label == LABEL
    assert not list(hostile.store.root.parent.rglob("owned*"))
    assert not Path("owned").exists()
    kept = read_record(hostile.store.folder(done) / "record.json")
    assert set(kept.dataset.classes) == set(CLASSES)
    assert all(path.resolve().is_relative_to(hostile.store.root.resolve()) for path in hostile.store.root.rglob("*"))


class _Markup(HTMLParser):
    """Elements and attributes that would run something, or fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name.startswith("on")]
        self.found += [f"{tag} {name}={value}" for name, value in attrs if value and value.startswith("javascript:")]
        if tag == "img" and dict(attrs).get("src") == "x":
            self.found.append("img")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and "alert(" in data and "</" not in data:
            self.text.append(data)


def test_boards_show_dangerous_names_and_run_nothing(hostile: Ran) -> None:
    files = {path.suffix: path.read_text(encoding="utf-8") for path in hostile.board.iterdir()}
    assert {".json", ".md", ".csv", ".svg"} <= set(files)
    assert read_board(hostile.board / "board.json").boards[0].rows[0].label == LABEL
    root = ET.fromstring(files[".svg"])
    assert not [one for one in root.iter() if one.tag.endswith(("script", "image", "foreignObject"))]
    assert "<script>" not in files[".md"]
    assert "<img" not in files[".md"]
    if ".html" in files:
        markup = _Markup()
        markup.feed(files[".html"])
        assert not markup.found
        assert "<script>alert(" not in files[".html"]


def texts_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_secret_is_left_in_any_file(hostile: Ran) -> None:
    ((failed, failure),) = hostile.outcomes.failed
    files = texts_below(hostile.store.root.parent)
    files = {name: content for name, content in files.items() if "leaky_plugin" not in name.rpartition("/")[2]}
    for value in HIDDEN_VALUES:
        assert not [name for name, content in files.items() if value.encode() in content], value
        assert value not in failure.message + failure.traceback
    # and they were really spoken of
    log = (hostile.store.folder(hostile.outcomes.done[0]) / "log.txt").read_text()
    assert f"HF_TOKEN is {HIDDEN}" in log
    assert f"http://someone:{HIDDEN}@proxy.example:3128" in log
    assert HIDDEN in (hostile.store.folder(failed) / "failure.json").read_text()
    assert f"401 for '{HIDDEN}'" in failure.message
    assert HIDDEN in read_board(hostile.board / "board.json").model_dump_json()


def test_what_counts_as_secret(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.touch()
    environment = {
        "HF_TOKEN": "hf_abcdef",
        "my_api_key": "k-123456",
        "DB_PASSWORD": "opensesame",
        "SOME_PWD": "letmein",
        "DATABASE_URL": "postgres://me:hunter22@host/db",
        "PGPASSWORD": "swordfish-1",
        "SSHPASS": "swordfish-2",
        "DBPASS": "swordfish-3",
        "MYSECRET": "swordfish-4",
        "SECRETKEY": "swordfish-5",
        "HF_TOKENS": "hf_a,hf_b",
        "PASSWORDS": "swordfish-6",
        "AZURE_STORAGE_CONNECTION_STRING": "AccountName=me;AccountKey=swordfish-7==",
        "HTTP_AUTHORIZATION": "Bearer swordfish-8",
        "NPM_CONFIG__AUTH": "swordfish-9",
        "JWT": "eyJhbGciOi.eyJzdWIi.x",
        "COOKIE": "id=swordfish",
        "SENTRY_DSN": "https://0123456789abcdef@ingest.example.org/1",
        "GIT_URL": "https://ghp_0123456789abcdef@github.com/me/it",
        "PROXY": "http://user:p@ss:word@host:3128",
        # none of these
        "NO_PROXY_BYPASS": "localhost",
        "REMOTE": "ssh://someone@host/x",
        "SSH_AUTH_SOCK": str(file),
        "PATH": "/usr/bin:/bin",
        "PWD": "/home/me/work",
        "TOKENIZERS_PARALLELISM": "false-ish",
        "KEYBOARD": "qwertz-de",
        "PIN_TOKEN": "1234",
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        "HOMEPAGE": "https://example.org/a:b@c",
    }
    assert secrets(environment) == {
        "hf_abcdef": "HF_TOKEN",
        "k-123456": "my_api_key",
        "opensesame": "DB_PASSWORD",
        "letmein": "SOME_PWD",
        "hunter22": "DATABASE_URL",
        **{f"swordfish-{number}": name for number, name in [
            (1, "PGPASSWORD"), (2, "SSHPASS"), (3, "DBPASS"), (4, "MYSECRET"), (5, "SECRETKEY"), (6, "PASSWORDS"),
            (9, "NPM_CONFIG__AUTH"),
        ]},
        "hf_a,hf_b": "HF_TOKENS",
        "AccountName=me;AccountKey=swordfish-7==": "AZURE_STORAGE_CONNECTION_STRING",
        "Bearer swordfish-8": "HTTP_AUTHORIZATION",
        "eyJhbGciOi.eyJzdWIi.x": "JWT",
        "id=swordfish": "COOKIE",
        "https://0123456789abcdef@ingest.example.org/1": "SENTRY_DSN",
        "ghp_0123456789abcdef": "GIT_URL",
        "p@ss:word": "PROXY",
    }  # fmt: skip
    assert redacted("clone https://ghp_fedcba9876543210@github.com/x") == f"clone https://{HIDDEN}@github.com/x"


def test_redaction(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_TOKEN", "abcdef")
    monkeypatch.setenv("B_TOKEN", "abcdef-and-more")
    monkeypatch.setenv("C_TOKEN", "a/b c'd")
    assert redacted("x abcdef-and-more abcdef") == f"x {HIDDEN} {HIDDEN}"
    assert redacted("?t=a%2Fb%20c%27d") == f"?t={HIDDEN}"
    assert redacted(str({"t": "a/b c'd"})) == f"{{'t': \"{HIDDEN}\"}}"
    assert redacted("git+https://user:pa55@host.org/x.git") == f"git+https://user:{HIDDEN}@host.org/x.git"
    for plain in ("http://host:8080/a@b", "12:30@home", "mail me@host.org: now", ""):
        assert redacted(plain) == plain
    assert secret_in("the abcdef", secrets()) == "holds the value of the environment variable A_TOKEN"
    with logged_to(tmp_path / "log.txt"):
        try:
            raise ValueError("abcdef-and-more")
        except ValueError:
            logging.getLogger("cvbench").exception("no %s", "abcdef")
    assert "abcdef" not in (tmp_path / "log.txt").read_text()
    (tmp_path / "processes.txt").write_text("Traceback\nValueError: abcdef-and-more\n")
    _redact(tmp_path / "processes.txt")
    assert (tmp_path / "processes.txt").read_text() == f"Traceback\nValueError: {HIDDEN}\n"
    assert Failure.of(spec(), ValueError("abcdef")).message == HIDDEN


def test_a_benchmark_with_a_secret_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef1234")
    file = tmp_path / "bench.yaml"
    options = '{url: "https://me:pa55word@host.org/data", names: [a, "hf_abcdef1234"]}'
    file.write_text(
        f"task: classification\nmodels: [linear]\ndatasets:\n- name: 'mine.data:build'\n  options: {options}\n"
    )
    with pytest.raises(ValueError, match="password") as caught:
        load_suite([file])
    said = str(caught.value)
    assert f"{file}:5: holds a password inside a URL, which records and boards would show" in said
    assert f"{file}:5: holds the value of the environment variable HF_TOKEN" in said
    assert "pa55word" not in said
    assert "hf_abcdef1234" not in said
    monkeypatch.delenv("HF_TOKEN")
    file.write_text("task: classification\nmodels: [linear]\ndatasets: [digits]\n")
    load_suite([file])


@pytest.mark.parametrize("place", ["benchmark", "machine", "claims"])
def test_yaml_tags_build_nothing(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tag = "!!python/object/apply:os.system ['touch owned']"
    good = "task: classification\ndatasets: [digits]\nmodels: [linear]\n"
    Path("bench.yaml").write_text(good + (f"title: {tag}\n" if place == "benchmark" else ""))
    Path("machine.yaml").write_text(f"data_root: {tag}\n" if place == "machine" else "threads: 1\n")
    Path("claims.yaml").write_text(f"claims: {tag}\n")
    command = ["claims"] if place == "claims" else ["plan", "bench.yaml", "--machine", "machine.yaml"]
    assert main(command) == 2
    assert "!!python/object/apply:os.system is not allowed" in capsys.readouterr().err
    assert not Path("owned").exists()


@pytest.fixture
def finished(tmp_path: Path) -> Store:
    """A store with one finished run, its evidence and truth, made up."""
    store = Store(tmp_path / "runs")
    run = spec("linear")
    with store.lock(run):
        working = store.begin(run)
        (working / "model.pt").write_bytes(b"")
        save_arrays(working / "evidence.npz", {"ids": np.array(["a"])})
        save_arrays(working / "truth.npz", {"ids": np.array(["a"])})
        write_record(record(run, 0.9), working / "record.json")
        store.finish(run)
    return store


@pytest.mark.parametrize("verb", ["predict", "inspect filters"])
def test_a_pickle_in_the_place_of_a_runs_model_is_not_opened(
    verb: str, hostile: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(hostile.store.folder(hostile.outcomes.done[0]), folder)
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace('"leaky_plugin:told"', '"linear"'))
    (folder / "model.pt").write_bytes(pickle.dumps({"weight": Attack(tmp_path / "owned")}))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    images = ["a.png"] if verb == "predict" else []
    assert main([*verb.split(), str(folder), *images]) == 2
    assert "model.pt: refused, nothing was executed" in capsys.readouterr().err
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("verb", "kind"),
    [("reproduce", "dataset")]
    + [(verb, "model") for verb in ("reproduce", "predict", "inspect filters", "inspect maps", "inspect gradcam")],
)
@pytest.mark.parametrize("name", ["evil:build", "subprocess:run"])
def test_code_that_a_record_names_is_not_run_unasked(
    name: str,
    kind: str,
    verb: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A record that somebody sends, with a file beside it, or with nothing but the name of a function of Python's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    Path("evil.py").write_text("open('owned', 'w')\ndef build(*given, **options): pass\n")
    Image.new("RGB", (8, 8)).save("a.png")
    options = {"executable": "/bin/sh", "input": "touch owned", "text": True}
    ref = DatasetRef(name=name, options=options) if kind == "dataset" else ModelRef(name=name, options=options)
    write_record(record(spec("linear").model_copy(update={kind: ref}), 0.9), tmp_path / "record.json")
    images = [] if verb in ("reproduce", "inspect filters") else ["a.png"]
    assert main([*verb.split(), ".", *images]) == 2
    assert f"names code that is not cvbench's own, {name}" in capsys.readouterr().err
    assert not Path("owned").exists()


def test_evidence_with_pickled_objects_is_not_opened(finished: Store, tmp_path: Path) -> None:
    path = finished.folder(spec("linear")) / "evidence.npz"
    np.savez(path, ids=np.array([Attack(tmp_path / "owned")], dtype=object))
    with pytest.raises(ValueError, match=r"evidence\.npz: Expected arrays .*allow_pickle=False"):
        load_arrays(path)
    assert not (tmp_path / "owned").exists()
    np.load(path, allow_pickle=True)["ids"]  # opened without care it would have run
    assert (tmp_path / "owned").exists()


def test_evidence_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evidence.npz"
    save_arrays(path, {"zeros": np.zeros(2 << 20, dtype=np.uint8)})
    assert path.stat().st_size < 10_000
    load_arrays(path)
    monkeypatch.setattr(arrays_file, "MOST_BYTES", 1 << 20)
    with pytest.raises(ValueError, match=r"evidence\.npz: .* they unpack to more than"):
        load_arrays(path)


NESTED = "[" * 200_000


@pytest.mark.parametrize(
    "text",
    ['{"environment": ' + NESTED, NESTED, '{"schema_version": ' + NESTED, '{"a":' * 100_000],
)
def test_nested_json_is_a_damaged_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"record\.json: not a readable record"):
        read_record(path)
    with pytest.raises(ValueError, match=r"record\.json: not a board"):
        read_board(path)


def test_files_that_are_too_large_are_not_read_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    with path.open("wb") as file:
        file.truncate(100 << 20)  # takes no room
    with pytest.raises(ValueError, match=r"record\.json: not a readable record \(more than 64 MiB\)"):
        read_record(path)
    with pytest.raises(ValueError, match=r"not a board .*more than 64 MiB"):
        read_board(path)
    path.unlink()
    path.symlink_to("/dev/zero")  # has no end
    with pytest.raises(ValueError, match="more than 64 MiB"):
        read_record(path)
    kept = record(spec(), 0.5)
    path.unlink()
    write_record(kept, path)
    monkeypatch.setattr(record_file, "MOST_BYTES", path.stat().st_size)
    assert read_record(path) == kept


@pytest.mark.parametrize("part", ["digits", "digits/linear", "digits/linear/RUN"])
def test_folders_that_lead_out_of_the_store_are_not_written(part: str, tmp_path: Path) -> None:
    run, store, outside = spec("linear"), Store(tmp_path / "runs"), tmp_path / "outside"
    (outside / "linear" / run.run_id).mkdir(parents=True)
    (outside / "precious").write_text("keep")
    link = store.root / part.replace("RUN", run.run_id)
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    before = texts_below(outside)
    with pytest.raises(ValueError, match="but got a symbolic link"), store.lock(run):
        pass
    assert texts_below(outside) == before
    whole = tmp_path / "elsewhere"
    whole.mkdir()
    (tmp_path / "linked").symlink_to(whole)
    with Store(tmp_path / "linked").lock(run) as folder:  # the whole store may lie elsewhere
        assert folder.resolve().is_relative_to(whole)


@pytest.mark.parametrize("name", ["record.json", "evidence.npz", "failure.json", "spec.yaml", ".new"])
def test_links_inside_a_run_are_replaced_and_not_followed(name: str, finished: Store, tmp_path: Path) -> None:
    run = spec("linear")
    outside = tmp_path / "outside"
    if name == ".new":
        outside.mkdir()
        (outside / "precious").write_text("keep")
    else:
        outside.write_text("keep")
    place = finished.folder(run) / name
    place.unlink(missing_ok=True)
    place.symlink_to(outside)
    before = texts_below(outside) if outside.is_dir() else outside.read_text()
    with finished.lock(run):
        working = finished.begin(run)
        assert not working.is_symlink()
        save_arrays(working / "evidence.npz", {"ids": np.array(["a"])})
        save_arrays(working / "truth.npz", {"ids": np.array(["a"])})
        write_record(record(run, 0.7), working / "record.json")
        finished.finish(run)
        finished.fail(run, Failure.of(run, ValueError("no")))
    assert (texts_below(outside) if outside.is_dir() else outside.read_text()) == before
    assert not place.is_symlink()


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(finished: Store, tmp_path: Path) -> None:
    lock = finished.folder(spec("linear")) / ".lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "made")
    with (
        pytest.raises(ValueError, match=r"\.lock: Expected a lock, but got a symbolic link"),
        finished.lock(spec("linear")),
    ):
        pass
    assert not (tmp_path / "made").exists()


def test_an_index_that_is_a_link_or_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.sqlite"
    with sqlite3.connect(theirs) as database:
        database.execute("CREATE TABLE precious (a)")
    database.close()
    before = theirs.read_bytes()
    linked, copied = tmp_path / "linked", tmp_path / "copied"
    for root in (linked, copied):
        root.mkdir()
    (linked / FILE).symlink_to(theirs)
    shutil.copy(theirs, copied / FILE)
    for root in (linked, copied):
        with Index(root) as index:
            index.keep("key", {}, b"")
            assert index.computed("key") is None
    assert theirs.read_bytes() == (copied / FILE).read_bytes() == before


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_of_the_package_runs_text_shells_or_pickles(path: Path) -> None:
    found = {one.partition(": ")[2] for one in dangers(path.read_text(encoding="utf-8"))}
    assert found == KNOWN.get(path.relative_to(PACKAGE).as_posix(), set())


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.system('ls')",
        "from os import system as s; s('ls')",
        "eval('1')",
        "exec('1')",
        "import subprocess; subprocess.run('ls', shell=True)",
        "import subprocess as sp; sp.Popen(['ls'], shell=flag)",
        "from subprocess import run; run('ls -l')",
        "from subprocess import run; run(f'ls {x}')",
        "import subprocess; subprocess.getoutput('ls')",
        "import pickle; pickle.load(f)",
        "from pickle import loads; loads(b)",
        "import pickle; pickle.Unpickler(f).load()",
        "import torch; torch.load(f)",
        "import torch; torch.load(f, weights_only=False)",
        "from torch import load; load(f, weights_only=flag)",
        "import numpy as np; np.load(f, allow_pickle=True)",
        "import yaml; yaml.load(f)",
        "from ruamel.yaml import YAML; YAML()",
        "from ruamel.yaml import YAML; YAML(typ='unsafe')",
        "import tarfile; tarfile.open(f).extractall()",
        "import jinja2; jinja2.Environment(loader=x)",
        "import joblib; joblib.load(f)",
        "import pandas as pd; pd.read_pickle(f)",
    ],
)
def test_what_is_looked_for_is_found(source: str) -> None:
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess; subprocess.run(['ls', x], check=True)",
        "import subprocess; subprocess.Popen(command)",
        "import torch; torch.load(f, weights_only=True)",
        "import numpy as np; np.load(f, allow_pickle=False)",
        "model.eval()",
        "import re; re.compile('a')",
        "from ruamel.yaml import YAML; YAML(typ='safe', pure=True)",
    ],
)
def test_what_is_safe_passes(source: str) -> None:
    assert dangers(source) == []
