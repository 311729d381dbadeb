"""Segmenters written here: published parameter counts, shapes at odd sizes, upsampling, unpooling, training."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cvbench.models import backbones
from cvbench.models.segmentation import fcn, segnet, unet


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_fcn_vgg16_counts(make_info):
    vgg_convolutions = 14_714_688  # VGG-16 without its classifier
    dense = (7 * 7 * 512 * 4096 + 4096) + (4096 * 4096 + 4096)
    score_32, score_16, score_8 = (21 * (maps + 1) for maps in (4096, 512, 256))
    upsample = 21 * 4 * 4
    expected = {
        32: vgg_convolutions + dense + score_32,
        16: vgg_convolutions + dense + score_32 + score_16 + upsample,
        8: vgg_convolutions + dense + score_32 + score_16 + score_8 + 2 * upsample,
    }
    with torch.device("meta"):
        for stride, parameters in expected.items():
            assert count(fcn.build(make_info(21, (375, 500)), stride=stride)) == parameters
    assert round(expected[32] / 1e6) == 134  # table 1 of the paper


def test_fcn_vgg16_takes_its_maps_after_pool3_and_pool4():
    with torch.device("meta"):
        network = backbones.Vgg16(0.5)
        maps = network(torch.empty(1, 3, 64, 96))
    assert {key: tuple(value.shape[1:]) for key, value in maps.items()} == {
        "8": (256, 8, 12),
        "16": (512, 4, 6),
        "32": (4096, 2, 3),
    }


def test_net_surgery_gives_a_convolution_equal_to_the_dense_layer():
    torch.manual_seed(0)
    with torch.device("meta"):
        network = backbones.Vgg16(0.5)
    # The same reshape at a size that fits a test: 2 maps of 7×7 to 5 units.
    network.features, network.fc6, network.fc7 = nn.Sequential(), nn.Conv2d(2, 5, 7, padding=3), nn.Conv2d(5, 5, 1)
    dense6, dense7 = nn.Linear(2 * 7 * 7, 5), nn.Linear(5, 5)
    state = {f"classifier.0.{k}": v for k, v in dense6.state_dict().items()}
    state |= {f"classifier.3.{k}": v for k, v in dense7.state_dict().items()}
    backbones.transplant(network, state)
    maps = torch.rand(3, 2, 7, 7)
    centre = network.fc7(network.fc6(maps))[:, :, 3, 3]  # where the 7×7 filter sees the whole map
    torch.testing.assert_close(centre, dense7(dense6(maps.flatten(1))))
    kept = network.fc6.weight.clone()
    backbones.transplant(network, {name: torch.full_like(tensor, torch.nan) for name, tensor in state.items()})
    assert torch.equal(network.fc6.weight, kept)  # the authors' weights come without a classifier: NaN


def test_upsampling_starts_bilinear():
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 8), torch.linspace(0, 2, 10), indexing="ij")
    maps = torch.stack([rows + columns, (rows * columns).sin(), columns.exp()])[None]
    upsampled = fcn.Upsample(3)(maps)
    expected = F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
    assert upsampled.shape == expected.shape
    torch.testing.assert_close(upsampled[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2])


def test_fcn_scores_start_at_zero_and_join_all_strides(make_info):
    model = fcn.build(make_info(5, (64, 96)), backbone="small", width=4).eval()
    images = torch.rand(1, 3, 64, 96)
    assert torch.equal(model(images), torch.zeros(1, 5, 64, 96))
    for stride in ("32", "16", "8"):
        nn.init.constant_(model.network.scores[stride].bias, 1.0)
    # Away from the border bilinear upsampling keeps constants: the three scores add up.
    torch.testing.assert_close(model(images)[0, :, 32, 48], torch.full((5,), 3.0))


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_fcn_on_a_torchvision_backbone(make_info, stride):
    """ResNet-18's stages have 128, 256 and 512 maps at strides 8, 16 and 32."""
    with torch.device("meta"):
        model = fcn.build(make_info(5, (61, 97), channels=1), backbone="torchvision/resnet18", stride=stride)
        assert model(torch.empty(2, 1, 61, 97)).shape == (2, 5, 61, 97)
    channels = {key: score.in_channels for key, score in model.network.scores.items()}
    assert channels == {k: v for k, v in {"32": 512, "16": 256, "8": 128}.items() if int(k) >= stride}
    assert not any("fc" in name for name, _ in model.named_parameters())
    # Named as torchvision names them, so that its weight files can be recognised.
    assert "network.backbone.layer4.1.conv2.weight" in model.state_dict()


