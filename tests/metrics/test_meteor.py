"""METEOR through Java: equal to pycocoevalcap's, asked once, absent with a reason where Java is missing or fails."""

from __future__ import annotations

import os
import shutil
import sys
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cvbench.metrics import captioning, meteor
from tests.captions import fakecap126


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No answer and no program of another test."""
    monkeypatch.setattr(meteor, "_ANSWERS", {})
    monkeypatch.setattr(meteor, "_FAILURES", [])
    monkeypatch.setattr(meteor, "_RUNNING", running := [])
    yield
    while running:
        running.pop().close()


@pytest.fixture
def java(fresh: None) -> None:
    reason = meteor.unavailable()
    if reason is not None:
        pytest.skip(f"needs METEOR's Java program: {reason}")


def fake(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """A `java` that is this script, in a folder that is all of PATH, and a jar."""
    program = folder / "java"
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    (folder / "meteor.jar").touch()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv(meteor.JAR, str(folder / "meteor.jar"))


# Answers as the program does: one line a SCORE, and of an EVAL one line each and one for all.
ECHO = """
import sys
for line in sys.stdin:
    parts = line.rstrip("\\n").split(" ||| ")
    answers = ["1.0"] if parts[0] == "SCORE" else ["0.25"] * len(parts)
    with open("asked.txt", "a", encoding="utf-8") as file:
        print(repr(line), file=file)
    print("\\n".join(answers), flush=True)
"""


def test_equals_the_reference_set_and_takes_captions_without_words(java: None, shared_data: Path) -> None:
    split, expected = fakecap126(shared_data)
    found = meteor.meteor(*split)
    assert found.corpus == pytest.approx(expected["METEOR"], rel=0, abs=1e-9)
    assert len(found.captions) == len(split.candidates)
    (program,) = meteor._RUNNING
    assert meteor.meteor([[], ["a"], []], [[["a"]], [[]], [[]]]).captions.tolist() == [0, 0, 0]
    assert [program] == meteor._RUNNING
    meteor._close()
    assert program.process.poll() is not None
    assert meteor.meteor(*split).corpus == found.corpus  # answered before
    assert not meteor._RUNNING


def test_an_idle_program_is_let_go_and_the_next_captions_start_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake(monkeypatch, tmp_path, ECHO)
    monkeypatch.setattr(meteor, "IDLE_SECONDS", 0.05)
    assert meteor.meteor([["a"]], [[["a"]]]).corpus == 0.25
    (timer,) = meteor._TIMERS
    timer.join(20)
    assert not meteor._RUNNING
    monkeypatch.setattr(meteor, "IDLE_SECONDS", 60.0)
    assert meteor.meteor([["b"]], [[["b"]]]).corpus == 0.25
    assert len(meteor._RUNNING) == 1
    meteor._TIMERS.pop().cancel()


def test_what_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, ECHO)
    split = [["a", "|||", "犬|||s"], ["b\nb"]], [[["x"], ["y", "z"]], [["x"]]]
    assert np.array_equal(meteor.meteor(*split).captions, [0.25, 0.25])
    meteor.meteor([["b", "b"], ["c"]], [[["x"]], [["x"]]])
    asked = [literal_eval(line) for line in (tmp_path / "asked.txt").read_text(encoding="utf-8").splitlines()]
    assert asked == [
        "SCORE ||| x ||| y z ||| a 犬s\n",
        "SCORE ||| x ||| b b\n",
        "EVAL ||| 1.0 ||| 1.0\n",
        "SCORE ||| x ||| c\n",
    ]  # and not the second EVAL, whose parts are those of the first


NO_NUMBERS = """
import sys
for line in sys.stdin:
    print("1.0" if line.startswith("SCORE") else "0.5\\n{}", flush=True)
"""


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "import sys; sys.stderr.write('Error: no such thing\\nat x'); sys.exit(1)",
            "Java failed: Error: no such thing",
        ),
        ("import sys; sys.exit(3)", "Java failed: it ended with code 3"),
        (NO_NUMBERS.format("no"), "METEOR's answer is no number: could not convert"),
        (NO_NUMBERS.format("nan"), "METEOR's answer is no number: some values are not finite"),
        ("import time; time.sleep(60)", "Java failed: no answer within 0.5 seconds"),
    ],
)
def test_a_java_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str) -> None:
    fake(monkeypatch, tmp_path, script)
    monkeypatch.setattr(meteor, "PATIENCE_SECONDS", 0.5 if "sleep" in script else 20.0)
    with pytest.raises(meteor.UnavailableError, match=reason):
        meteor.meteor([["a"]], [[["a"]]])
    assert not meteor._RUNNING
    assert (meteor.unavailable() or "").startswith(reason)
    text = {"ids": np.array(["1"]), "counts": np.array([1]), "references": np.array(["a b"])}
    evidence = {"ids": np.array(["1"]), "captions": np.array(["c"])}
    assert captioning.at_test(evidence, text) == {}
    assert captioning.absent([])["meteor"].startswith(reason)


def test_java_or_the_jar_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, ECHO)
    monkeypatch.setenv(meteor.JAR, str(tmp_path / "other.jar"))
    assert meteor.unavailable() == f"METEOR's jar is not there: no file {tmp_path / 'other.jar'}"
    monkeypatch.delenv(meteor.JAR)
    monkeypatch.setattr(meteor, "find_spec", lambda name: None)
    assert "install pycocoevalcap, or set CVBENCH_METEOR_JAR" in (meteor.unavailable() or "")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert meteor.unavailable() == "Java is not installed (no `java` on PATH)"
    with pytest.raises(meteor.UnavailableError, match="Java is not installed"):
        meteor.meteor([["a"]], [[["a"]]])


def test_a_failure_is_not_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, "import sys; sys.exit(3)")
    with pytest.raises(meteor.UnavailableError):
        meteor.meteor([["a"]], [[["a"]]])
    fake(monkeypatch, tmp_path, ECHO)
    assert meteor.meteor([["a"]], [[["a"]]]).corpus == 0.25
    assert meteor.unavailable() is None


def test_the_jar_of_an_installed_pycocoevalcap_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(meteor.JAR, raising=False)
    jar = meteor._jar()
    assert jar is not None
    assert jar.name == "meteor-1.5.jar"
    assert os.access(jar, os.R_OK)
    assert shutil.which("java") is None or meteor.unavailable() is None
