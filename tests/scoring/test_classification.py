"""CSVs of predicted classes: scores equal to scikit-learn's, and a clear error for every way they can be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from cvbench.metrics import classification
from cvbench.scoring.classification import score_files

NAMES = ["bike", "car", "dog"]


def write(path: Path, *rows: str, header: str = "id,label") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def write_probabilities(path: Path, labels: Sequence[object], probabilities: np.ndarray) -> Path:
    header = ",".join(["id", "label", *(f"p_{index}" for index in range(probabilities.shape[1]))])
    rows = [
        f"s{i},{label}," + ",".join(map(repr, p.tolist()))
        for i, (label, p) in enumerate(zip(labels, probabilities, strict=True))
    ]
    return write(path, *rows[::-1], header=header)  # in another order than the truth


def softmax_rows(samples: int, classes: int) -> np.ndarray:
    scores = np.exp(np.random.default_rng(0).normal(size=(samples, classes)))
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("named", [False, True])
def test_classification_equals_scikit_learn(tmp_path: Path, named: bool) -> None:
    classes = [f"class{i}" for i in range(7)] if named else list(range(7))
    probabilities = softmax_rows(300, 7)
    labels = np.random.default_rng(1).integers(0, 7, 300)
    truth = write(tmp_path / "truth.csv", *(f"s{i},{classes[label]}" for i, label in enumerate(labels)))
    predicted = probabilities.argmax(1)
    given = write_probabilities(tmp_path / "given.csv", [classes[label] for label in predicted], probabilities)
    result = score_files(truth, given)
    scores = result["metrics"]
    assert list(scores) == list(classification.METRICS)
    assert scores["top1"] == sk.accuracy_score(labels, predicted)
    assert scores["top5"] == sk.top_k_accuracy_score(labels, probabilities, k=5)
    assert scores["macro_top1"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted), rel=1e-14)
    assert scores["nll"] == pytest.approx(sk.log_loss(labels, probabilities), rel=1e-12)
    assert np.array(result["confusion"])[:, :7].tolist() == sk.confusion_matrix(labels, predicted).tolist()
    assert result["classes"] == [str(name) for name in classes]
    assert result["samples"] == 300
    assert result["absent"] == {}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_labels_alone_give_accuracy_and_say_what_is_absent(tmp_path: Path) -> None:
    truth = write(tmp_path / "truth.csv", "a,car", "b,bike", "c,car", "d,dog")
    given = write(tmp_path / "given.csv", "d,dog", "c,bike", "b,bike", "a,car")
    result = score_files(truth, given)
    assert result["metrics"] == {"top1": 3 / 4, "macro_top1": pytest.approx((1 + 1 / 2 + 1) / 3)}
    assert result["per_class"] == {"accuracy": {"bike": 1, "car": 0.5, "dog": 1}}
    assert list(result["absent"]) == ["top5", "nll", "ece"]
    assert "given.csv does not have" in result["absent"]["nll"]


def test_a_class_that_only_the_predictions_have(tmp_path: Path) -> None:
    truth, given = write(tmp_path / "truth.csv", "a,0", "b,1"), write(tmp_path / "given.csv", "a,0", "b,3")
    result = score_files(truth, given)
    assert result["classes"] == ["0", "1", "2", "3"]
    assert result["per_class"]["accuracy"] == {"0": 1, "1": 0, "2": None, "3": None}
    named = write(tmp_path / "named.csv", "a,car", "b,dog"), write(tmp_path / "other.csv", "a,car", "b,bike")
    assert score_files(*named, classes=NAMES)["metrics"]["top1"] == 0.5


def test_among_equal_probabilities_the_given_label_is_first(tmp_path: Path) -> None:
    truth = write(tmp_path / "truth.csv", "s0,1", "s1,2")
    given = write_probabilities(tmp_path / "given.csv", [1, 0], np.array([[0.5, 0.5, 0.0], [0.4, 0.2, 0.4]]))
    result = score_files(truth, given)
    assert result["metrics"]["top1"] == 0.5
    assert result["metrics"]["nll"] == pytest.approx(-(np.log(0.5) + np.log(0.4)) / 2)


def test_a_true_class_of_probability_zero_is_clipped_as_scikit_learn_does(tmp_path: Path) -> None:
    probabilities = np.array([[1.0, 0.0], [0.25, 0.75]])
    truth = write(tmp_path / "truth.csv", "s0,1", "s1,1")
    result = score_files(truth, write_probabilities(tmp_path / "given.csv", [0, 1], probabilities))
    assert result["metrics"]["nll"] == pytest.approx(sk.log_loss([1, 1], probabilities, labels=[0, 1]), rel=1e-12)


def test_a_spreadsheet_with_byte_order_mark_quotes_and_empty_lines(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_bytes('\ufeffid,label\r\n"a, 1",car\r\n\r\nb,dog\r\n'.encode())
    assert score_files(truth, write(tmp_path / "given.csv", '"a, 1", car ', "b,car"))["metrics"]["top1"] == 0.5


HEADER = "id,label,p_0,p_1,p_2"


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (
            ["a,car"],
            "id,label",
            r"given\.csv: expected a prediction for every id of .*truth\.csv, but 1 are missing: 'b'",
        ),
        (["a,car", "b,dog", "b1,dog"], "id,label", r"but 1 more: 'b1' \(nearest in the truth: 'b'\); remove"),
        (["a,car", "b,dog", "a,dog"], "id,label", r"given\.csv:4: expected every id once, but line 2 has 'a' too"),
        (
            ["a,car", "b,dgo"],
            "id,label",
            r"given\.csv:3: .* 'b' .*\(bike, car, dog\), but got 'dgo'; did you mean 'dog'\?",
        ),
        (["a,car", "b,2"], "id,label", r"one of the truth's classes .* got '2'; use the names of the truth"),
        (["a,car,nan,1,0", "b,dog,0,0,1"], HEADER, r"given\.csv:2: expected p_0 to be a probability .* got nan"),
        (
            ["a,car,0,1,0", "b,dog,0,-0.5,1.5"],
            HEADER,
            r"given\.csv:3: expected p_1 to be a probability .* got -0\.5; write",
        ),
        (["a,car,0,1,0", "b,dog,0,0.5,0.6"], HEADER, r"given\.csv:3: .* sum to 1 within 0\.001, but got 1\.1"),
        (["a,car,0,x,0", "b,dog,0,0,1"], HEADER, r"given\.csv:2: expected p_1 to be a number, but got 'x'"),
        (
            ["a,car,1,0,0", "b,dog,0,0,1"],
            HEADER,
            r"given\.csv:2: .*'a' to be the most probable class, but p_1 = 0 and p_0 = 1",
        ),
        (["a,car,0,1,0", "b,dog,0,1"], HEADER, r"given\.csv:3: expected 5 values as in the header, but got 4"),
        (["a,car,0,1", "b,car,0,1"], "id,label,p_0,p_1", r"expected 3 probability columns, .* but got 2"),
        (["a,car,0,1,0"], "id,label,p_1,p_2,p_3", r"given\.csv:1: expected the header .* but got 'p_1' for 'p_0'"),
        (["car,a"], "label,id", r"given\.csv:1: .* but got 'label' for 'id'"),
        (["a,car", "b,"], "id,label", r"given\.csv:3: expected an id and a label, but got 'b', ''"),
        ([], "id,label", r"given\.csv: expected at least one row"),
        (['a,"car', "b,dog"], "id,label", r"given\.csv: expected a UTF-8 CSV .* gave: "),
    ],
)
def test_wrong_predictions_are_named(tmp_path: Path, rows: list[str], header: str, message: str) -> None:
    truth = write(tmp_path / "truth.csv", "a,car", "b,dog", "c,bike")
    all_rows = [*rows, "c,bike" + (",1,0,0,0"[: 2 * header.count("p_")])]
    given = write(tmp_path / "given.csv", *(all_rows if rows else []), header=header)
    with pytest.raises(ValueError, match=message):
        score_files(truth, given)


def test_wrong_truth_is_named(tmp_path: Path) -> None:
    given = write(tmp_path / "given.csv", "a,1", "b,0")
    with pytest.raises(ValueError, match=r"nothing\.csv: expected a UTF-8 CSV .* No such file"):
        score_files(tmp_path / "nothing.csv", given)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"binary\.csv: expected a UTF-8 CSV"):
        score_files(binary, given)
    with pytest.raises(ValueError, match=r"given\.csv:2: .* class index 0\.\.2 as in the truth, but got 'car'"):
        score_files(write(tmp_path / "t.csv", "a,1", "b,2"), write(tmp_path / "given.csv", "a,car", "b,2"))
    with pytest.raises(ValueError, match="class indices below 32768, but 20240131"):
        score_files(write(tmp_path / "t.csv", "a,20240131"), write(tmp_path / "given.csv", "a,0"))
    few = write_probabilities(tmp_path / "few.csv", [0], np.array([[1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"expected 6 probability columns, .* but got 2"):
        score_files(write(tmp_path / "t.csv", "s0,5"), few)
