"""Fully connected network on the normalised pixels; by default one hidden layer of 800 units.

Year: 2003
Source: Simard, "Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis", ICDAR 2003

Their network of 800 hidden units, trained with cross entropy and without distortions, has 1.6 % test error on MNIST.
ReLU instead of their sigmoids, PyTorch's own initialisation.
"""

from __future__ import annotations

from torch import nn

from cvbench.data.base import DatasetInfo
from cvbench.models.normalise import Normalised

VERSION = 1


def build(info: DatasetInfo, *, hidden: tuple[int, ...] = (800,), dropout: float = 0.0) -> nn.Module:
    """Multi-layer perceptron. hidden: units of each hidden layer. dropout: share of hidden units dropped in
    training.
    """
    if not hidden or min(hidden) < 1:
        raise ValueError(f"Expected `hidden` of mlp to be one or more positive widths, but got {tuple(hidden)}")
    height, width = info.input_size or (0, 0)
    layers: list[nn.Module] = [nn.Flatten()]
    size = info.channels * height * width
    for units in hidden:
        layers += [nn.Linear(size, units), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        size = units
    network = nn.Sequential(*layers, nn.Linear(size, info.num_classes))
    return Normalised(network, info)
