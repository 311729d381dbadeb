"""Whether a model can take the images it is built for, found out before any training."""

from __future__ import annotations

import torch
from torch import nn

from cvbench.data.base import DatasetInfo


def check_fit(model: nn.Module, info: DatasetInfo, name: str, remedy: str) -> None:
    """Passes two meta images of `info.input_size` through `model`, computing no numbers and leaving it untouched.

    Raises ValueError with `name`, the size, the layer's own complaint and `remedy`. Does nothing where the size is
    unknown.
    """
    if info.input_size is None:
        return
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    shadows = {key: tensor.detach().to("meta") for key, tensor in tensors.items()}
    images = torch.empty(2, info.channels, *info.input_size, device="meta")
    try:
        with torch.no_grad():
            torch.func.functional_call(model, shadows, (images,))
    except NotImplementedError:  # an operator without a meta kernel says nothing about the size
        return
    except (RuntimeError, ValueError, AssertionError) as error:
        height, width = info.input_size
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name} cannot take images of {height}x{width}: {reason}. {remedy}") from error
