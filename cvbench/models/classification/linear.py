"""Softmax regression: one linear layer on the normalised pixels.

Year: 1998
Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 1998, section III.C.1

The baseline that every network has to beat. LeCun's one-layer net (12.0 % test error on MNIST) was trained with squared
error; with the softmax loss the same layer has about 8 %. Starts from zeros: the problem is convex, so seeds differ
only by the order of the samples.
"""

from __future__ import annotations

from torch import nn

from cvbench.data.base import DatasetInfo
from cvbench.models.normalise import Normalised

VERSION = 1


def build(info: DatasetInfo) -> nn.Module:
    """Linear classifier on images of `info.input_size`."""
    height, width = info.input_size or (0, 0)
    linear = nn.Linear(info.channels * height * width, info.num_classes)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return Normalised(nn.Sequential(nn.Flatten(), linear), info)
