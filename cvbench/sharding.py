"""`fsdp`: parameters, gradients and the optimiser's state in parts, one part a process (FSDP; Zhao et al. 2023).

Lightning's strategy with three things mended, so that the strategy decides who holds what and never what is computed:
precision is autocast's as everywhere else (Lightning would round parameters, sums of gradients and running statistics),
`recipe.gradient_clip` takes the norm over all parts, and it also runs on CPUs, where it can be tested.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.plugins.precision import FSDPPrecision
from lightning.pytorch.strategies import FSDPStrategy
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy

from cvbench.devices import Accelerator
from cvbench.tasks.base import Task

# Submodules with so many parameters are gathered one after the other; smaller ones with what is around them.
UNIT_PARAMETERS = 1_000_000


class Sharded(FSDPStrategy):
    """Fully sharded training whose checkpoints are whole: rank 0 writes one plain file, as without sharding."""

    def __init__(self, backend: Literal["gloo", "nccl"]) -> None:
        units = partial(size_based_auto_wrap_policy, min_num_params=UNIT_PARAMETERS)
        super().__init__(process_group_backend=backend, auto_wrap_policy=units, state_dict_type="full")


class ShardedPrecision(FSDPPrecision):
    """Autocast over float32 parameters, as in unsharded training."""

    def __init__(self, precision: Literal["32-true", "bf16-mixed", "16-mixed"], accelerator: Accelerator) -> None:
        super().__init__(precision)
        self.accelerator = accelerator
        self.strategy: Sharded | None = None

    @property
    def mixed_precision_config(self) -> Any:
        return None  # nothing is kept, summed or gathered in fewer bits

    def forward_context(self) -> AbstractContextManager[Any]:
        if self.precision == "32-true":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16-mixed" else torch.float16
        return torch.autocast(self.accelerator, dtype=dtype)

    def clip_grad_by_norm(self, optimizer: Any, clip_val: int | float) -> None:
        assert self.strategy is not None
        assert isinstance(self.strategy.model, FullyShardedDataParallel)
        self.strategy.model.clip_grad_norm_(clip_val)


def whole(trainer: L.Trainer, trained: Task, plain: Task, folder: Path) -> Task:
    """`plain`, a copy of the task from before it was sharded, with all that training changed. All processes call it."""
    path = folder / "last.ckpt"
    trainer.save_checkpoint(path, weights_only=True)  # gathers; rank 0 writes
    plain.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
    plain.curves = trained.curves
    trainer.strategy.barrier()  # all have read it
    if trainer.is_global_zero:
        path.unlink()
    return plain


def sharded(
    precision: Literal["32-true", "bf16-mixed", "16-mixed"], accelerator: Accelerator, backend: Literal["gloo", "nccl"]
) -> tuple[Sharded, ShardedPrecision]:
    """Lightning's strategy and precision of a sharded training."""
    strategy, plugin = Sharded(backend), ShardedPrecision(precision, accelerator)
    plugin.strategy = strategy
    return strategy, plugin
