"""Where the words of libraries go while a run is under way: into its own log, never to the terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvbench.redaction import redacted


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
