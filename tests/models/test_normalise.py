"""Normalisation inside the model, and the check that images fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.transforms.functional import normalize

from cvbench.models.fit import check_fit
from cvbench.models.normalise import Normalised


def test_equals_torchvision_normalize_with_the_dataset_statistics(make_info):
    images = torch.rand(2, 3, 5, 7)
    output = Normalised(nn.Identity(), make_info())(images)
    assert torch.equal(output, normalize(images, [0.4] * 3, [0.2] * 3))


def test_the_weights_statistics_come_before_the_datasets(make_info):
    images = torch.rand(2, 3, 5, 7)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    output = Normalised(nn.Identity(), make_info(), mean=mean, std=std)(images)
    assert torch.equal(output, normalize(images, list(mean), list(std)))


@pytest.mark.parametrize("mean", [None, (0.1, 0.2, 0.3)])
def test_grey_images_are_repeated_for_a_network_of_three_channels(make_info, mean):
    images = torch.rand(2, 1, 5, 7)
    output = Normalised(nn.Identity(), make_info(channels=1), mean=mean, channels=3)(images)
    expected = normalize(images.repeat(1, 3, 1, 1), list(mean or [0.4] * 3), [0.2] * 3)
    assert torch.equal(output, expected)


def test_statistics_travel_with_the_state_dict(make_info):
    first = Normalised(nn.Identity(), make_info(), mean=(0.1, 0.2, 0.3))
    second = Normalised(nn.Identity(), make_info())
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))


def test_wrong_channels_are_refused(make_info):
    with pytest.raises(ValueError, match=r"Expected images with 1 channels .* but made_up has 3"):
        Normalised(nn.Identity(), make_info(channels=3), channels=1)
    with pytest.raises(ValueError, match=r"Expected images of shape \(B, 3, H, W\), but got \(2, 1, 4, 4\)"):
        Normalised(nn.Identity(), make_info())(torch.rand(2, 1, 4, 4))
    with pytest.raises(ValueError, match="Expected mean to have 3 values"):
        Normalised(nn.Identity(), make_info(), mean=(0.1, 0.2))
    with pytest.raises(ValueError, match="Expected std to be positive"):
        Normalised(nn.Identity(), make_info(), std=(0.1, 0.2, 0.0))


def test_check_fit_names_model_size_and_remedy_and_changes_nothing(make_info):
    model = Normalised(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), make_info(size=(2, 8)))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"some net cannot take images of 2x8: .*Kernel size.* Give more\."):
        check_fit(model, make_info(size=(2, 8)), "some net", "Give more.")
    check_fit(model, make_info(size=(3, 8)), "some net", "Give more.")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
