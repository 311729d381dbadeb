"""Tries a model on tiny data of its task, check by check: what `cvbench try` prints."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Literal

import torch

from cvbench.catalog import UnknownNameError
from cvbench.contracts import checks
from cvbench.contracts.base import BrokenContractError
from cvbench.contracts.subject import Subject
from cvbench.spec import ModelRef

SIZE = (64, 96)  # unlike sides tell a height from a width
State = Literal["passed", "failed", "skipped"]
Ask = Callable[[Subject], str]


@dataclass(frozen=True)
class Check:
    """One line of what `cvbench try` says. told: what was seen, what is wrong, or why it was not asked; remedy: what to
    do where it failed.
    """

    name: str
    state: State
    told: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class _Asked:
    """One thing that is asked. needs: the name of what it makes no sense without; lasting: left out with `quick`."""

    name: str
    ask: Ask
    remedy: str
    needs: str = ""
    lasting: bool = False


BUILDS, TRAINING, PREDICTION, LOSS = "builds", "training mode", "evaluation mode", "loss"
CHECKS = (
    _Asked(BUILDS, checks.builds, "build(info, *, option=default) returns an nn.Module for info.num_classes classes "
           "and images of info.input_size; one that takes a single size is tried with --input-size"),
    _Asked(TRAINING, checks.training, "images are float32 (B, C, H, W) in [0, 1], not normalised: the model normalises",
           BUILDS),
    _Asked(PREDICTION, checks.prediction, "what the model returns after .eval() is what is scored", BUILDS),
    _Asked(LOSS, checks.loss, "look for a division by 0, a logarithm of 0, or weights that begin too large", TRAINING),
    _Asked("gradients", checks.gradients, "use these parameters in what is trained, or set requires_grad to False: on "
           "several devices training stops otherwise", LOSS),
    _Asked("optimiser step", checks.step, "parameters must be used as they are, not as copies of them", LOSS),
    _Asked("batch of one", checks.batch_of_one, "in eval mode images must not see each other; let no squeeze() drop "
           "the batch", PREDICTION),
    _Asked("deterministic", checks.deterministic, "draw from torch's generator only, and nothing after .eval()", LOSS),
    _Asked("another size", checks.another_size, "take sizes from info.input_size, or raise ValueError in build",
           PREDICTION),
    _Asked("save and load", checks.save_and_load, "keep what predictions depend on in parameters or persistent buffers "
           "whose shapes build fixes", LOSS),
    _Asked("bfloat16", checks.half_precision, "compute what over- or underflows in float32", LOSS),
    _Asked("finalise", checks.fitted, "finalise(loader, generator) fits once after training, into buffers", PREDICTION),
    _Asked("two processes", checks.two_processes, "every parameter must take part in every step, and nothing may "
           "depend on the process", LOSS, lasting=True),
)  # fmt: skip


def try_model(model: ModelRef, task: str, *, size: tuple[int, int] = SIZE, quick: bool = False) -> Iterator[Check]:
    """Each check as soon as it is through. Runs the model's code, on the CPU.

    size: (H, W) of the images. quick: without those that start other processes.
    """
    subject = Subject(model, task, size)
    states: dict[str, State] = {}
    with _deterministic():
        for asked in chain(CHECKS, _more(subject)):
            if states.get(asked.needs, "passed") != "passed":
                check = Check(asked.name, "skipped", f"without {asked.needs!r} it says nothing")
            elif quick and asked.lasting:
                check = Check(asked.name, "skipped", "--quick")
            else:
                check = _check(asked, subject)
            states[asked.name] = check.state
            yield check


def _check(asked: _Asked, subject: Subject) -> Check:
    try:
        return Check(asked.name, "passed", asked.ask(subject))
    except UnknownNameError:  # nothing to try
        raise
    except checks.SkippedError as skipped:
        return Check(asked.name, "skipped", str(skipped))
    except BrokenContractError as broken:
        return Check(asked.name, "failed", str(broken), asked.remedy)
    except Exception as error:  # whatever a model's code raises, the other checks go on
        return Check(asked.name, "failed", f"{type(error).__name__}: {checks.first_line(error)}", asked.remedy)


def _more(subject: Subject) -> Iterator[_Asked]:
    """The checks of the task's own; read when the others are through, since a model must build for them."""
    try:
        task = subject.build().eval()
        own = subject.contract.more(task, subject.batch)
    except Exception:  # told as what it is by the first check
        return
    for name, ask in own.items():
        yield _Asked(name, partial(_silent, ask), "see the contract of this task's models", TRAINING)


def _silent(ask: Callable[[], None], subject: Subject) -> str:
    ask()
    return ""


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """As runs have it: PyTorch refuses operations that are not."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
