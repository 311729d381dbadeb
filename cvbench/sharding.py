"""`fsdp`: parameters, gradients and the optimiser's state in parts, one part a process (FSDP; Zhao et al. 2023).

Lightning's strategy, changed where it would let the strategy decide what is computed, and not only who holds what:
precision is autocast's as everywhere else (Lightning would also round parameters, sums of gradients and running
statistics), `recipe.gradient_clip` takes the norm over all parts, and evaluation sees a whole model on each process, so
that none waits for others who have fewer batches. It also runs on CPUs, where it can be tested.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.plugins.precision import FSDPPrecision
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    OptimStateKeyType,
    StateDictType,
)
from torch.distributed.fsdp.wrap import lambda_auto_wrap_policy

from cvbench.devices import Accelerator

# Classes of the repeated parts of large networks, which are gathered one after the other; all else is gathered once a
# step. Each is called once a step whatever is seen: a part that one process calls more often would wait for ever.
UNITS = frozenset(
    {"BasicBlock", "Block", "Bottleneck", "CNBlock", "ConvNeXtBlock", "EncoderBlock", "SwinTransformerBlock",
     "SwinTransformerBlockV2"}
)  # fmt: skip


def _is_unit(module: nn.Module) -> bool:
    return type(module).__name__ in UNITS


class Sharded(FSDPStrategy):
    """Fully sharded training whose checkpoints are whole: rank 0 writes one plain file, as without sharding."""

    def __init__(self, backend: Literal["gloo", "nccl"]) -> None:
        units = partial(lambda_auto_wrap_policy, lambda_fn=_is_unit)
        super().__init__(process_group_backend=backend, auto_wrap_policy=units, state_dict_type="full")
        self._whole: Any = None

    def setup(self, trainer: L.Trainer) -> None:
        assert self.lightning_module is not None
        self._whole = copy.deepcopy(self.lightning_module.model)  # not sharded, and not on the device yet
        super().setup(trainer)

    def _setup_model(self, model: nn.Module) -> nn.Module:
        if self.root_device.type != "cpu":
            return super()._setup_model(model)
        # Lightning names the device by its index, and a CPU has none.
        return FullyShardedDataParallel(
            model, device_id=self.root_device, sharding_strategy=self.sharding_strategy, **self.kwargs
        )

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """The state for the whole model, on the first process."""
        if self.root_device.type != "cpu":
            return super().optimizer_state(optimizer)
        # On CPUs not as Lightning does, "offloaded to the CPU": torch gathers into one buffer, and copies out of it
        # only on the way to another device, so that both of Adam's moments would be the last one that was gathered.
        assert self.model is not None
        configs = FullStateDictConfig(rank0_only=True), FullOptimStateDictConfig(offload_to_cpu=False, rank0_only=True)
        with FullyShardedDataParallel.state_dict_type(self.model, StateDictType.FULL_STATE_DICT, *configs):
            state = FullyShardedDataParallel.optim_state_dict(self.model, getattr(optimizer, "_optimizer", optimizer))
            if self.global_rank == 0:
                state = FullyShardedDataParallel.rekey_optim_state_dict(state, OptimStateKeyType.PARAM_ID, self.model)
        return state

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Gives each process its part of model and optimiser. Lightning's own would run what the pickle says."""
        assert self.model is not None
        checkpoint: dict[str, Any] = torch.load(self.broadcast(checkpoint_path), map_location="cpu", weights_only=True)
        configs = FullStateDictConfig(), FullOptimStateDictConfig()
        with FullyShardedDataParallel.state_dict_type(self.model, StateDictType.FULL_STATE_DICT, *configs):
            self.model.load_state_dict(checkpoint.pop("state_dict"))
            for optimiser, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
                named = FullyShardedDataParallel.rekey_optim_state_dict(saved, OptimStateKeyType.PARAM_NAME, self.model)
                part = FullyShardedDataParallel.optim_state_dict_to_load(self.model, optimiser, named)
                optimiser.load_state_dict(part)
        return checkpoint

    def on_validation_start(self) -> None:
        self.gather().to(self.root_device).eval()

    def validation_step(self, *arguments: Any, **named: Any) -> Any:
        task: Any = self.lightning_module
        parts, task.model = task.model, self._whole
        try:
            with self.precision_plugin.val_step_context():
                return task.validation_step(*arguments, **named)
        finally:
            task.model = parts

    def on_validation_end(self) -> None:
        self._whole.cpu()

    def gather(self) -> nn.Module:
        """The whole model as it is now, the same on every process; all must call it."""
        assert self.lightning_module is not None
        assert isinstance(self.model, FullyShardedDataParallel)
        own = dict(self._whole.named_parameters()) | dict(self._whole.named_buffers())
        parts: Any = self.lightning_module.model
        with FullyShardedDataParallel.summon_full_params(self.model, writeback=False), torch.no_grad():
            for name, value in [*parts.named_parameters(), *parts.named_buffers()]:
                own[name.replace("_fsdp_wrapped_module.", "")].copy_(value)
        for value in self._whole.buffers():  # running statistics are each process's own; the first one's count
            value.copy_(self.broadcast(value))
        return self._whole  # type: ignore[no-any-return]


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

    def convert_input(self, data: Any) -> Any:
        return data  # what is float64 in a batch, such as boxes as they are scored, is so for a reason

    def clip_grad_by_norm(self, optimizer: Any, clip_val: int | float) -> None:
        assert self.strategy is not None
        assert isinstance(self.strategy.model, FullyShardedDataParallel)
        self.strategy.model.clip_grad_norm_(clip_val)


def sharded(
    precision: Literal["32-true", "bf16-mixed", "16-mixed"], accelerator: Accelerator, backend: Literal["gloo", "nccl"]
) -> tuple[Sharded, ShardedPrecision]:
    """Lightning's strategy and precision of a sharded training."""
    strategy, plugin = Sharded(backend), ShardedPrecision(precision, accelerator)
    plugin.strategy = strategy
    return strategy, plugin


def make_whole(trainer: L.Trainer, task: L.LightningModule) -> None:
    """Gives a task that was trained sharded its model back as one. All processes call it; nothing where it was not."""
    if isinstance(trainer.strategy, Sharded):
        task.model = trainer.strategy.gather().cpu()
