"""Normalisation inside the model: images arrive in [0, 1], and the model knows the mean and std it wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models.outputs import WithAuxiliary

Output = Tensor | WithAuxiliary


class Normalised(nn.Module):
    """`network` behind `(images - mean) / std`.

    Input: float images (B, info.channels, H, W) in [0, 1]. Grey images are repeated where the network wants three
    channels. Output: what `network` returns, passed through `adapt` if one is given.

    mean and std are persistent buffers: a checkpoint carries the statistics that its network was trained with, so that
    it means the same on another dataset. Files of other origin lack them, which `models.weights` permits.

    mean, std: those of the pretrained weights; None: the dataset's. channels: what the network wants; None: the
    dataset's. adapt: turns the network's own output (a dict, a named tuple) into logits or `WithAuxiliary`; a function,
    not a module, so that the network's parameters keep the names under which its weights are published.
    """

    mean: Tensor
    std: Tensor

    #: names of head tensors that do not come from the pretrained weights, because the number of classes differs
    reinitialised: tuple[str, ...] = ()
    #: prefixes (within `network`) of parameters that only training uses, such as GoogLeNet's auxiliary heads
    training_only: tuple[str, ...] = ()

    def __init__(
        self,
        network: nn.Module,
        info: DatasetInfo,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channels: int | None = None,
        adapt: Callable[[Any], Output] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.adapt = adapt
        self.image_channels = info.channels
        self.network_channels = info.channels if channels is None else channels
        if info.channels not in (1, self.network_channels):
            raise ValueError(
                f"Expected images with {self.network_channels} channels (or 1, which is repeated), but {info.name} has "
                f"{info.channels}. Choose a model that takes the number of channels from the dataset."
            )
        self.register_buffer("mean", self._statistic("mean", info.mean if mean is None else mean))
        self.register_buffer("std", self._statistic("std", info.std if std is None else std))
        if any(value <= 0 for value in (info.std if std is None else std)):
            raise ValueError(f"Expected std to be positive, but got {tuple(info.std if std is None else std)}")

    def _statistic(self, name: str, values: Sequence[float]) -> Tensor:
        if len(values) not in (1, self.network_channels):
            raise ValueError(f"Expected {name} to have {self.network_channels} values, but got {tuple(values)}")
        return torch.tensor(values, dtype=torch.float32).expand(self.network_channels).reshape(1, -1, 1, 1).clone()

    def normalise(self, images: Tensor) -> Tensor:
        """(images - mean) / std: (B, info.channels, H, W) in [0, 1] to what the network takes. Raises on another
        shape.
        """
        if images.ndim != 4 or images.shape[1] != self.image_channels:
            raise ValueError(
                f"Expected images of shape (B, {self.image_channels}, H, W), but got {tuple(images.shape)}"
            )
        # Broadcasting over the channels of mean is what repeats a grey image.
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Output:
        output = self.network(self.normalise(images))
        return output if self.adapt is None else self.adapt(output)
