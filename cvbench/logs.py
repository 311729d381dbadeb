"""Where the words of libraries go while a run is under way: into its own log, never to the terminal."""

from __future__ import annotations

import faulthandler
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvbench.redaction import redacted

# Between the stacks of a run that is late and its end.
STACKS_SECONDS = 1.0


@contextmanager
def stacks_after(seconds: float | None, path: Path) -> Iterator[None]:
    """A run that takes longer says at that moment, in the file `path`, where each of its threads is."""
    if seconds is None:
        yield
        return
    with path.open("a", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(seconds, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


class _Redacting(logging.Formatter):
    """A run's folder may be handed on: what libraries say of keys and proxies is not."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Everything that libraries log or warn goes into the file `path`."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    names = ("lightning.pytorch", "lightning.fabric", "cvbench", "py.warnings", "torch")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(False)
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()
