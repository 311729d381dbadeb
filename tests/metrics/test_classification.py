"""Classification scores against scikit-learn, with evidence that is made by hand from full probabilities."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn import metrics as sk

from cvbench.metrics import classification
from cvbench.metrics.classification import METRICS, PRIMARY, confusion, per_class, score

Arrays = dict[str, np.ndarray]


def made(labels: np.ndarray, logits: np.ndarray) -> tuple[Arrays, Arrays]:
    """Evidence and truth of full logits (N, C) without ties."""
    samples, classes = logits.shape
    ids = np.array([f"test/{row}" for row in range(samples)])
    logs = log_softmax(logits, axis=1)
    order = np.argsort(-logits, axis=1, kind="stable")
    evidence = {
        "ids": ids,
        "top": order[:, :5].astype(np.int32),
        "top_probability": np.exp(np.take_along_axis(logs, order[:, :5], axis=1)).astype(np.float32),
        "true_log_probability": logs[np.arange(samples), labels].astype(np.float32),
        "true_rank": (order == labels[:, None]).argmax(1).astype(np.int32),
    }
    return evidence, {"ids": ids, "labels": labels, "classes": np.array([f"c{i}" for i in range(classes)])}


def random(seed: int = 0, samples: int = 400, classes: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes - 1, samples)  # the last class is absent from the truth
    logits = rng.normal(size=(samples, classes))
    logits[np.arange(samples), labels] += 1.0
    return labels, logits


def test_scores_equal_scikit_learn() -> None:
    labels, logits = random()
    scores = score(*made(labels, logits))
    predicted = logits.argmax(1)
    assert 7 in predicted  # absent from the truth, and predicted
    assert scores["top1"] == sk.accuracy_score(labels, predicted)
    assert scores["top5"] == sk.top_k_accuracy_score(labels, logits, k=5, labels=range(8))
    recall = sk.recall_score(labels, predicted, labels=np.unique(labels), average="macro")
    assert scores["macro_top1"] == pytest.approx(recall, rel=1e-14)
    assert scores["nll"] == pytest.approx(
        sk.log_loss(labels, np.exp(log_softmax(logits, 1)), labels=range(8)), rel=1e-6
    )
    assert 0 < scores["ece"] < 1
    assert list(scores) == list(METRICS)


def test_per_class_and_confusion_equal_scikit_learn() -> None:
    labels, logits = random()
    evidence, truth = made(labels, logits)
    matrix = confusion(evidence, truth)
    np.testing.assert_array_equal(matrix[:, :8], sk.confusion_matrix(labels, logits.argmax(1), labels=range(8)))
    recall = sk.recall_score(labels, logits.argmax(1), labels=range(7), average=None)
    accuracy = per_class(evidence, truth)["accuracy"]
    assert list(accuracy) == [f"c{i}" for i in range(8)]
    assert list(accuracy.values()) == [*(pytest.approx(value) for value in recall), None]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 100), st.randoms(use_true_random=False))
def test_rows_may_come_in_any_order(seed: int, shuffler: object) -> None:
    labels, logits = random(seed, samples=20)
    evidence, truth = made(labels, logits)
    order = list(range(20))
    shuffler.shuffle(order)  # type: ignore[attr-defined]
    shuffled = {key: value[order] for key, value in evidence.items()}
    assert score(shuffled, truth) == score(evidence, truth)
    moved = {key: value if key == "classes" else value[order] for key, value in truth.items()}
    assert score(evidence, moved) == pytest.approx(score(evidence, truth), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 19), st.integers(0, 100))
def test_evidence_gathered_in_two_parts_scores_as_one(cut: int, seed: int) -> None:
    evidence, truth = made(*random(seed, samples=20))
    parts = [{key: value[piece] for key, value in evidence.items()} for piece in (slice(cut, None), slice(None, cut))]
    merged = {key: np.concatenate([part[key] for part in parts]) for key in evidence}
    assert score(merged, truth) == score(evidence, truth)


def test_a_perfect_and_certain_model() -> None:
    labels = np.array([0, 1, 2])
    scores = score(*made(labels, np.eye(3)[labels] * 1000))
    assert scores == {"top1": 1, "top5": 1, "macro_top1": 1, "nll": 0, "ece": 0}


def test_labels_alone_give_what_they_can() -> None:
    labels, logits = random()
    evidence, truth = made(labels, logits)
    bare = {"ids": evidence["ids"], "top": evidence["top"][:, :1]}
    full = score(evidence, truth)
    assert score(bare, truth) == {"top1": full["top1"], "macro_top1": full["macro_top1"]}


def test_evidence_that_does_not_fit_the_truth() -> None:
    evidence, truth = made(*random(samples=6))
    short = {key: value[1:] for key, value in evidence.items()}
    with pytest.raises(ValueError, match=r"all 6 samples, but it lacks 'test/0'"):
        score(short, truth)
    with pytest.raises(ValueError, match=r"5 samples only, but got 'test/0'"):
        score(evidence, {key: value if key == "classes" else value[1:] for key, value in truth.items()})
    twice = {key: np.concatenate([value, value[:1]]) for key, value in evidence.items()}
    with pytest.raises(ValueError, match=r"the evidence has 'test/0' more than once"):
        score(twice, truth)
    with pytest.raises(ValueError, match="not of one model"):
        score(evidence | {"true_rank": evidence["true_rank"] + 1}, truth)
    with pytest.raises(ValueError, match=r"truth labels 0\.\.7, but got 8"):
        score(evidence, truth | {"labels": truth["labels"] + 8 - truth["labels"].min()})
    with pytest.raises(ValueError, match="at least one sample"):
        score({"ids": np.array([])}, {"ids": np.array([])})


def test_metrics_are_literals_with_a_primary() -> None:
    source = ast.parse(inspect.getsource(classification))
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert values == {"PRIMARY": PRIMARY, "METRICS": METRICS}
    assert list(METRICS) == ["top1", "top5", "macro_top1", "nll", "ece"]
    assert METRICS["nll"][0] == METRICS["ece"][0] == "min"
    assert {name: unit for name, (_, _, unit) in METRICS.items() if unit != "%"} == {"nll": "nats"}
