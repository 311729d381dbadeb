"""Device kernels: exactly the numbers of torchmetrics, numpy and the metrics, on every layout and dtype."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from cvbench.data import base
from cvbench.metrics import classification
from cvbench.metrics.confusion import class_counts, confusion_matrix
from cvbench.tasks.kernels import VOID, argmax_classes, classification_rows, segmentation_counts

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=[False, True], ids=["default", "deterministic"])
def _mode(request: pytest.FixtureRequest) -> Iterator[None]:
    torch.use_deterministic_algorithms(request.param)
    yield
    torch.use_deterministic_algorithms(False)


def label_images(classes: int, seed: int = 0, shape: tuple[int, int, int] = (3, 17, 23)) -> tuple[Tensor, Tensor]:
    """Prediction and truth, uint8, both with void."""
    generator = torch.Generator().manual_seed(seed)
    prediction, truth = (torch.randint(classes, shape, generator=generator).to(torch.uint8) for _ in range(2))
    truth = torch.where(torch.rand(shape, generator=generator) < 0.5, prediction, truth)
    void = (torch.rand(shape, generator=generator) < 0.1 for _ in range(2))
    return prediction.masked_fill(next(void), VOID), truth.masked_fill(next(void), VOID)


def test_void_is_the_void_of_the_data() -> None:
    assert VOID == base.VOID


@pytest.mark.usefixtures("_mode")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("classes", [1, 2, 12, 15, 16, 19, 150, 180, 181, 255])  # both sides of each index width
def test_counts_equal_the_numpy_metric_per_image(classes: int, device: str) -> None:
    prediction, truth = label_images(classes)
    ours = segmentation_counts(prediction.to(device), truth.to(device), classes)
    each = [confusion_matrix(t.numpy(), p.numpy(), classes) for t, p in zip(truth, prediction, strict=True)]
    expected = class_counts(np.stack(each))
    for name in expected._fields:
        counts = getattr(ours, name)
        assert counts.dtype == torch.int64
        np.testing.assert_array_equal(counts.cpu().numpy(), getattr(expected, name))
    np.testing.assert_array_equal(ours.confusion.cpu().numpy(), sum(each))
    signed = torch.where(prediction == VOID, -1, prediction.long())  # argmax gives int64; void may be any outsider
    for mine, same in zip(segmentation_counts(signed.to(device), truth.to(device), classes), ours, strict=True):
        assert torch.equal(mine, same)


def test_counts_equal_torchmetrics_on_a_camvid_sized_batch() -> None:
    prediction, truth = label_images(12, shape=(4, 360, 480))
    prediction = prediction.clamp(max=11)  # torchmetrics refuses a prediction of void
    expected = multiclass_confusion_matrix(prediction.long(), truth.long(), 12, ignore_index=VOID)
    assert torch.equal(segmentation_counts(prediction, truth, 12).confusion[:, :12], expected)


def test_counts_of_strided_and_empty_batches() -> None:
    prediction, truth = label_images(5)
    strided = segmentation_counts(prediction.transpose(1, 2), truth.transpose(1, 2), 5)
    for ours, same in zip(strided, segmentation_counts(prediction, truth, 5), strict=True):
        assert torch.equal(ours, same)
    empty = segmentation_counts(prediction[:0], truth[:0], 5)
    assert empty.truth.shape == (0, 5)
    assert empty.confusion.sum() == 0


def test_truth_that_cannot_be_counted() -> None:
    prediction, truth = label_images(5)
    with pytest.raises(ValueError, match=r"truth labels 0\.\.3 or 255, but got 4"):
        segmentation_counts(prediction, truth, 4)
    with pytest.raises(ValueError, match="of one shape"):
        segmentation_counts(prediction[:, 1:], truth, 5)
    with pytest.raises(ValueError, match=r"torch\.int64"):
        segmentation_counts(prediction, truth.long(), 5)
    with pytest.raises(ValueError, match="at most 255 classes"):
        segmentation_counts(prediction, truth, 256)


@pytest.mark.usefixtures("_mode")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("classes", [1, 2, 12, 255])
def test_argmax_takes_the_lower_index_on_every_layout(classes: int, dtype: torch.dtype, device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(-3, 3, (2, classes, 9, 11), generator=generator).to(dtype)  # ties nearly everywhere
    logits[0, :, 0, 0] = -torch.inf
    expected = logits.float().numpy().argmax(axis=1)  # numpy: the first of equals
    for layout in (torch.contiguous_format, torch.channels_last):
        ours = argmax_classes(logits.to(device).contiguous(memory_format=layout))
        assert ours.dtype == torch.uint8
        np.testing.assert_array_equal(ours.cpu().numpy(), expected)
    np.testing.assert_array_equal(argmax_classes(logits[:, :, ::2].to(device)).cpu().numpy(), expected[:, ::2])


def test_argmax_leaves_the_logits_as_they_were() -> None:
    logits = torch.randn(1, 4, 5, 6, requires_grad=True)
    before = logits.detach().clone()
    argmax_classes(logits)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_argmax_refuses_what_has_no_maximum(layout: torch.memory_format) -> None:
    logits = torch.randn(2, 4, 5, 6)
    for place in range(4):
        broken = logits.clone()
        broken[1, place, 2, 3] = torch.nan
        with pytest.raises(ValueError, match="NaN"):
            argmax_classes(broken.contiguous(memory_format=layout))
    with pytest.raises(ValueError, match="at most 255 classes"):
        argmax_classes(torch.zeros(1, 256, 2, 2))


@pytest.mark.usefixtures("_mode")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("classes", [1, 2, 5, 6, 40])
@pytest.mark.parametrize("tied", [False, True])
def test_rows_follow_the_stated_order(classes: int, tied: bool, device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(64, classes, generator=generator) * 3
    logits = logits.round() if tied else logits
    labels = torch.randint(classes, (64,), generator=generator)
    rows = {
        key: value.cpu().numpy() for key, value in classification_rows(logits.to(device), labels.to(device)).items()
    }
    order = np.argsort(-logits.numpy(), axis=1, kind="stable")
    logs = log_softmax(logits.numpy().astype(np.float64), axis=1)
    k = min(5, classes)
    np.testing.assert_array_equal(rows["top"], order[:, :k])
    np.testing.assert_array_equal(rows["true_rank"], (order == labels.numpy()[:, None]).argmax(1))
    np.testing.assert_allclose(rows["top_probability"], np.exp(np.take_along_axis(logs, order[:, :k], 1)), rtol=1e-5)
    np.testing.assert_allclose(rows["true_log_probability"], logs[np.arange(64), labels], rtol=1e-5, atol=1e-6)
    dtypes = {"top": "int32", "top_probability": "float32", "true_log_probability": "float32", "true_rank": "int32"}
    assert {key: str(value.dtype) for key, value in rows.items()} == dtypes


def test_a_row_with_fewer_finite_logits_than_places() -> None:
    logits = torch.tensor([[-torch.inf, 1.0, -torch.inf, -torch.inf, 2.0, -torch.inf, -torch.inf]])
    rows = classification_rows(logits, torch.tensor([2]))
    assert rows["top"].tolist() == [[4, 1, 0, 2, 3]]
    assert rows["true_rank"].tolist() == [3]
    assert rows["true_log_probability"].tolist() == [-torch.inf]


@pytest.mark.parametrize("pair", [(0, 1), (0, 4), (2, 3), (3, 4)])
def test_a_tie_for_the_last_place_alone(pair: tuple[int, int]) -> None:
    logits = torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0, 6.0, 7.0, 8.0, 9.0]])
    logits[0, list(pair)] = 1.0
    rows = classification_rows(logits, torch.tensor([pair[1]]))
    assert rows["top"].tolist() == [[8, 7, 6, 5, pair[0]]]
    assert rows["true_rank"].tolist() == [5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_evidence_that_scores(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(200, 10, generator=generator) * 2).to(dtype)
    labels = torch.randint(10, (200,), generator=generator)
    rows = {key: value.numpy() for key, value in classification_rows(logits, labels).items()}
    ids = np.array([str(index) for index in range(200)])
    truth = {"ids": ids, "labels": labels.numpy(), "classes": np.array(list("abcdefghij"))}
    scores = classification.score({"ids": ids, **rows}, truth)
    assert scores["top1"] == (logits.argmax(1) == labels).sum().item() / 200
    assert scores["nll"] == pytest.approx(torch.nn.functional.cross_entropy(logits.float(), labels).item(), rel=1e-5)


def test_rows_refuse_nan_and_foreign_labels() -> None:
    logits, labels = torch.zeros(3, 4), torch.tensor([0, 1, 3])
    broken = logits.clone()
    broken[1, 0] = torch.nan
    with pytest.raises(ValueError, match="1 of 3 samples have NaN"):
        classification_rows(broken, labels)
    with pytest.raises(ValueError, match=r"labels 0\.\.3, but got 4"):
        classification_rows(logits, labels + 1)
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(2,\)"):
        classification_rows(logits, labels[:2])
