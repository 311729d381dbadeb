"""What the Trainer is told for each machine and recipe; GPUs are Lightning's to find, so its constructor is watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy

from cvbench import trainer
from cvbench.batch_norm import Synchronised
from cvbench.machine import Machine
from cvbench.sharding import Sharded, ShardedPrecision
from cvbench.trainer import Length, build_trainer, check_shares
from tests.records import spec

FOUR = {"nodes": 2, "devices": 2}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Gives the function that builds a Trainer and returns the arguments that it was given."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(trainer.L, "Trainer", lambda **arguments: found.update(arguments))

    def build(machine: dict[str, Any], accelerator: Any = "cuda", **recipe: Any) -> dict[str, Any]:
        planned = spec(recipe=spec().recipe.changed(recipe))
        on = Machine.model_validate(machine)
        monkeypatch.setenv("WORLD_SIZE", str(on.world))
        found.clear()
        build_trainer(planned, on, accelerator, tmp_path, Length(1, 1), True, [])
        return found

    return build


def kinds(arguments: dict[str, Any]) -> list[type]:
    return [type(plugin) for plugin in arguments["plugins"]]


def test_one_device_has_no_strategy_and_guesses_no_cluster(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lightning would take a batch script's variables for srun's, and wait for three others.
    monkeypatch.setenv("SLURM_NTASKS", "4")
    arguments = told({"strategy": "fsdp"})
    assert (arguments["strategy"], arguments["devices"], arguments["num_nodes"]) == ("auto", 1, 1)
    assert kinds(arguments) == [LightningEnvironment]


@pytest.mark.parametrize(("accelerator", "backend"), [("cuda", "nccl"), ("cpu", "gloo")])
def test_several_devices_share_by_ddp(told: Any, accelerator: str, backend: str) -> None:
    arguments = told(FOUR, accelerator)
    assert (arguments["devices"], arguments["num_nodes"]) == (2, 2)
    assert isinstance(arguments["strategy"], DDPStrategy)
    assert arguments["strategy"].process_group_backend == backend
    assert kinds(arguments) == [TorchElasticEnvironment]
    assert arguments["precision"] == "32-true"


@pytest.mark.parametrize(("accelerator", "backend"), [("cuda", "nccl"), ("cpu", "gloo")])
def test_or_by_fsdp_with_precision_of_its_own(told: Any, accelerator: str, backend: str) -> None:
    arguments = told(FOUR | {"strategy": "fsdp"}, accelerator, precision="bf16-mixed")
    strategy = arguments["strategy"]
    assert isinstance(strategy, FSDPStrategy)
    assert strategy.process_group_backend == backend
    assert "precision" not in arguments
    precision = arguments["plugins"][1]
    assert isinstance(precision, ShardedPrecision)
    assert precision.strategy is strategy
    assert precision.mixed_precision_config is None  # parameters, sums and statistics stay in float32
    if accelerator == "cpu":  # elsewhere torch switches it off without the device
        with precision.forward_context():
            assert torch.is_autocast_enabled("cpu")
            assert torch.get_autocast_dtype("cpu") == torch.bfloat16


def test_the_norm_of_sharded_gradients_is_the_strategys_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    clipped: list[float] = []

    class Parts:
        def clip_grad_norm_(self, largest: float) -> None:
            clipped.append(largest)

    monkeypatch.setattr("cvbench.sharding.FullyShardedDataParallel", Parts)
    precision = ShardedPrecision("32-true", "cuda")
    precision.strategy = Sharded("nccl")
    precision.strategy._model = Parts()  # type: ignore[assignment]
    precision.clip_gradients(None, 0.5)  # type: ignore[arg-type]
    assert clipped == [0.5]


@pytest.mark.parametrize(
    ("precision", "lightnings"),
    [("32-true", "32-true"), ("tf32", "32-true"), ("bf16-mixed", "bf16-mixed"), ("16-mixed", "16-mixed")],
)
def test_precisions_by_lightnings_names(told: Any, precision: str, lightnings: str) -> None:
    assert told({}, precision=precision)["precision"] == lightnings
    assert told(FOUR, precision=precision)["precision"] == lightnings


@pytest.mark.parametrize(("accelerator", "kind"), [("cuda", TorchSyncBatchNorm), ("cpu", Synchronised)])
def test_batch_norm_is_synchronised_where_the_recipe_says_so(told: Any, accelerator: str, kind: type) -> None:
    assert kinds(told(FOUR, accelerator, sync_batch_norm=True)) == [TorchElasticEnvironment, kind]
    assert kinds(told({}, accelerator, sync_batch_norm=True)) == [LightningEnvironment]  # one sees all images anyway


def test_passes_are_accumulated_as_the_machine_needs(told: Any) -> None:
    assert told({})["accumulate_grad_batches"] == 1
    assert told({"accumulate": 4})["accumulate_grad_batches"] == 4
    assert told(FOUR | {"largest_batch_per_device": 2}, batch_size=32)["accumulate_grad_batches"] == 4


@pytest.mark.parametrize(
    ("machine", "size", "parts"),
    [({}, 20, None), ({"devices": 2}, 64, None), ({"devices": 2}, 63, 2), ({"accumulate": 4}, 63, None), (FOUR, 63, 4)],
)
def test_a_short_batch_is_not_divided(machine: dict[str, Any], size: int, parts: int | None) -> None:
    recipe, on = spec().recipe.changed({"batch_size": 64}), Machine.model_validate(machine)
    if parts is None:
        check_shares(recipe, on, size)
        return
    with pytest.raises(ValueError, match=rf"recipe\.batch_size 64 to divide among {parts} .* has {size} samples"):
        check_shares(recipe, on, size)
