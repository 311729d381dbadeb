"""R-CNN: what is fitted after training against other solvers, and what a detector promises before and after."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from cvbench.models.detection import proposals, rcnn
from cvbench.models.detection.rcnn_fit import (
    MOST_NEAR,
    Machine,
    Reservoir,
    box_regression,
    box_targets,
    scores,
    support_vector_machine,
)

SMALL = {"backbone": "small", "width": 4, "source": "regions", "proposals": 40, "crop_size": 48, "regions_trained": 8}


def things(count: int = 3, size: tuple[int, int] = (64, 80)) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Images of noise with a red box (class 1) and, in every other one, a blue one (class 3); class 2 never occurs."""
    generator = torch.Generator().manual_seed(0)
    images = 0.3 * torch.rand(count, 3, *size, generator=generator)
    targets = []
    for index in range(count):
        x, y = 4 + 3 * index, 6 + 2 * index
        images[index, 0, y : y + 24, x : x + 20] = 0.9
        boxes, labels = [[x, y, x + 20, y + 24]], [1]
        if index % 2:
            images[index, 2, 36:56, 44:70] = 0.9
            boxes.append([44, 36, 70, 56])
            labels.append(3)
        targets.append({"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": torch.tensor(labels)})
    return images, targets


def build(make_info, classes: int = 3, **options):
    torch.manual_seed(0)
    return rcnn.build(make_info(size=(64, 80), classes=classes), **(SMALL | options))


def fitted(make_info, **options):
    """A detector trained for two steps and fitted, and the images."""
    model = build(make_info, **options)
    images, targets = things()
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(2):
        optimiser.zero_grad()
        sum(model(images, targets).values()).backward()
        optimiser.step()
    model.eval()
    model.finalise([(images[:2], targets[:2]), (images[2:], targets[2:])], torch.Generator().manual_seed(1))
    return model, images


def detect(model, images):
    with torch.no_grad():
        return model.eval()(images)


def equal(first, second) -> bool:
    return all(torch.equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a)


# What is fitted ------------------------------------------------------------------------------------------------------


def test_the_machine_minimises_the_published_objective():
    # liblinear's -s 3 -c 0.001 -w1 2 -B 10: |w|² / 2 + (b / 10)² / 2 + 0.001 (2 positive hinges + negative hinges)
    rng = np.random.default_rng(0)
    positives, negatives = rng.normal(1, 4, (30, 3)), rng.normal(-1, 4, (80, 3))

    def objective(weights):
        positive = np.maximum(0, 1 - positives @ weights[:3] - weights[3]).sum()
        negative = np.maximum(0, 1 + negatives @ weights[:3] + weights[3]).sum()
        return weights[:3] @ weights[:3] / 2 + (weights[3] / 10) ** 2 / 2 + 0.001 * (2 * positive + negative)

    best = min(minimize(objective, start, method="Powell", tol=1e-9).fun for start in (np.zeros(4), np.full(4, 0.1)))
    ours = support_vector_machine(positives, negatives)
    assert objective(np.append(ours.weight, ours.bias)) == pytest.approx(best, rel=1e-3)


def test_mining_ends_where_all_negatives_at_once_lead():
    # Negatives that are easy for a machine have no part in its objective.
    rng = np.random.default_rng(0)
    direction = rng.normal(size=8) / 3
    positives = (rng.normal(size=(60, 8)) + 6 * direction).astype(np.float32) * 4
    images = [(rng.normal(size=(400, 8)) - 6 * direction).astype(np.float32) * 4 for _ in range(20)]
    machine = Machine(positives)
    for image in images:
        machine.see(image)
        assert sum(map(len, machine.negatives)) <= 2000 + 400 + 1000  # the bound: to fit again, an image's, the hard
    mined, whole = machine.fit(), support_vector_machine(positives, np.concatenate(images))
    assert sum(map(len, machine.negatives)) < 1000  # of 8,000
    held = np.concatenate([positives, *images])
    assert np.corrcoef(scores(mined, held), scores(whole, held))[0, 1] > 0.999
    assert ((scores(mined, held) > 0) == (scores(whole, held) > 0)).mean() > 0.995


