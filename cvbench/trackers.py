"""Experiment trackers, imported only when asked for. One that fails is switched off with a warning; the run goes on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from cvbench.spec import RunSpec

log = logging.getLogger(__name__)


class Forgiving(Logger):
    """A Lightning logger around another one, whose first failure ends the tracking and nothing else."""

    def __init__(self, make: Callable[[], Logger], name: str) -> None:
        super().__init__()
        self._name, self._inner = name, None
        self._inner = self._try(make)

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (
            Exception
        ) as error:  # whatever a tracker raises: a network, a disk or a key is none of the run's business
            log.warning(
                "tracker %s failed and is switched off for this run: %s: %s", self._name, type(error).__name__, error
            )
            self._inner = None
            return None

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if (inner := self._inner) is not None:
            self._try(lambda: inner.log_metrics(metrics, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        if (inner := self._inner) is not None:
            self._try(lambda: inner.log_hyperparams(params))

    def finalize(self, status: str) -> None:
        if (inner := self._inner) is not None:
            self._try(lambda: _finish(inner, status))


def _finish(inner: Logger, status: str) -> None:
    inner.finalize(status)
    finish = getattr(getattr(inner, "experiment", None), "finish", None)  # wandb keeps a process until it is told
    if callable(finish):
        finish()


def build_tracker(name: str, run: RunSpec, folder: Path) -> Logger | None:
    """The tracker of that name writing under `folder`, or None for `none`. wandb is offline without a key."""
    makers: dict[str, Callable[[], Logger]] = {
        "wandb": lambda: _wandb(run, folder),
        "tensorboard": lambda: _tensorboard(folder),
    }
    if name not in makers:
        return None
    tracker = Forgiving(makers[name], name)
    tracker.log_hyperparams(run.model_dump(mode="json"))
    return tracker


def _wandb(run: RunSpec, folder: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    offline = not os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") == "offline"
    logger = WandbLogger(
        name=run.name,
        project="cvbench",
        group=run.group_id,
        id=run.run_id,
        save_dir=folder,
        offline=offline,
        settings={"silent": True, "console": "off"},
    )
    _ = logger.experiment  # starts it now, so that a failure is met here
    return logger


def _tensorboard(folder: Path) -> Logger:
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(save_dir=folder, name="tensorboard", version="")
    _ = logger.experiment
    return logger
