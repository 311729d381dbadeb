"""Work in a fresh process: what crashes there, or needs more memory than there is, costs its own answer only."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any


def apart(work: Callable[..., Any], *given: Any) -> Any:
    """What `work(*given)` returns in a fresh process, or in words why it returned nothing."""
    # Forked from a server that has imported torch and done nothing else: quick, and as clean as a new one.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cvbench.harness"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work, *given), name="cvbench-apart")
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"by signal {-code}{' (out of memory?)' if code == -9 else ''}" if code < 0 else f"with exit code {code}"
        return f"its process ended {how}"
    finally:
        ours.close()
        if process.is_alive():
            process.terminate()  # after an answer there is nothing left to do; or we were interrupted
        process.join()


def _answer(pipe: Connection, work: Callable[..., Any], *given: Any) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        pipe.send(work(*given))
    except Exception as error:  # whatever a model's code raises, the other rows go on
        lines = [line for line in str(error).splitlines() if line.strip()]
        pipe.send(f"{type(error).__name__}: {lines[0] if lines else 'no message'}")


@contextlib.contextmanager
def threads_of_processes(count: int | None) -> Iterator[None]:
    """Sets OMP_NUM_THREADS while processes are started: OpenMP reads it when torch is loaded."""
    before = os.environ.get("OMP_NUM_THREADS")
    if count is not None:
        os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS", None)
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