def test_offsets_of_boxes_by_hand():
    # Centre (10, 20) of 20 x 40 to centre (15, 10) of 40 x 20: 5 / 20, -10 / 40, log 2, log 1/2.
    found = box_targets(np.array([[0.0, 0.0, 20.0, 40.0]]), np.array([[-5.0, 0.0, 35.0, 20.0]]))
    np.testing.assert_allclose(found, [[0.25, -0.25, np.log(2), -np.log(2)]])


@pytest.mark.parametrize("rows", [12, 200])  # fewer than features, and more
def test_box_regression_equals_ridge_regression_of_whitened_targets(rows):
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(rows, 30)) * 4, rng.normal(size=(rows, 4)) @ rng.normal(size=(4, 4))
    mean = targets.mean(axis=0)
    covariance = np.cov((targets - mean).T, bias=True) + 0.001 * np.eye(4)
    root = np.linalg.cholesky(covariance)
    # Any square root of the covariance whitens; ridge regression does not see which one.
    white = np.linalg.solve(root, (targets - mean).T).T
    peer = Ridge(alpha=1000.0, fit_intercept=False).fit(np.column_stack([features, np.ones(rows)]), white)
    expected = np.column_stack([features, np.ones(rows)]) @ peer.coef_.T @ root.T + mean
    weight, bias = box_regression(features, targets)
    np.testing.assert_allclose(features @ weight.T + bias, expected, atol=1e-9)


# The detector --------------------------------------------------------------------------------------------------------


def test_before_and_after_fitting(make_info, deterministic):
    model, images = fitted(make_info)
    again = build(make_info)
    assert 0 < again.sure < 1  # the softmax's
    before, after = detect(again, images), detect(model, images)
    assert model.sure == 0.0  # the machines' border
    assert {int(label) for one in before for label in one["labels"]} == {1, 2, 3}
    for one in after:
        assert 0 < len(one["scores"]) <= 100
        assert set(one["labels"].tolist()) <= {1, 3}  # class 2 has no thing to learn from
        assert torch.isfinite(one["scores"]).all()
        assert torch.equal(one["scores"], one["scores"].sort(descending=True).values)
        assert (one["boxes"][:, 2:] >= one["boxes"][:, :2]).all()
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= torch.tensor([80.0, 64.0]).repeat(2)).all()


def test_boxes_are_corrected_once_regressions_are_fitted(make_info):
    model, images = fitted(make_info)
    for one, corrected in ((build(make_info), False), (model, True)):
        proposed = {tuple(box) for box in one.proposals(images[:1])[0].tolist()}
        told = {tuple(box) for box in detect(one, images)[0]["boxes"].tolist()}
        assert (not told <= proposed) == corrected


def test_a_score_is_the_machines_of_features_of_mean_length_20(make_info):
    model, images = fitted(make_info)
    network, boxes = model.network, model.proposals(images[:1])
    _, targets = things()
    with torch.no_grad():
        given = model.normalise(images)
        lengths = network._features(given, [target["boxes"] for target in targets]).deep.norm(dim=1)
        deep = network._features(given[:1], boxes).deep
        surest = (20 / lengths.mean() * deep @ network.svm_weight.T + network.svm_bias)[:, [0, 2]].max()
        torch.testing.assert_close(detect(model, images)[0]["scores"][0], surest)


def test_same_seed_same_bits(make_info, deterministic):
    (first, images), (second, _) = fitted(make_info), fitted(make_info)
    assert equal(detect(first, images), detect(second, images))
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_a_checkpoint_is_the_whole_detector(make_info, tmp_path):
    model, images = fitted(make_info)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    fresh = build(make_info)
    assert not equal(detect(fresh, images), detect(model, images))
    fresh.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True), strict=True)
    assert equal(detect(fresh, images), detect(model, images))


