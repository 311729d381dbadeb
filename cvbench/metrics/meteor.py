"""METEOR 1.5, asked of its Java program.

Denkowski & Lavie, "Meteor universal: language specific translation evaluation for any target language", WMT 2014. The
program is started when it is needed, serves all calls of a process until it is idle, and gets the words as
`pycocoevalcap` gives them. Its jar is not ours to ship: it is what `CVBENCH_METEOR_JAR` names, or that of an installed
`pycocoevalcap`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from cvbench.metrics.caption_columns import Floats, Tokens

JAR = "CVBENCH_METEOR_JAR"
# For one answer; the first one waits for Java and the table of paraphrases, 5 to 20 seconds.
PATIENCE_SECONDS = 120.0
# Java holds a gigabyte: between the tests of two long trainings it is let go, and its answers are kept.
IDLE_SECONDS = 60.0


class UnavailableError(RuntimeError):
    """METEOR cannot be computed here; the message says why."""


class Meteor(NamedTuple):
    """corpus: METEOR of all captions together, in [0, 1], the higher the better. captions: float64 (N,), of each."""

    corpus: float
    captions: Floats


def meteor(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> Meteor:
    """METEOR of N candidates, each against its image's references (at least one). A `|||` in words is left out.

    What was asked before in this process is not asked again.

    Raises:
        UnavailableError: no Java, no jar, or Java failed, or took too long.
    """
    lines = [_line(caption, known) for caption, known in zip(candidates, references, strict=True)]
    with _LOCK, _let_go_when_idle():
        _FAILURES.clear()  # what Java could not do with other captions, it may with these
        new = [line for line in dict.fromkeys(lines) if _key(line) not in _ANSWERS]
        for line, (answer,) in zip(new, _asked(new, 1), strict=True):
            _ANSWERS[_key(line)] = (answer,)
        total = " ||| ".join(("EVAL", *(_ANSWERS[_key(line)][0] for line in lines)))
        if _key(total) not in _ANSWERS:
            _ANSWERS[_key(total)] = _asked([total], len(lines) + 1)[0]
        try:
            values = np.array([float(answer) for answer in _ANSWERS[_key(total)]])
        except ValueError as error:
            raise _failed(f"METEOR's answer is no number: {error}") from None
        if not np.isfinite(values).all():
            raise _failed("METEOR's answer is no number: some values are not finite")
    return Meteor(float(values[-1]), values[:-1])


def unavailable() -> str | None:
    """Why METEOR cannot be computed here, or what the last `meteor` failed of; else None. Starts nothing."""
    if _FAILURES:
        return _FAILURES[-1]
    if shutil.which("java") is None:
        return "Java is not installed (no `java` on PATH)"
    jar = _jar()
    if jar is None:
        return f"METEOR's jar is not there: install pycocoevalcap, or set {JAR} to meteor-1.5.jar"
    return None if jar.is_file() else f"METEOR's jar is not there: no file {jar}"


def _line(caption: Tokens, references: Sequence[Tokens]) -> str:
    return " ||| ".join(("SCORE", *map(_words, references), _words(caption)))


def _words(caption: Tokens) -> str:
    # split: no word may end the line
    return " ".join(" ".join(caption).replace("|||", "").split())


def _key(line: str) -> bytes:
    return blake2b(line.encode("utf-8", "replace"), digest_size=16).digest()


def _jar() -> Path | None:
    if given := os.environ.get(JAR):
        return Path(given).absolute()
    spec = find_spec("pycocoevalcap")
    folders = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(folders))) / "meteor" / "meteor-1.5.jar" if folders else None


class _Java:
    """The running program. Threads write to it and read from it, so that neither side ever waits for the other."""

    def __init__(self, jar: Path) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed in `close`
        options = ["-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(jar)]
        self.process = subprocess.Popen(
            ["java", *options, "-", "-", "-stdio", "-l", "en", "-norm"],
            cwd=jar.parent,  # where its table of paraphrases is
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.answers: queue.Queue[str | None] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def ask(self, lines: Sequence[str], answers: int) -> list[tuple[str, ...]]:
        """`answers` lines for each line. Raises TimeoutError, and EOFError with what Java said last."""
        threading.Thread(target=self._write, args=(lines,), daemon=True).start()
        return [tuple(self._answer() for _ in range(answers)) for _ in lines]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # what it did not read any more
            self.process.stdin.close()
        self.errors.close()

    def _answer(self) -> str:
        try:
            answer = self.answers.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise TimeoutError(f"no answer within {PATIENCE_SECONDS:g} seconds") from None
        if answer is None:
            self.process.wait()
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip().splitlines()
            raise EOFError(said[0] if said else f"it ended with code {self.process.returncode}")
        return answer

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.answers.put(line.decode(errors="replace").strip())
        self.answers.put(None)

    def _write(self, lines: Sequence[str]) -> None:
        assert self.process.stdin is not None
        try:
            for line in lines:
                self.process.stdin.write(line.encode("utf-8", "replace") + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError):  # it has ended: the reader tells
            return


_LOCK = threading.Lock()
_ANSWERS: dict[bytes, tuple[str, ...]] = {}
_FAILURES: list[str] = []  # of the last call
_RUNNING: list[_Java] = []
_TIMERS: list[threading.Timer] = []


@contextlib.contextmanager
def _let_go_when_idle() -> Iterator[None]:
    """Ends Java some time after this call, unless another comes by then. Holds no lock."""
    while _TIMERS:
        _TIMERS.pop().cancel()
    try:
        yield
    finally:
        if _RUNNING:
            _TIMERS.append(timer := threading.Timer(IDLE_SECONDS, _let_go))
            timer.daemon = True
            timer.start()


def _let_go() -> None:
    with _LOCK:
        _close()


def _asked(lines: Sequence[str], answers: int) -> list[tuple[str, ...]]:
    if not lines:
        return []
    reason = unavailable()
    if reason is not None:
        raise UnavailableError(reason)
    try:
        if not _RUNNING:
            jar = _jar()
            assert jar is not None
            _RUNNING.append(_Java(jar))
        return _RUNNING[0].ask(lines, answers)
    except (OSError, EOFError) as error:  # TimeoutError is an OSError
        raise _failed(f"Java failed: {error}") from None
    except BaseException:  # an interrupt: answers that are still to come would be taken for the next ones
        _close()
        raise


def _failed(reason: str) -> UnavailableError:
    """Ends Java: what it would still answer belongs to no question. The next captions start another."""
    _FAILURES.append(reason)
    _close()
    return UnavailableError(reason)


@atexit.register
def _close() -> None:
    while _RUNNING:
        _RUNNING.pop().close()
