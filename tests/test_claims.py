"""Claims against made-up records by hand; shipped claims against what torchvision says of its weights."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cvbench.claims import Held, hold
from cvbench.claims_file import SHIPPED, Claim, load_claims
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Costs, Record
from cvbench.spec import DatasetRef, ModelRef, Recipe, Weights
from tests import records


def record(value: float, seed: int = 0, spec: dict[str, Any] | None = None, **changes: Any) -> Record:
    run = records.spec(seed=seed, **(spec or {}))
    return records.record(run, value, **{"evaluator_version": EVALUATOR_VERSION, **changes})


def claim(**changes: Any) -> Claim:
    fields = {"task": "classification", "dataset": "digits", "model": "lenet", "metric": "top1", "claimed": 95.0,
              "unit": "%", "tolerance": 0.5, "source": "a paper"}  # fmt: skip
    return Claim.model_validate(fields | changes)


def one(held: list[Held]) -> Held:
    assert len(held) == 1
    return held[0]


@pytest.mark.parametrize(
    ("claimed", "value", "verdict", "difference"),
    [
        (95.0, 0.95, "holds", 0.0),
        (95.0, 0.955, "holds", 0.5),  # exactly the tolerance
        (95.0, 0.945, "holds", -0.5),
        (95.0, 0.9551, "differs", 0.51),
        (95.0, 0.9449, "differs", -0.51),
        ([93.0, 95.0], 0.941, "holds", 0.0),
        ([93.0, 95.0], 0.96, "differs", 1.0),
        ([93.0, 95.0], 0.92, "differs", -1.0),
    ],
)
def test_the_verdict_by_hand(claimed: Any, value: float, verdict: str, difference: float) -> None:
    found = one(hold([claim(claimed=claimed)], [record(value)]))
    assert found.verdict == verdict
    assert found.measured == pytest.approx(100 * value)
    assert found.difference == pytest.approx(difference, abs=1e-9)


def test_seeds_are_averaged_and_recipes_are_not() -> None:
    seeds = [record(value, seed) for seed, value in enumerate((0.94, 0.95, 0.98))]
    other = record(0.5, spec={"recipe": Recipe(epochs=9)})
    mean, alone = hold([claim()], [*seeds, other])
    assert (mean.seeds, alone.seeds) == (3, 1)
    assert mean.measured == pytest.approx((94 + 95 + 98) / 3)
    assert alone.measured == pytest.approx(50)
    assert mean.group_id == seeds[0].group_id


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": {"classes": 3}}, "protocol.classes is 2, claimed for 3"),
        ({"protocol": {"roles": {"test": "official test"}}}, "protocol.roles.test is 'the rest', claimed for 'off"),
        ({"recipe": {"epochs": 3}}, "recipe.epochs is 2, claimed for 3"),
        ({"dataset": {"name": "digits", "options": {"share": 0.5}}}, "dataset.options.share is None, claimed for 0.5"),
        ({"test_samples": 500}, "400 test images, claimed on 500"),
    ],
)
def test_another_protocol_is_never_compared(changes: dict[str, Any], reason: str) -> None:
    found = one(hold([claim(**changes)], [record(0.5)]))
    assert found.verdict == "another protocol"
    assert reason in found.reason
    assert found.measured is found.difference is None


def test_a_part_of_protocol_and_recipe_is_enough() -> None:
    same = claim(protocol={"roles": {"test": "the rest"}}, recipe={"epochs": 2}, test_samples=400)
    assert one(hold([same], [record(0.95)])).verdict == "holds"


@pytest.mark.parametrize(
    ("changes", "spec"),
    [
        ({"model": "mlp"}, {}),
        ({"dataset": "mnist"}, {}),
        ({"model": {"name": "lenet", "options": {"width": 64}}}, {}),
        ({"model": {"name": "lenet", "weights": "V1"}}, {}),
        ({}, {"model": ModelRef(name="lenet", options={}, weights=Weights(source="V1"))}),
        ({}, {"dataset": DatasetRef(name="mnist", options={})}),
    ],
)
def test_another_model_or_dataset_measures_nothing(changes: dict[str, Any], spec: dict[str, Any]) -> None:
    found = one(hold([claim(**changes)], [record(0.95, spec=spec)]))
    assert (found.verdict, found.seeds) == ("not measured", 0)
    assert one(hold([claim(**changes)], [])).verdict == "not measured"


def test_weights_are_part_of_the_model() -> None:
    model = ModelRef(name="lenet", options={}, weights=Weights(source="V1"))
    found = hold([claim(model={"name": "lenet", "weights": "V1"})], [record(0.95, spec={"model": model})])
    assert one(found).verdict == "holds"


def test_what_an_older_evaluator_scored_or_nobody_did_is_not_measured() -> None:
    stale = one(hold([claim()], [record(0.95, evaluator_version=EVALUATOR_VERSION - 1)]))
    assert (stale.verdict, stale.measured) == ("not measured", None)
    assert f"scored by evaluator {EVALUATOR_VERSION - 1}" in stale.reason
    lacking = one(hold([claim(metric="top5")], [record(0.95), record(0.95, 1, others={"top5": 1.0})]))
    assert (lacking.verdict, lacking.reason) == ("not measured", "1 of 2 records have no top5")


def test_parameters_are_claimed_in_millions() -> None:
    found = one(hold([claim(metric="parameters", claimed=0.061706, unit="M", tolerance=0)],
                     [record(0.1, costs=Costs(parameters=61706))]))  # fmt: skip
    assert (found.verdict, found.measured) == ("holds", pytest.approx(0.061706))


def test_a_run_counts_once_and_two_that_differ_are_refused() -> None:
    first = record(0.95)
    assert one(hold([claim()], [first, first])).seeds == 1
    second = first.model_copy(update={"started_at": datetime(2026, 1, 1, tzinfo=UTC)})
    with pytest.raises(ValueError, match=f"Expected one record of run {first.run_id}"):
        hold([claim()], [first, second])


GOOD = """\
claims:
  - task: classification
    dataset: digits
    model: {name: resnet_cifar, options: {depth: 20}}
    metric: top1
    claimed: 91.25
    unit: "%"
    tolerance: 0.4
    source: a paper