def test_what_was_learnt_is_found(make_info):
    model = build(make_info, width=8, regions_trained=32)
    images, targets = things(6)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(25):
        optimiser.zero_grad()
        sum(model(images, targets).values()).backward()
        optimiser.step()
    model.eval().finalise([(images, targets)], torch.Generator().manual_seed(0))
    for found, target in zip(detect(model, images), targets, strict=True):
        best = found["boxes"][found["labels"] == 1][0]
        shared = torch.minimum(best[2:], target["boxes"][0, 2:]) - torch.maximum(best[:2], target["boxes"][0, :2])
        union = (best[2:] - best[:2]).prod() + 480 - shared.prod()
        assert shared.clamp(min=0).prod() / union > 0.5


@pytest.mark.parametrize("classes", [1, 3])
def test_images_without_boxes(make_info, classes, deterministic):
    model = build(make_info, classes=classes)
    images, _ = things(2)
    nothing = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}] * 2
    loss = sum(model(images, nothing).values())
    loss.backward()
    assert torch.isfinite(loss)
    model.eval().finalise([(images, nothing)], torch.Generator())
    assert all(torch.isfinite(one["scores"]).all() for one in detect(model, images))


def test_one_class_is_enough(make_info):
    model = build(make_info, classes=1)
    images, targets = things(1)
    model.eval().finalise([(images, targets)], torch.Generator())
    (found,) = detect(model, images)
    assert found["labels"].unique().tolist() == [1]


def test_images_without_proposals(make_info, monkeypatch, deterministic):
    source = proposals.Source(lambda image, side: np.zeros((0, 4), np.int64), dict)
    monkeypatch.setitem(proposals.SOURCES, "windows", source)
    model = build(make_info, source="windows")
    images, targets = things(2)
    assert torch.isfinite(sum(model(images, targets).values()))
    assert all(len(one["boxes"]) <= 3 for one in detect(model, images))  # the whole image, as each class


def test_grey_images(make_info):
    torch.manual_seed(0)
    model = rcnn.build(make_info(size=(64, 80), channels=1, classes=3), **SMALL)
    images, targets = things(2)
    assert torch.isfinite(sum(model(images.mean(dim=1, keepdim=True), targets).values()))


def test_alexnet_as_published(make_info):
    with torch.device("meta"):
        model = rcnn.build(make_info(classes=20, size=(375, 500)))
    network = model.network
    assert network.crop_size == 227
    assert model.proposals.number == 2000
    assert network.classifier.in_features == 4096  # fc7
    assert network.box_weight.numel() == 20 * 4 * 9216  # pool5: 6 x 6 x 256
    # AlexNet's 61,100,840 parameters with a layer for 21 classes in the place of the one for 1,000.
    assert sum(p.numel() for p in model.parameters()) == 61_100_840 + (21 - 1000) * 4097


def test_crops_of_nothing_but_context_are_refused(make_info):
    with pytest.raises(ValueError, match=r"`crop_size`.*32"):
        build(make_info, crop_size=32)


def test_examples_beyond_the_bound_are_a_sample_in_order() -> None:
    reservoir, total = Reservoir(np.random.default_rng(0)), 5 * MOST_NEAR
    for start in range(0, total, 500):
        numbers = np.arange(start, start + 500)
        reservoir.add(numbers, 2.0 * numbers)
        assert len(reservoir.rows[0]) == min(start + 500, MOST_NEAR)
    numbers, doubled = reservoir.rows
    assert (np.diff(numbers) > 0).all()
    np.testing.assert_array_equal(doubled, 2.0 * numbers)
    # Uniform: the mean of 2,000 of 0..9,999 has a standard deviation of about 58.
    assert abs(numbers.mean() - (total - 1) / 2) < 4 * 58


def test_a_class_without_things_keeps_no_negatives() -> None:
    machine = Machine(np.zeros((0, 5), np.float32))
    machine.see(np.ones((3000, 5), np.float32))
    assert machine.negatives == []
    assert machine.fit() is None


@pytest.mark.parametrize("options", [{"regions_trained": 0}, {"pooled": 0}, {"crop_size": 32}])
def test_options_that_would_train_nonsense(make_info, options) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"Expected `{name}`"):
        build(make_info, **options)
