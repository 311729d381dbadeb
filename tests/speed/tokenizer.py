"""25,000 captions as words: ours against Java's PTBTokenizer with its start, as pycocoevalcap calls it; wall time.

Wall time, since Java's work is another process's. Where Java or its jar is missing there is nothing to compare with,
and the module fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cvbench.language.tokenizer import tokens
from tests.language.java_ptb import java_tokens
from tests.language.odd_captions import odd_captions
from tests.speed.timing import Row

CAPTIONS, TARGET, ROUNDS = 25_000, 1.0, 3
# of 40,460 captions of Flickr8k one in 24 has more than letters, commas and one stop
ODD_EVERY = 24
PLAIN = (
    "A man in a red shirt is riding a brown horse along the beach .",
    "Two young girls are playing with a large, wet dog in the grass.",
    "a black and white cat sitting on top of a wooden bench",
)


def captions() -> list[str]:
    """As plain as real ones, with an odd one in between."""
    odd = iter(odd_captions(CAPTIONS // ODD_EVERY + 1))
    # markup that reaches over lines would make Java's lines fewer
    return [
        next(odd).replace("<", " ") if place % ODD_EVERY == 0 else PLAIN[place % len(PLAIN)]
        for place in range(CAPTIONS)
    ]


def measure() -> list[Row]:
    texts = captions()
    ours_s, reference_s = [], []
    for _ in range(ROUNDS):
        ours_s.append(_seconds(lambda: [tokens(text) for text in texts]))
        reference_s.append(_seconds(lambda: java_tokens(texts)))
    ours, reference = min(ours_s), min(reference_s)
    return [Row(f"{CAPTIONS} captions as words, Java with its start", ours, reference, reference / ours, TARGET)]


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
