"""Captioning: a sentence for each image, scored against what several people wrote.

Year: 2015
Source: Vinyals, Toshev, Bengio & Erhan, "Show and Tell", CVPR 2015; Chen et al., "Microsoft COCO Captions", 2015
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cvbench.arrays import texts
from cvbench.data.base import DatasetInfo, Split
from cvbench.data.drawing import below, scaled, written
from cvbench.language.tokenizer import text_of, tokens
from cvbench.language.vocabulary import PAD, Vocabulary
from cvbench.loading import caption_text
from cvbench.loading.batches import CaptioningBatch
from cvbench.loading.caption_text import CaptionText
from cvbench.metrics import captioning as scores
from cvbench.models.captioning.search import Generated
from cvbench.models.outputs import WithPenalty
from cvbench.spec import Recipe
from cvbench.tasks.attention import attention_sheet
from cvbench.tasks.base import Description, Task
from cvbench.tasks.evidence import Evidence

VERSION = 1

WORDS = 12  # of a usual caption; only a unit
LONGEST = 50  # words of a training caption that are learnt; the rest of a longer one is not
# Images that a caption is sought for at once. Always so many, whatever the batch and the number of processes: how a
# convolution or a matrix product rounds depends on how many rows it is given, and a rounding can change a word.
TOGETHER = 8
DRAWN = 320  # pixels of a picture's longer side


class CaptioningTask(Task):
    """Cross-entropy of the next word, given the words before it (teacher forcing); the mean over the words of a batch.

    Validation writes captions greedily, the test by the model's own search (`beam`).
    """

    targets = CaptionText
    scores = scores

    def __init__(self, model: nn.Module, info: DatasetInfo, recipe: Recipe, total_steps: int) -> None:
        super().__init__(model, info, recipe, total_steps)
        if info.vocabulary is None:
            raise ValueError(
                f"{info.name}: Expected a vocabulary of training captions, but there is no train split to take it from"
            )
        self.vocabulary = Vocabulary(info.vocabulary)
        self._numbers: dict[str, array[int]] = {}
        self._training: NDArray[np.uint64] | None = None

    def balance_classes(self, train: Split) -> None:
        raise ValueError(
            "Expected recipe.class_weights to be 'none' for captioning, but got 'median_frequency': captions have no "
            "classes; remove the key"
        )

    def look_at(self, splits: Mapping[str, Split]) -> None:
        """Remembers the training captions, to tell which generated ones are new."""
        train = splits.get("train")
        if train is not None:
            captions = (text for place in range(len(train)) for text in train.target(place))
            self._training = scores.training_keys(captions)

    def forward(self, images: Tensor) -> Any:
        """images: float (B, C, H, W) in [0, 1] -> the `Generated` captions, by the model's own search."""
        return self.model.generate(self.laid_out(images))  # type: ignore[operator]

    def predictor(self) -> nn.Module:
        return _Predictor(self.model)

    def loss(self, batch: CaptioningBatch) -> Tensor:
        """A scalar, nats a word, and the model's own penalty."""
        captions = self.model_targets(batch)
        output = self.model(self.laid_out(batch.images), captions)
        logits, penalty = output if isinstance(output, WithPenalty) else (output, 0.0)
        total = F.cross_entropy(
            logits.flatten(0, -2).float(),
            captions[..., 1:].flatten(),
            ignore_index=PAD,
            label_smoothing=self.recipe.label_smoothing,
            reduction="sum",
        )
        return penalty + total / self._mean_words(captions)

    def _mean_words(self, captions: Tensor) -> Tensor:
        """Of this step, over the processes: gradients are averaged over these, and captions differ in length, so that
        the mean of each one's own mean would not be that of the global batch.
        """
        return self._mean_of_processes((captions[..., 1:] != PAD).sum())

    def counted(self, batch: CaptioningBatch) -> Tensor:
        """The words. A model's own penalty is weighed by them, too: of a batch in parts, its share is not quite that
        of the whole batch.
        """
        return self._mean_words(self.model_targets(batch)).float() / WORDS

    def model_targets(self, batch: CaptioningBatch) -> Tensor:
        """int64 (B, R, L): the R captions of each image as numbers, BEGIN, words, END, PAD to the longest; rows of PAD
        where an image has fewer than R.
        """
        several = caption_text.read(batch.text.numpy(), batch.text_bytes.numpy())
        rows = [[self._encoded(text) for text in of_image] for of_image in several]
        longest = max(len(row) for image in rows for row in image)
        captions = torch.full((len(rows), max(map(len, rows)), longest), PAD)
        for image, encoded in enumerate(rows):
            for place, row in enumerate(encoded):
                captions[image, place, : len(row)] = torch.tensor(row)
        return captions.to(batch.images.device)

    def _encoded(self, text: str) -> array[int]:
        if text not in self._numbers:  # a caption comes once an epoch; half a million of them fit into memory
            self._numbers[text] = array("i", self.vocabulary.encode(tokens(text), LONGEST))
        return self._numbers[text]

    def new_evidence(self) -> Evidence:
        return Evidence((), several={"words": ("tokens",), "text_bytes": ("text",)})

    def evidence_of(self, batch: CaptioningBatch) -> dict[str, Tensor]:
        return self._told(batch, greedy=True)

    def test_evidence_of(self, batch: CaptioningBatch) -> dict[str, Tensor]:
        return self._told(batch, greedy=False)

    def _told(self, batch: CaptioningBatch, *, greedy: bool) -> dict[str, Tensor]:
        found = [self._generate(part, greedy=greedy) for part in torch.split(batch.images, TOGETHER)]
        device = batch.images.device
        return {
            "words": torch.cat([part.is_word.sum(dim=1) for part in found]),
            "tokens": torch.cat([part.tokens[part.is_word] for part in found]),
            "text_bytes": batch.text_bytes.to(device),
            "text": batch.text.to(device),
        }

    def _generate(self, images: Tensor, *, greedy: bool = False) -> Generated:
        """Captions of at most `TOGETHER` images, sought among that many."""
        count = len(images)
        assert count <= TOGETHER
        filled = torch.cat([images, images.new_zeros(TOGETHER - count, *images.shape[1:])])
        found: Generated = self.model.generate(self.laid_out(filled), greedy=greedy)  # type: ignore[operator]
        return Generated(*(None if part is None else part[:count] for part in found))  # type: ignore[arg-type]

    def split_evidence(
        self, gathered: dict[str, NDArray[Any]], ids: NDArray[np.str_]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Evidence: captions str (N,). Truth: counts int64 (N,), references str (T,), training uint64 (K,), see
        `metrics.captioning`.
        """
        words = np.split(gathered["tokens"], np.cumsum(gathered["words"])[:-1])
        captions = texts([text_of(self.vocabulary.decode(row.tolist())) for row in words])
        several = caption_text.read(gathered["text"], gathered["text_bytes"])
        truth: dict[str, NDArray[Any]] = {
            "ids": ids,
            "counts": np.array([len(image) for image in several]),
            "references": texts([text for image in several for text in image]),
        }
        if self._training is not None:
            truth["training"] = self._training
        return {"ids": ids, "captions": captions}, truth

    def describe(self, images: Tensor, original: NDArray[np.uint8], truth: Any = None) -> Description:
        """Facts: the caption, and its natural logarithm of probability (with its end, not normalised; None where it is
        0). Below the image the caption, then the truth, or else where the model looked, if it says so.
        """
        found = self._generate(images)
        words = self.vocabulary.decode(found.tokens[0].tolist())
        caption = text_of(words)
        picture = scaled(original, DRAWN, smoothly=True)
        lines = [caption or "(no word)"]
        if truth is not None:
            lines = ["says: " + lines[0], *(f"{place}. {text}" for place, text in enumerate(truth, start=1))]
        drawn = below(picture, written(lines, max(picture.width, 300)))
        likely = float(found.log_probability[0])
        facts = {"caption": caption, "log_probability": round(likely, 6) if math.isfinite(likely) else None}
        if found.attention is not None and words and truth is None:
            seen = self.geometry(original.shape[0], original.shape[1])
            drawn = below(drawn, attention_sheet(original, words, found.attention[0], seen))
        return Description(facts, drawn)


class _Predictor(nn.Module):
    """A captioner whose forward pass is what it does at test time, so that this can be counted."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        return self.model.generate(images)  # type: ignore[operator]


TASK = CaptioningTask