"""


def test_short_forms_are_read(tmp_path: Path) -> None:
    file = tmp_path / "claims.yaml"
    file.write_text(GOOD)
    (read,) = load_claims(file)
    assert (read.dataset.name, read.claimed, read.model.options) == ("digits", (91.25, 91.25), {"depth": 20})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("classification", "clasification", "2: unknown task 'clasification'; did you mean 'classification'?"),
        ("dataset: digits", "dataset: digts", "3: unknown dataset 'digts'; did you mean 'digits'?"),
        ("resnet_cifar", "resnet_cfar", "4: unknown model 'resnet_cfar'; did you mean 'resnet_cifar'?"),
        ("depth", "deth", "4: unknown option 'deth' of resnet_cifar; did you mean 'depth'?"),
        (
            "{depth: 20}",
            "{depth: twenty}",
            "4: option 'depth' of resnet_cifar: Expected 20, 32, 44, 56 or 110, but got 'twenty'",
        ),
        ("top1", "topp1", "5: unknown classification metric 'topp1'; did you mean 'top1'"),
        ("claimed: 91.25", "claimed: often", "6: claims.0.claimed: Expected a number or [low, high], but got 'often'"),
        ("claimed: 91.25", "claimed: [2, 1]", "6: claims.0.claimed: Expected [low, high] with low <= high"),
        ('unit: "%"', "unit: M", "7: Expected the unit of top1, '%', but got 'M'"),
        ("tolerance: 0.4", "tolerance: -1", "8: claims.0.tolerance: Expected a number greater than or equal to 0"),
        ("tolerance", "tolerence", "8: unknown key 'claims.0.tolerence'; did you mean 'tolerance'?"),
        ("    source: a paper\n", "", "2: the key 'claims.0.source' is missing"),
        ("a paper", "a paper\n    recipe: {epoch: 3}", "10: recipe: unknown key 'epoch'; did you mean 'epochs'?"),
        ("claims:", "clams:", "1: unknown key 'clams'; did you mean 'claims'?"),
        (GOOD, "", "1: Expected the key `claims`"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "claims.yaml"
    assert old in GOOD
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(ValueError) as told:  # noqa: PT011  (the message is looked at below)
        load_claims(file)
    assert f"{file}:{message}" in str(told.value)


def test_shipped_claims_of_torchvisions_weights_are_what_torchvision_says() -> None:
    from torchvision.models import get_model_weights

    keys = {"top1": ("ImageNet-1K", "acc@1"), "top5": ("ImageNet-1K", "acc@5"), "map": ("COCO-val2017", "box_map")}
    published = [claim for claim in load_claims(SHIPPED) if claim.model.weights]
    assert len(published) >= 21
    for claimed in published:
        meta = get_model_weights(claimed.model.name.removeprefix("torchvision/"))[claimed.model.weights].meta
        if claimed.metric == "parameters":
            expected = meta["num_params"] / 1e6
        else:
            dataset, metric = keys[claimed.metric]
            expected = meta["_metrics"][dataset][metric]
        assert claimed.claimed == (expected, expected), claimed.name


def test_shipped_claims_are_each_said_once_and_have_a_source() -> None:
    names = [claim.name for claim in load_claims(SHIPPED)]
    assert len(set(names)) == len(names)
    assert {"mnist/lenet top1", "camvid/segnet miou (classes=11)"} <= set(names)
