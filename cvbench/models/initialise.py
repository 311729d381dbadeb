"""Initial weights shared by the models written here."""

from __future__ import annotations

from typing import Literal

from torch import nn


def kaiming(model: nn.Module) -> None:
    """Draws every convolution and linear layer from N(0, 2 / fan) (He et al. 2015), biases zero, in place.

    Keeps the variance of activations through ReLU layers, so that deep networks train without the authors' own
    schedules. fan: outgoing for convolutions (as torchvision's ResNet), incoming for linear layers. Batch norm starts
    as identity, as PyTorch has it.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            mode: Literal["fan_out", "fan_in"] = "fan_out" if isinstance(module, nn.Conv2d) else "fan_in"
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
