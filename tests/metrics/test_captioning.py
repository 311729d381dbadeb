"""Captions as text to scores: the reference set, the order of images, what is new, and clear errors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.language.tokenizer import tokens
from cvbench.metrics import captioning
from cvbench.metrics.captioning import METRICS, PRIMARY, caption_key, per_class, score

Arrays = dict[str, np.ndarray]


def truth(*references: list[str], ids: str = "abcdefg") -> Arrays:
    return {
        "ids": np.array(list(ids[: len(references)])),
        "counts": np.array([len(texts) for texts in references]),
        "references": np.array([text for texts in references for text in texts]),
    }


def evidence(*captions: str, ids: str = "abcdefg") -> Arrays:
    return {"ids": np.array(list(ids[: len(captions)])), "captions": np.array(captions)}


KNOWN = truth(["A dog runs.", "The dog is running"], ["Two cats"], ["A man on a horse", "A rider", "A brown horse"])
FOUND = evidence("a dog runs", "two cats sleep", "a man rides a horse")


def test_the_reference_set_from_raw_text(shared_data: Path) -> None:
    folder = shared_data / "metric_refs" / "captions_fakecap126"
    known, results = (json.loads((folder / name).read_text()) for name in ("references.json", "results.json"))
    of_image: dict[int, list[str]] = {}
    for entry in known["annotations"]:
        of_image.setdefault(entry["image_id"], []).append(entry["caption"])
    ids = np.array([str(entry["image_id"]) for entry in results])
    references = [of_image[entry["image_id"]] for entry in results]
    split = truth(*references) | {"ids": ids}
    found = score({"ids": ids, "captions": np.array([entry["caption"] for entry in results])}, split)
    expected = json.loads((folder / "expected_pycocoevalcap_1.2.json").read_text())
    names = {f"bleu{n}": f"Bleu_{n}" for n in range(1, 5)} | {"rouge_l": "ROUGE_L", "cider": "CIDEr"}
    assert {name: found[name] for name in names} == pytest.approx(
        {name: expected[theirs] for name, theirs in names.items()}, rel=0, abs=1e-3
    )


def test_names_and_order() -> None:
    names = ["bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider", "cider_plain", "meteor", "length", "vocabulary"]
    assert list(METRICS) == [*names, "novel"]
    assert PRIMARY in METRICS
    assert [name for name, (direction, *_) in METRICS.items() if direction == "none"] == list(METRICS)[-3:]
    assert set(score(FOUND, KNOWN)) == set(METRICS) - {"meteor", "novel"}
    assert per_class(FOUND, KNOWN) == {}
    assert set(captioning.absent(score(FOUND, KNOWN))) == {"meteor", "novel"}
    assert captioning.absent(METRICS) == {}


def test_scores_do_not_depend_on_the_order_of_images() -> None:
    order = np.array([2, 0, 1])
    turned = {name: column[order] for name, column in FOUND.items()}
    assert score(turned, KNOWN) == score(FOUND, KNOWN)
    other = truth(*(["A man on a horse", "A rider", "A brown horse"], KNOWN["references"][:2].tolist(), ["Two cats"]))
    assert score(turned, other | {"ids": KNOWN["ids"][order]}) == score(FOUND, KNOWN)
    assert score(evidence(*FOUND["captions"][order]), KNOWN)["cider"] < score(FOUND, KNOWN)["cider"]


def test_length_vocabulary_and_what_is_new() -> None:
    keys = sorted(caption_key(tokens(text)) for text in ("A dog runs!", "Something else"))
    found = score(FOUND, KNOWN | {"training": np.array(keys, dtype=np.uint64)})
    # 3, 3 and 5 words; a dog runs two cats sleep man rides horse; all but the first are new
    assert (found["length"], found["vocabulary"]) == (pytest.approx(11 / 3), 9)
    assert found["novel"] == pytest.approx(2 / 3)
    assert score(FOUND, KNOWN | {"training": np.array([], dtype=np.uint64)})["novel"] == 1


def test_the_key_of_a_caption() -> None:
    assert caption_key(["a", "dog"]) == 0xFE02E6665A225AC7  # printf 'a dog' | b2sum -l 64
    assert isinstance(caption_key(["a", "dog"]), np.uint64)
    assert caption_key(["a", "dog"]) != caption_key(["dog", "a"])
    assert caption_key([]) != caption_key(["a"])


def test_an_empty_caption_scores_nothing_and_is_counted() -> None:
    found = score(evidence("", " ", "..."), KNOWN)
    for name in ("bleu1", "bleu4", "rouge_l", "cider", "cider_plain", "length", "vocabulary"):
        assert found[name] == 0
    half = score(evidence("a dog runs", "", "a man rides a horse"), KNOWN)
    assert half["length"] == pytest.approx(8 / 3)
    assert half["rouge_l"] < score(FOUND, KNOWN)["rouge_l"]


def test_a_caption_of_ten_thousand_words() -> None:
    found = score(evidence("a dog " * 5_000, "two cats", "horse"), KNOWN)
    assert found["length"] == pytest.approx(10_003 / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": np.array([2, 1, 2])}, "Expected `counts` to say how many of the 6 references each of the 3 images"),
        ({"counts": np.array([2.0, 1.0, 3.0])}, "but got float64 (3,) with the sum 6.0"),
        ({"counts": np.array([3, 3])}, "but got int64 (2,) with the sum 6"),
        ({"counts": np.array([2, 0, 4])}, "Expected at least one reference caption an image, but 'b' has none"),
        ({"counts": np.array([7, -4, 3])}, "Expected at least one reference caption an image, but 'b' has none"),
        ({"references": np.arange(6)}, "Expected `references` to hold texts, but got 0"),
        ({"ids": np.array(["a", "b", "d"])}, "Expected evidence for all 3 samples, but it lacks 'd'"),
        ({"ids": np.array([], dtype=str)}, "Expected at least one sample to score"),
    ],
)
def test_truth_that_contradicts_itself(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        score(FOUND, KNOWN | change)


def test_evidence_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="it lacks 'c'"):
        score(evidence("a", "b"), KNOWN)
    with pytest.raises(ValueError, match="Expected `captions` to hold texts, but got 1"):
        score({"ids": KNOWN["ids"], "captions": np.array([1, 2, 3])}, KNOWN)