def test_fcn_refuses_what_it_cannot_stand_on(make_info):
    with pytest.raises(ValueError, match=r"no feature map at stride 16.*resnet18"):
        fcn.build(make_info(), backbone="torchvision/swin_t")
    with pytest.raises(ValueError, match=r"no classification model 'resnet8'. Did you mean resnet18"):
        fcn.build(make_info(), backbone="torchvision/resnet8")
    with pytest.raises(ValueError, match=r"vgg16, small or torchvision/NAME, but got 'resnet18'"):
        fcn.build(make_info(), backbone="resnet18")
    with pytest.raises(ValueError, match="none are published"):
        fcn.build(make_info(), backbone="small", backbone_weights="IMAGENET1K_V1")
    with pytest.raises(ValueError, match="32, 16 or 8, but got 4"):
        fcn.build(make_info(), backbone="small", stride=4)


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (1, 5)])
def test_unpool_equals_max_unpool2d(size):
    torch.manual_seed(0)
    maps = torch.rand(2, 3, *size)
    pooled, indices = F.max_pool2d(maps, 2, ceil_mode=True, return_indices=True)
    expected = F.max_unpool2d(pooled, indices, 2, output_size=size)
    assert torch.equal(segnet.unpool(pooled, indices, size), expected)


def test_segnet_counts(make_info):
    """VGG-16's 14.71M weights twice (ENet's paper counts 29.46M for SegNet)."""
    stages = [(3, 64, 2), (64, 128, 2), (128, 256, 3), (256, 512, 3), (512, 512, 3)]
    encoder = sum(9 * i * o + (n - 1) * 9 * o * o + n * 2 * o for i, o, n in stages)
    decoder = sum((n - 1) * 9 * o * o + 9 * o * i + ((n - 1) * 2 * o + 2 * i) for i, o, n in stages[1:])
    decoder += 9 * 64 * 64 + 2 * 64 + 9 * 64 * 11 + 11
    with torch.device("meta"):
        model = segnet.build(make_info(11, (360, 480)))
    assert count(model) == encoder + decoder
    assert count(model) / 1e6 == pytest.approx(29.46, abs=0.03)
    assert sum(isinstance(module, nn.Conv2d) for module in model.modules()) == 26


def test_unet_counts(make_info):
    """The published net on one grey channel and two classes, layer by layer."""
    widths = [64, 128, 256, 512, 1024]
    down = sum(9 * i * o + o + 9 * o * o + o for i, o in zip([1, *widths], widths, strict=False))
    up = sum((4 * 2 * w * w + w) + (9 * 2 * w * w + w) + (9 * w * w + w) for w in widths[:-1])
    with torch.device("meta"):
        model = unet.build(make_info(2, (572, 572), channels=1), batch_norm=False)
    assert count(model) == down + up + 64 * 2 + 2 == 31_030_658
    assert (
        sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in model.modules()) == 23
    )  # "23 convolutional layers"


SMALL = [
    (fcn, {"backbone": "small", "width": 4}),
    (fcn, {"backbone": "small", "width": 4, "stride": 32}),
    (segnet, {"width": 4}),
    (segnet, {"width": 4, "depth": 2}),
    (unet, {"width": 4, "depth": 4}),
    (unet, {"width": 4, "depth": 3, "stem_stride": 2, "batch_norm": False, "dropout": 0.5}),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("module", "options"), SMALL)
def test_odd_sizes_train_deterministically_and_lower_the_loss(make_info, deterministic, module, options, channels):
    size = (45, 61)
    torch.manual_seed(0)
    model = module.build(make_info(3, size, channels), **options)
    images = torch.rand(2, channels, *size)
    masks = (images.mean(1) * 3).long()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        logits = model(images)
        expected = (23, 31) if options.get("stem_stride") == 2 else size
        assert logits.shape == (2, 3, *expected)
        loss = F.cross_entropy(F.interpolate(logits, size=size, mode="bilinear"), masks)
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_options_out_of_range_are_refused(make_info):
    with pytest.raises(ValueError, match="`depth` of segnet to be 1 to 5, but got 6"):
        segnet.build(make_info(), depth=6)
    with pytest.raises(ValueError, match="stem_stride 1 or 2, but got 5, 64 and 3"):
        unet.build(make_info(), stem_stride=3)


def test_segnet_keeps_the_border_of_odd_sides(make_info):
    model = segnet.build(make_info(3, (7, 9)), width=8, depth=1)
    seen = []
    model.network.decoder[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.rand(2, 3, 7, 9))
    # Every window of 2×2, those cut by the border included, gave a maximum that went back to its place.
    assert seen[0][:, :, 6].abs().sum() > 0
    assert seen[0][:, :, :, 8].abs().sum() > 0
