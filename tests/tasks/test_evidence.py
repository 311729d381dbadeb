"""Evidence: the same from one process and from several, every sample once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing
from torch import Tensor

from cvbench.tasks.evidence import Evidence

CLASSES = 3


def evidence(*, summed: bool = True) -> Evidence:
    return Evidence(("label", "score"), {"confusion": (CLASSES, CLASSES)} if summed else None)


def rows(index: Iterable[int]) -> tuple[Tensor, dict[str, Tensor]]:
    """What a task might say of these samples: each value tells its sample."""
    samples = torch.tensor(list(index), dtype=torch.int64)
    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    for sample in samples.tolist():
        confusion[sample % 2, 1] += 2**40 + sample  # more than int32 or float32 could hold
    return samples, {
        "label": samples * 10,
        "score": torch.stack([samples / 7, samples / 3], dim=1).float(),
        "confusion": confusion,
    }


def check(found: dict[str, np.ndarray], count: int, *, summed: bool = True) -> None:
    """By hand: rows of samples 0..count-1 in order, and the sums over each of them once."""
    samples = np.arange(count)
    np.testing.assert_array_equal(found["index"], samples)
    np.testing.assert_array_equal(found["label"], samples * 10)
    np.testing.assert_array_equal(found["score"], np.stack([samples / 7, samples / 3], axis=1).astype(np.float32))
    if summed:
        expected = np.zeros((CLASSES, CLASSES), dtype=np.int64)
        for sample in samples.tolist():
            expected[sample % 2, 1] += 2**40 + sample
        np.testing.assert_array_equal(found["confusion"], expected)
        assert found["confusion"].dtype == np.int64


def test_rows_come_in_the_order_of_the_split() -> None:
    metric = evidence()
    for batch in ([5, 1], [0, 4, 2], [3]):
        metric.update(*rows(batch))
    check(metric.compute(), 6)


def boxes(index: Iterable[int]) -> tuple[Tensor, dict[str, Tensor]]:
    """Sample i has i % 4 boxes, (10 i, 10 i + 1, …), and i % 2 names."""
    samples = list(index)
    places = [10.0 * sample + box for sample in samples for box in range(sample % 4)]
    names = [sample for sample in samples for _ in range(sample % 2)]
    return torch.tensor(samples), {
        "count": torch.tensor([sample % 4 for sample in samples]),
        "box": torch.tensor(places)[:, None],
        "named": torch.tensor([sample % 2 for sample in samples]),
        "name": torch.tensor(names, dtype=torch.int64),
    }


def test_columns_of_several_rows_a_sample_come_in_the_order_of_the_split_and_once() -> None:
    metric = Evidence((), several={"count": ("box",), "named": ("name",)})
    for batch in ([6, 1], [0, 4], [3, 2, 7], [1, 5, 6]):  # 1 and 6 twice
        metric.update(*boxes(batch))
    found = metric.compute()
    assert found["index"].tolist() == list(range(8))
    assert found["count"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert found["box"][:, 0].tolist() == [10, 20, 21, 30, 31, 32, 50, 60, 61, 70, 71, 72]
    assert found["named"].tolist() == [0, 1] * 4
    assert found["name"].tolist() == [1, 3, 5, 7]


def test_reset_forgets_everything() -> None:
    metric = evidence()
    metric.update(*rows([0, 1, 2, 3]))
    metric.compute()
    metric.reset()
    metric.update(*rows([1, 0]))
    check(metric.compute(), 2)


def test_a_sample_seen_twice_counts_once_where_nothing_is_summed() -> None:
    metric = evidence(summed=False)
    metric.update(*rows([0, 1, 2]))
    metric.update(*rows([2, 3]))
    check(metric.compute(), 4, summed=False)


def test_a_sample_seen_twice_is_refused_where_sums_would_be_wrong() -> None:
    metric = evidence()
    metric.update(*rows([0, 1, 2]))
    metric.update(*rows([2, 0]))
    with pytest.raises(RuntimeError, match="2 samples were scored twice"):
        metric.compute()


def test_evidence_is_no_part_of_a_checkpoint() -> None:
    metric = evidence()
    metric.update(*rows([0, 1]))
    assert metric.state_dict() == {}


def test_rows_of_inference_mode_are_taken() -> None:
    metric = evidence()
    with torch.inference_mode():
        metric.update(*rows([1, 0]))
        metric.update(*rows([2]))
    check(metric.compute(), 3)


# Uneven on purpose: 5 samples in two batches against 2 in one.
DEALT = {0: [[0, 2, 4], [6, 5]], 1: [[1, 3]]}


def _process(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    metric = evidence()
    for epoch in range(2):  # validation gathers again and again
        metric.reset()
        for batch in DEALT[rank]:
            metric.update(*rows(batch))
        np.savez(f"{folder}/{epoch}-{rank}.npz", **metric.compute())
    assert len(metric.rows_index) == len(DEALT[rank])  # its own batches again, not the merged ones
    padded = evidence(summed=False)
    padded.update(*rows([rank, 2]))  # both processes have sample 2, as after padding
    np.savez(f"{folder}/padded-{rank}.npz", **padded.compute())
    twice = evidence()
    twice.update(*rows([rank, 2]))
    with pytest.raises(RuntimeError, match="1 samples were scored twice"):
        twice.compute()
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_two_processes_with_uneven_numbers_give_what_one_gives(tmp_path: Path) -> None:
    # Forked: two fresh processes would import torch and torchmetrics for most of the test's time.
    torch.multiprocessing.start_processes(_process, args=(str(tmp_path),), nprocs=2, start_method="fork")
    for rank in range(2):
        for epoch in range(2):
            check(dict(np.load(tmp_path / f"{epoch}-{rank}.npz")), 7)
        check(dict(np.load(tmp_path / f"padded-{rank}.npz")), 3, summed=False)
