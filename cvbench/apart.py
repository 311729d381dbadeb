"""Work in a fresh process: what crashes there, or needs more memory than there is, costs its own answer only."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

_ENVIRONMENT = threading.RLock()


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
def environment_of_processes(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables while processes are started, for what is read when they load torch or find GPUs.

    One thread at a time: the environment is the whole process's.
    """
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
