"""ZFNet: AlexNet with smaller first filters and stride, found by looking at what the layers respond to.

Year: 2013
Source: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014 (arXiv:1311.2901), figure 3

The paper's network for 224×224 images: convolutions 7×7/2 (96), 5×5/2 (256), 3×3 (384, 384, 256), each followed by
ReLU; 3×3/2 max pooling after the first, second and fifth, contrast normalisation across maps after the first two
poolings; maps of 110, 55, 26, 13, 13, 13, 13 and 6; 4096-4096 units with dropout 0.5. 62.4M parameters with 1000
classes. ImageNet validation error 38.4 % top-1, 16.5 % top-5 (one network).
Contrast normalisation is AlexNet's (n = 5, alpha = 1e-4, beta = 0.75, k = 2): the paper gives no constants. Kaiming
initialisation instead of N(0, 0.01), with which the network hardly starts to learn under today's recipes; the paper's
clipping of first-layer filters to RMS 0.1 belongs to its training, and is left out.
"""

from __future__ import annotations

from torch import nn

from cvbench.data.base import DatasetInfo
from cvbench.models.fit import check_fit
from cvbench.models.initialise import kaiming
from cvbench.models.normalise import Normalised

VERSION = 1


def build(info: DatasetInfo, *, adaptive: bool = False, dropout: float = 0.5) -> nn.Module:
    """ZFNet. adaptive: average the last maps to 6×6, so that other image sizes than 224×224 can be taken."""
    remedy = "Give the recipe `input_size: 224`, as in the paper, or the model `adaptive: true`."
    if not adaptive and info.input_size is not None and tuple(info.input_size) != (224, 224):
        raise ValueError(f"zfnet takes images of 224x224, but got {info.input_size[0]}x{info.input_size[1]}. {remedy}")
    network = nn.Sequential(
        *(nn.Conv2d(info.channels, 96, 7, stride=2, padding=1), nn.ReLU(inplace=True)),
        *(_pool(), _contrast()),
        *(nn.Conv2d(96, 256, 5, stride=2), nn.ReLU(inplace=True)),
        *(_pool(), _contrast()),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)),
        _pool(),
        *((nn.AdaptiveAvgPool2d(6),) if adaptive else ()),
        nn.Flatten(),
        *(nn.Linear(6 * 6 * 256, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout)),
        *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout)),
        nn.Linear(4096, info.num_classes),
    )
    kaiming(network)
    model = Normalised(network, info)
    check_fit(model, info, "zfnet", "Give the recipe a larger `input_size`.")
    return model


def _pool() -> nn.Module:
    # Rounds up: 110 → 55 and 26 → 13, the sizes of figure 3.
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _contrast() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)
