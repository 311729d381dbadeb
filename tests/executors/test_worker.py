"""A worker process that dies while children of its run live, and one whose listener breaks down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvbench.events import Event
from cvbench.executors.worker import Worker
from cvbench.failure import Failure
from tests.alive import gone, within
from tests.executors.suites import machine, suite

# A child that is forked has the worker's end of the pipe as well.
PLUGIN = """
import os, pathlib, signal, time
from cvbench.models.classification.linear import build as linear

def forks(info):
    if (child := os.fork()) == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
        os._exit(0)
    here = pathlib.Path(__file__).with_name("new")
    here.write_text(str(child))
    here.rename(here.with_name("child"))

def dies(info):
    forks(info)
    os.kill(os.getpid(), signal.SIGKILL)

def hangs(info):
    forks(info)
    signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "forking.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    child = tmp_path / "child"
    if child.exists() and not gone(int(child.read_text())):
        os.kill(int(child.read_text()), signal.SIGKILL)


class Running(threading.Thread):
    """A worker's run of the model, in a thread."""

    def __init__(self, folder: Path, model: str) -> None:
        super().__init__(daemon=True)
        self.folder, self.worker = folder, Worker({"OMP_NUM_THREADS": "1"})
        (self.spec,) = suite(folder, models=[model])
        self.failure: Failure | None = None
        self.start()

    def run(self) -> None:
        self.failure = self.worker.run(self.spec, machine(self.folder), self.folder, lambda event: None)

    @property
    def child(self) -> int | None:
        path = self.folder / "child"
        return int(path.read_text()) if path.exists() else None


def test_a_worker_that_dies_is_noticed_while_a_child_of_it_lives(folder: Path) -> None:
    running = Running(folder, "forking:dies")
    assert within(120, lambda: running.child)
    running.join(20)
    assert running.failure is not None
    assert (running.failure.kind, "signal 9" in running.failure.message) == ("killed", True)
    assert running.child is not None
    assert within(5, lambda: gone(running.child))


def test_a_worker_that_is_stopped_leaves_no_child_behind(folder: Path) -> None:
    running = Running(folder, "forking:hangs")
    assert within(120, lambda: running.child)
    running.worker.stop()
    assert within(5, lambda: gone(running.child))
    running.join(20)
    assert not running.is_alive()


MAIN = """
import sys
from pathlib import Path
from tests.executors.test_worker import Running

if __name__ == "__main__":
    sys.path.append(sys.argv[1])
    Running(Path(sys.argv[1]), "forking:hangs").join()
"""


def test_a_suite_that_is_killed_leaves_no_child_of_a_worker_behind(folder: Path) -> None:
    main = subprocess.Popen([sys.executable, "-c", MAIN, str(folder)])
    child = folder / "child"
    assert within(120, child.exists)
    main.kill()
    main.wait()
    assert within(20, lambda: gone(int(child.read_text())))


def test_what_the_listener_raises_is_told_as_such(tmp_path: Path) -> None:
    def tell(event: Event) -> None:
        raise OSError(28, "No space left on device")

    (run,) = suite(tmp_path)
    worker = Worker({"OMP_NUM_THREADS": "1"})
    with pytest.raises(OSError, match="No space left on device"):
        worker.run(run, machine(tmp_path), tmp_path, tell)
    worker.stop()
