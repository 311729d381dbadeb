"""What is asked of every model: each check says in a few words what it saw, or raises what is wrong."""

from __future__ import annotations

import copy
import io
from typing import Any

import torch
from torch import Tensor, nn

from cvbench.contracts.base import BrokenContractError, require, require_finite, same
from cvbench.contracts.processes import check_two_processes
from cvbench.contracts.subject import SCENES, SEED, Subject
from cvbench.finalising import finalise
from cvbench.tasks.base import Task

NAMED = 5  # parameters that a message names


class SkippedError(Exception):
    """A check that does not apply, and why."""


def builds(subject: Subject) -> str:
    model = subject.build().model
    if not isinstance(model, nn.Module):
        raise BrokenContractError(f"Expected build to return an nn.Module, but got {type(model).__name__}")
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{count:,} parameters, {sum(p.numel() for p in _trained(model).values()):,} of them trained"


def training(subject: Subject) -> str:
    task, contract = subject.build(), subject.contract
    images = task.laid_out(subject.batch.images)
    before, targets = images.clone(), copy.deepcopy(task.model_targets(subject.batch))
    output = contract.train(task.model, images, targets)
    contract.check_training(output, images, targets, subject.info)
    if not torch.equal(images, before):
        raise BrokenContractError("Expected the images as they were given, but the model changed them in place")
    return ""


def prediction(subject: Subject) -> str:
    task = subject.build().eval()
    images = subject.batch.images
    given = images.clone()
    with torch.inference_mode():
        output = task(given)
    subject.contract.check_prediction(output, images, subject.info)
    if not torch.equal(given, images):
        raise BrokenContractError("Expected the images as they were given, but the model changed them in place")
    return ""


def loss(subject: Subject) -> str:
    found = require(subject.loss(subject.build()), "the loss", ())
    require_finite(found, "loss")
    return f"{float(found.detach()):.4f}"


def gradients(subject: Subject) -> str:
    task = subject.build()
    trained = _trained(task.model)
    if not trained:
        raise SkippedError("no parameter is trained by gradient descent")
    subject.loss(task).backward()  # type: ignore[no-untyped-call]
    if missing := [name for name, parameter in trained.items() if parameter.grad is None]:
        raise BrokenContractError(f"Expected a gradient for every trained parameter, but {_some(missing)} got none")
    for name, parameter in trained.items():
        require_finite(parameter.grad, f"gradients of {name}")
    return f"of all {len(trained)} tensors"


def step(subject: Subject) -> str:
    task = subject.build()
    before = {name: parameter.detach().clone() for name, parameter in _trained(task.model).items()}
    if not before:
        raise SkippedError("no parameter is trained by gradient descent")
    optimiser = task.configure_optimizers()["optimizer"]
    subject.loss(task).backward()  # type: ignore[no-untyped-call]
    pulled = [name for name, p in _trained(task.model).items() if p.grad is not None and bool(p.grad.any())]
    optimiser.step()
    after = dict(task.model.named_parameters())
    if still := [name for name in pulled if torch.equal(before[name], after[name])]:
        raise BrokenContractError(f"Expected a step of AdamW to change what has a gradient, but {_some(still)} stayed")
    if not pulled:
        raise BrokenContractError("Expected gradients that are not all 0, but nothing would ever change")
    require_finite(subject.loss(task, 1), "loss after one step")
    return f"changed {len(pulled)} of {len(before)} tensors"


def batch_of_one(subject: Subject) -> str:
    task = subject.build()
    one, several = subject.predict(task, 1), subject.predict(task)
    subject.contract.check_prediction(one, subject.batch.images[:1], subject.info)
    alone, among = subject.contract.first(one), subject.contract.first(several)
    if alone is None or among is None:
        return ""
    if not torch.allclose(alone, among, rtol=1e-3, atol=1e-4):
        far = float((alone - among).abs().max())
        raise BrokenContractError(
            f"Expected the same of an image alone and among {SCENES}, but it differs by {far:.2g}"
        )
    return f"the same as among {SCENES}"


def deterministic(subject: Subject) -> str:
    task, again = subject.build(), subject.build()
    if not same(task.state_dict(), again.state_dict()):
        raise BrokenContractError("Expected equal weights of one seed, but two builds differ")
    if not torch.equal(subject.loss(task), subject.loss(again)):
        raise BrokenContractError("Expected equal training losses of one seed, but they differ")
    if not same(subject.predict(task), subject.predict(task)):
        raise BrokenContractError("Expected the same of the same images in eval mode, but it differs")
    return ""


def another_size(subject: Subject) -> str:
    height, width = (side * 3 // 2 for side in subject.size)
    other = subject.resized((height, width))
    try:
        task = other.build()
    except ValueError as error:  # a model may take one size only, if it says so
        raise SkippedError(f"built for {height}x{width} it says: {first_line(error)}") from error
    other.contract.check_prediction(other.predict(task), other.batch.images, other.info)
    return f"built for {height}x{width}"


def save_and_load(subject: Subject) -> str:
    task, file = subject.build(), io.BytesIO()
    _moved(subject, task)
    torch.save(task.model.state_dict(), file)
    file.seek(0)
    try:
        state = torch.load(file, weights_only=True)
    except Exception as error:
        reason = "Expected a state_dict of tensors, but it holds what only unpickling could bring back"
        raise BrokenContractError(f"{reason}: {first_line(error)}") from error
    fresh = subject.build(SEED + 1)
    fresh.model.load_state_dict(state, strict=True)
    if not same(subject.predict(task), subject.predict(fresh)):
        raise BrokenContractError("Expected a fresh model with the saved state to say the same, but it differs")
    return f"{len(state)} tensors"


def half_precision(subject: Subject) -> str:
    task = subject.build()
    with torch.autocast("cpu", torch.bfloat16):
        found = subject.loss(task)
        output = subject.predict(task)
    require_finite(found, "loss in bfloat16")
    require_finite(output, "predictions in bfloat16")
    return ""


def fitted(subject: Subject) -> str:
    task = subject.build()
    if not hasattr(task.model, "finalise"):
        raise SkippedError("the model has no `finalise`")
    finalise(task, subject.data, "cpu", SEED)
    subject.contract.check_prediction(subject.predict(task), subject.batch.images, subject.info)
    return ""


def two_processes(subject: Subject) -> str:
    if not _trained(subject.build().model):
        raise SkippedError("no parameter is trained by gradient descent")
    check_two_processes(subject)
    return "losses and weights as of one"


def _moved(subject: Subject, task: Task) -> None:
    """A step of training: what running means and the like hold is then not what they begin with."""
    found: Any = subject.loss(task)
    if _trained(task.model):
        optimiser = task.configure_optimizers()["optimizer"]
        found.backward()
        optimiser.step()


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
