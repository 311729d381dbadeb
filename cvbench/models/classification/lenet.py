"""LeNet-5: two convolutions and three fully connected layers (6-16-120-84), adapted to today's layers.

Year: 1998
Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 1998, section II.B

0.95 % test error on MNIST in the paper. What differs: ReLU, max pooling without trainable coefficients, every map of
the second convolution sees all six maps, a softmax layer for the radial basis functions; 61,706 parameters on 28×28
grey images. The paper pads MNIST to 32×32 beforehand, here the first convolution pads by two. PyTorch's own
initialisation. Five epochs of AdamW (one cycle to 3e-3, batch 128) give 0.65 to 0.91 % over three seeds.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from cvbench.data.base import DatasetInfo
from cvbench.models.normalise import Normalised

VERSION = 1


def build(
    info: DatasetInfo,
    *,
    channels: tuple[int, int] = (6, 16),
    hidden: tuple[int, int] = (120, 84),
    padding: tuple[int, int] = (2, 0),
    activation: Literal["relu", "tanh"] = "relu",
    pooling: Literal["max", "avg"] = "max",
    dropout: float = 0.0,
) -> nn.Module:
    """LeNet-5 for images of `info.input_size`.

    channels, padding: of the two convolutions; `padding: [0, 0]` is the paper's on 32×32 images, and `[2, 2]` lets
    8×8 images through. hidden: units of the two hidden layers. dropout: before each of the last two linear layers.
    """
    height, width = ((_after(_after(size, padding[0]), padding[1])) for size in info.input_size or (0, 0))
    if min(height, width) < 1:
        raise ValueError(
            f"lenet with padding {tuple(padding)} cannot take images of {info.input_size}: nothing is left after the "
            "second pooling. Give the model `padding: [2, 2]` (from 4x4 pixels), or the recipe a larger `input_size`."
        )

    def activate() -> nn.Module:
        return nn.ReLU(inplace=True) if activation == "relu" else nn.Tanh()

    def pool() -> nn.Module:
        return nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)

    network = nn.Sequential(
        nn.Conv2d(info.channels, channels[0], 5, padding=padding[0]),
        activate(),
        pool(),
        nn.Conv2d(channels[0], channels[1], 5, padding=padding[1]),
        activate(),
        pool(),
        nn.Flatten(),
        nn.Linear(channels[1] * height * width, hidden[0]),
        activate(),
        nn.Dropout(dropout),
        nn.Linear(hidden[0], hidden[1]),
        activate(),
        nn.Dropout(dropout),
        nn.Linear(hidden[1], info.num_classes),
    )
    return Normalised(network, info)


def _after(size: int, padding: int) -> int:
    """Side of the map after one 5×5 convolution and one 2×2 pooling."""
    return (size + 2 * padding - 4) // 2
