"""How a caption is found: beam search over the next words; with one beam it is the greedy way."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cvbench.language.vocabulary import BEGIN, END, PAD, UNKNOWN

WORDS = UNKNOWN + 1  # the first token that is a word
State = tuple[Tensor, ...]


class Generated(NamedTuple):
    """Captions of B images.

    tokens: int64 (B, T), words, END, then PAD; neither BEGIN nor UNKNOWN. log_probability: float32 (B,) of that caption
    with its END, natural logarithm, not normalised. attention: float (B, T, h, w), where the model looked for each
    token, 0 behind END; None where it does not say.
    """

    tokens: Tensor
    log_probability: Tensor
    attention: Tensor | None

    @property
    def is_word(self) -> Tensor:
        """bool (B, T): which tokens come before the first END and are said."""
        ended = (self.tokens == END).cumsum(dim=1) > 0
        return ~ended & (self.tokens > END)


class Step(NamedTuple):
    """What a decoder says of N partial captions of each of B images, having read one more token of each.

    logits: float (B, N, V) of the next token. state: tensors (B, N, …), to be given with the next token. attention:
    float (B, N, h, w) or None.
    """

    logits: Tensor
    state: State
    attention: Tensor | None


class _Trace(NamedTuple):
    """A step of the search: the tokens (B, K) that its beams took and the beams (B, K) that these went on from."""

    tokens: Tensor
    parents: Tensor
    attention: Tensor | None


def search(
    step: Callable[[Tensor, State], Step],
    state: State,
    batch: int,
    device: torch.device,
    *,
    beam: int,
    length_penalty: float,
    longest: int,
) -> Generated:
    """The best captions of at most `longest` words that a beam search finds.

    step(tokens int64 (B, N), state) -> `Step`: first called with BEGIN, N = 1 and `state`, then with N = `beam`.

    The `beam` likeliest continuations of the live captions go on; those among them that are END leave the search as
    complete, and others take their places. It is over for an image when `beam` captions are complete, or none that
    lives can become better; after `longest` words END is the only continuation. Chosen is the complete caption of the
    highest log P(caption) / (words + 1) ** length_penalty: 0 is the plain probability, 1 the mean over its tokens (the
    simpler form in section 7 of Wu et al., arXiv:1609.08144, who found 0.6 to 0.7 the best). PAD, BEGIN and UNKNOWN are
    never taken, but keep their share of the probability. Sums are float32. Among equals the lowest token goes first.
    What an image gets does not depend on the others in its batch.
    """
    tokens = torch.full((batch, 1), BEGIN, device=device)
    live = torch.zeros(batch, 1, device=device)  # log P of the captions that go on
    best = torch.full((batch,), -torch.inf, device=device)  # score of the best complete caption
    probability, ended_at, ended_from = best.clone(), torch.zeros_like(tokens[:, 0]), torch.zeros_like(tokens[:, 0])
    complete, done = torch.zeros_like(ended_at), torch.zeros_like(best, dtype=torch.bool)
    traces: list[_Trace] = []
    for words in range(longest + 1):
        logits, state, attention = step(tokens, state)
        total = live[..., None] + logits.float().log_softmax(-1)
        scores, found, parents = _ranked(total, beam if words < longest else 0)

        ending = (found[:, :beam] == END) & scores[:, :beam].isfinite() & ~done[:, None]
        normalised = (scores[:, :beam] / (words + 1) ** length_penalty).masked_fill(~ending, -torch.inf)
        score, place = normalised.max(dim=1)
        better, place = score > best, place[:, None]
        best = torch.where(better, score, best)
        probability = torch.where(better, scores.gather(1, place)[:, 0], probability)
        ended_from = torch.where(better, parents.gather(1, place)[:, 0], ended_from)
        ended_at = ended_at.masked_fill(better, words)
        if words == longest:
            traces.append(_Trace(tokens, parents, attention))
            break

        going_on = (found == END).byte().sort(dim=1, stable=True).indices[:, :beam]  # words, in their order
        live, tokens, parents = (of.gather(1, going_on) for of in (scores, found, parents))
        traces.append(_Trace(tokens, parents, attention))
        complete += ending.sum(dim=1)
        done |= (complete >= beam) | (live[:, 0] / (longest + 1) ** length_penalty <= best)
        if bool(done.all()):
            break
        if beam > 1:
            state = _reordered(state, parents)
    return _followed(traces, ended_at, ended_from, probability)


def _ranked(total: Tensor, words: int) -> tuple[Tensor, Tensor, Tensor]:
    """END and the `words` likeliest words behind each live caption, (B, N * (words + 1)), the likeliest first.

    total: float (B, N, V) log P of each continuation; overwritten. Returns log P, tokens, and which caption each goes
    on from. Of equally likely ones the lowest token comes first, then the earlier caption.
    """
    scores, tokens = [total[..., END].clone()], [torch.full_like(total[..., END], END, dtype=torch.int64)]
    total[..., :WORDS] = -torch.inf
    for _ in range(words):  # unlike topk, max promises the first of equals; and words are few
        score, token = total.max(dim=-1)
        scores.append(score)
        tokens.append(token)
        total.scatter_(-1, token[..., None], -torch.inf)
    parents = torch.arange(total.shape[1], device=total.device)[:, None].expand(*total.shape[:2], words + 1)
    columns = [torch.stack(scores, -1).flatten(1), torch.stack(tokens, -1).flatten(1), parents.flatten(1)]
    for by, descending in ((1, False), (0, True)):
        order = columns[by].sort(dim=1, stable=True, descending=descending).indices
        columns = [column.gather(1, order) for column in columns]
    return columns[0], columns[1], columns[2]


def _reordered(state: State, parents: Tensor) -> State:
    """The state of the captions (B, N) that `parents` (B, K) names."""
    batch, beams = parents.shape

    def chosen(of: Tensor) -> Tensor:
        rows = parents + of.shape[1] * torch.arange(batch, device=parents.device)[:, None]
        return of.flatten(0, 1).index_select(0, rows.flatten()).view(batch, beams, *of.shape[2:])

    return tuple(chosen(of) for of in state)


def _followed(traces: list[_Trace], ended_at: Tensor, ended_from: Tensor, probability: Tensor) -> Generated:
    """The captions that ended after `ended_at` (B,) words from beam `ended_from` (B,), read from their ends back."""
    image = torch.arange(len(ended_at), device=ended_at.device)
    beam, tokens, attention = ended_from, [], []
    for place in range(int(ended_at.max()), -1, -1):
        before, trace = place < ended_at, traces[place]
        behind = torch.full_like(ended_at, PAD).masked_fill(ended_at == place, END)
        tokens.append(torch.where(before, trace.tokens[image, beam], behind))
        beam = torch.where(before, trace.parents[image, beam], beam)
        if trace.attention is not None:
            attention.append(trace.attention[image, beam] * (place <= ended_at)[:, None, None])
    maps = torch.stack(attention[::-1], dim=1) if attention else None
    return Generated(torch.stack(tokens[::-1], dim=1), probability, maps)
