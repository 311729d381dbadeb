"""What a job's processes print, redacted line by line on its way into a log that lies in the store."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from multiprocessing.util import Finalize

from cvbench.redaction import redacted

_PATIENCE_SECONDS = 5.0  # for what is still in a pipe; a process that was left behind may hold its other end


@contextlib.contextmanager
def redacting(*descriptors: int) -> Iterator[None]:
    """What this process and its children write to these file descriptors has its secrets hidden, killed or not."""
    with contextlib.ExitStack() as stack:
        for descriptor in descriptors:
            stack.enter_context(_through_a_pipe(descriptor))
        yield


@contextlib.contextmanager
def _through_a_pipe(descriptor: int) -> Iterator[None]:
    to, log, (reader, writer) = os.dup(descriptor), os.dup(descriptor), os.pipe()
    os.dup2(writer, descriptor)
    os.close(writer)
    pump = threading.Thread(target=_pump, args=(reader, log), daemon=True)
    pump.start()
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os.dup2(to, descriptor)
        os.close(to)
        # A worker that waits for the next run has the pipe as well: what it says last is written when this process has
        # ended its children, and ends.
        Finalize(None, pump.join, args=(_PATIENCE_SECONDS,), exitpriority=-1)


def _pump(reader: int, to: int) -> None:
    with os.fdopen(reader, "rb") as lines, os.fdopen(to, "wb", buffering=0) as log:
        for line in lines:
            with contextlib.suppress(OSError):  # a full disk; who writes must not wait for ever
                log.write(redacted(line.decode(errors="replace")).encode())
