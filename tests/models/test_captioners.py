"""Captioners: the contract at their border, what they learn, their vocabulary in their weights, the prior."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.language.vocabulary import BEGIN, END, PAD, SPECIAL, UNKNOWN
from cvbench.models.captioning import prior, show_and_tell, show_attend_tell, transformer_captioner, vanilla_rnn
from cvbench.models.captioning.show_attend_tell import unevenness
from cvbench.models.captioning.transformer_captioner import sinusoids
from cvbench.models.outputs import WithPenalty
from cvbench.models.weights import load_backbone, load_weights

LEARNING = [show_and_tell, vanilla_rnn, show_attend_tell, transformer_captioner]
WITH_MAPS = [show_attend_tell, transformer_captioner]
SIZE = (32, 48)
WORDS = ("a", "dog", "cat", "runs", "sits", "on", "grass", "häuser")
SMALL: dict[ModuleType, dict[str, Any]] = {
    show_and_tell: {"embedding": 32, "hidden": 48},
    vanilla_rnn: {"embedding": 32, "hidden": 48},
    show_attend_tell: {"embedding": 32, "hidden": 48, "attention": 16},
    transformer_captioner: {"width": 32, "heads": 2},
}

every_model = pytest.mark.parametrize("module", LEARNING, ids=lambda module: module.__name__.rpartition(".")[2])


@pytest.fixture
def worded(make_info) -> Callable[..., DatasetInfo]:
    """`worded(words, **of make_info)` -> DatasetInfo of captions."""

    def make(words: tuple[str, ...] = WORDS, **options: Any) -> DatasetInfo:
        info = make_info(**{"size": SIZE, "classes": 0} | options)
        return dataclasses.replace(info, task="captioning", classes=(), vocabulary=(*SPECIAL, *words))

    return make


def built(module: ModuleType, info: DatasetInfo, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return module.build(info, encoder_width=4, **SMALL[module] | options)


def rows(*captions: tuple[int, ...]) -> Tensor:
    """BEGIN, words, END, and PAD to the longest; an empty tuple is a row of PAD."""
    longest = max(map(len, captions)) + 2
    return torch.tensor([[BEGIN, *c, END, *[PAD] * (longest - len(c) - 2)] if c else [PAD] * longest for c in captions])


def logits_of(output: Tensor | WithPenalty) -> Tensor:
    return output.logits if isinstance(output, WithPenalty) else output


SEVERAL = torch.stack([rows((4, 5, 7, 9), (4, 6), ()), rows((4, 6, 8, 9), (), (5,))])


@every_model
@pytest.mark.usefixtures("deterministic")
def test_the_contract_in_training_and_evaluation(worded, module: ModuleType):
    model = built(module, worded(channels=1)).train()
    images = torch.rand(2, 1, *SIZE)
    output = model(images, SEVERAL)
    logits = logits_of(output)
    assert logits.shape == (2, 3, 5, len(SPECIAL) + len(WORDS))
    assert logits.isfinite().all()  # rows without a caption too
    loss = F.cross_entropy(logits.flatten(0, 2), SEVERAL[:, :, 1:].flatten(), ignore_index=PAD)
    loss = loss + output.penalty if isinstance(output, WithPenalty) else loss
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert isinstance(model.eval()(images, SEVERAL), Tensor)
    for greedy in (True, False):
        found = model.generate(images, greedy=greedy)
        assert (found.tokens.dtype, found.log_probability.dtype) == (torch.int64, torch.float32)
        assert found.tokens.shape[1] <= 21
        assert not torch.isin(found.tokens, torch.tensor([BEGIN, UNKNOWN])).any()
        assert ((found.tokens == END).sum(dim=1) == 1).all()
        if module in WITH_MAPS:
            assert found.attention.shape == (*found.tokens.shape, 2, 3)
            told = (found.tokens != PAD).float()
            torch.testing.assert_close(found.attention.sum(dim=(2, 3)), told)
        else:
            assert found.attention is None


@every_model
def test_at_first_every_word_is_about_equally_likely(worded, module: ModuleType):
    """The loss of a model that knows nothing is log V; within 2 % of it at the real size of model and vocabulary."""
    torch.manual_seed(0)
    info = worded(tuple(f"w{n}" for n in range(2000)), size=(96, 128))
    captions = torch.randint(4, len(info.vocabulary), (4, 5, 12))
    with torch.no_grad():
        logits = module.build(info).eval()(torch.rand(4, 3, 96, 128), captions)
    loss = F.cross_entropy(logits.flatten(0, 2), captions[:, :, 1:].flatten())
    assert float(loss) == pytest.approx(math.log(2004), rel=0.02)


@every_model
@pytest.mark.usefixtures("deterministic")
def test_learns_four_images_by_heart_and_tells_them_again_the_same_twice(worded, module: ModuleType):
    captions = rows((4, 5, 7), (4, 6, 8, 9, 10), (6, 5), (11, 4, 4, 6, 7, 7))[:, None]
    images = torch.rand(4, 3, 1, 1, generator=torch.Generator().manual_seed(1)).expand(4, 3, *SIZE).clone()
    images[:, :, :, 24:] = images[[3, 2, 1, 0]][:, :, :, 24:].flip(1)
    told = []
    for _ in range(2):
        model = built(module, worded(), seed=1, dropout=0.1)
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(150):
            output = model.train()(images, captions)
            loss = F.cross_entropy(logits_of(output).flatten(0, 2), captions[:, :, 1:].flatten(), ignore_index=PAD)
            loss = loss + 0.1 * output.penalty if isinstance(output, WithPenalty) else loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        told.append((model.eval().generate(images), model.state_dict()))
        for greedy in (True, False):
            assert model.generate(images, greedy=greedy).tokens.tolist() == captions[:, 0, 1:].tolist()
    assert torch.equal(told[0][0].log_probability, told[1][0].log_probability)
    assert all(torch.equal(tensor, told[1][1][name]) for name, tensor in told[0][1].items())


@every_model
def test_what_follows_depends_on_what_was_before_alone(worded, module: ModuleType):
    model = built(module, worded()).eval()
    images, captions = torch.rand(2, 3, *SIZE), torch.randint(4, 12, (2, 3, 9))
    captions[:, :, 0] = BEGIN
    changed = captions.clone()
    changed[:, :, 5] = (captions[:, :, 5] - 3) % 8 + 4
    first, second = model(images, captions), model(images, changed)
    torch.testing.assert_close(first[:, :, :5], second[:, :, :5], rtol=0, atol=1e-6)
    assert ((first - second)[:, :, 5:].abs().amax(dim=-1) > 1e-6).all()
    other = model(images.flip(0), captions)
    assert ((first - other).abs().amax(dim=(1, 3)) > 1e-7).all()  # of the image everything depends


@every_model
def test_several_captions_of_an_image_at_once_are_as_one_by_one(worded, module: ModuleType):
    model = built(module, worded()).eval()
    seen = []
    model.network.encoder.register_forward_hook(lambda _module, given, _output: seen.append(len(given[0])))
    images = torch.rand(2, 3, *SIZE)
    together = model(images, SEVERAL)
    assert seen == [2]  # each image is encoded once
    for place in range(3):
        alone = model(images, SEVERAL[:, place : place + 1])
        torch.testing.assert_close(together[:, place : place + 1], alone, rtol=1e-5, atol=1e-6)


@every_model
def test_what_is_found_has_the_probability_that_the_whole_forward_pass_gives_it(worded, module: ModuleType):
    """Step by step, with what is kept from before, against teacher forcing; greedily each word is the likeliest."""
    model = built(module, worded()).eval()
    with torch.no_grad():
        for parameter in model.network.decoder.parameters():
            parameter.mul_(2)  # else all captions are alike
    images = torch.rand(3, 3, *SIZE)
    for greedy in (True, False):
        found = model.generate(images, greedy=greedy)
        captions = torch.cat([torch.full((3, 1), BEGIN), found.tokens], dim=1)[:, None]
        known = model(images, captions)[:, 0].log_softmax(dim=-1)
        of_tokens = known.gather(2, found.tokens[..., None])[..., 0] * (found.tokens != PAD)
        torch.testing.assert_close(of_tokens.sum(dim=1), found.log_probability, rtol=1e-4, atol=1e-4)
        if greedy:
            known[..., [PAD, BEGIN, UNKNOWN]] = -torch.inf
            free = (found.tokens != PAD) & (torch.arange(found.tokens.shape[1]) < 20)
            assert torch.equal(known.argmax(dim=-1)[free], found.tokens[free])


@every_model
def test_an_image_gets_the_same_caption_whatever_is_beside_it(worded, module: ModuleType):
    model = built(module, worded()).eval()
    images = torch.rand(8, 3, *SIZE)
    others = torch.cat([images[:1], torch.rand(7, 3, *SIZE)])
    first, second = model.generate(images), model.generate(others)
    assert torch.equal(first.log_probability[:1], second.log_probability[:1])
    shorter = min(first.tokens.shape[1], second.tokens.shape[1])
    assert torch.equal(first.tokens[0, :shorter], second.tokens[0, :shorter])


@every_model
def test_half_precision(worded, module: ModuleType):
    model = built(module, worded()).eval()
    images = torch.rand(2, 3, *SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        assert logits_of(model.train()(images, SEVERAL)).isfinite().all()
        found = model.eval().generate(images)
    assert found.log_probability.dtype == torch.float32
    assert found.log_probability.isfinite().all()


@every_model
def test_weights_carry_their_words(worded, module: ModuleType, tmp_path):
    trained, fresh = built(module, worded(), seed=1), built(module, worded(), seed=2)
    assert bytes(trained.vocabulary.tolist()).decode().split("\n") == [*SPECIAL, *WORDS]
    torch.save(trained.state_dict(), file := tmp_path / "weights.pt")
    for strict in (True, False):
        assert load_weights(fresh, file, strict=strict) == []
    images = torch.rand(2, 3, *SIZE)
    assert torch.equal(trained.eval().generate(images).tokens, fresh.eval().generate(images).tokens)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (*WORDS[:6], "lawn", "houses", "owl", "elk"),
            r"2 words are only in the file \('grass', 'häuser'\); "
            r"4 words are only in the dataset \('lawn', 'houses', 'owl', …\)",
        ),
        (WORDS[:-1], r"1 word is only in the file \('häuser'\)"),
        (("dog", "a", *WORDS[2:]), "2 of 12 words stand elsewhere, first 'a' in the file, where 'dog' is in the data"),
        (tuple(reversed(WORDS)), "8 of 12 words stand elsewhere"),
    ],
)
def test_a_vocabulary_that_does_not_fit_the_weights(worded, tmp_path, strict: bool, words, message: str):
    for module in (show_and_tell, prior):
        trained, other = (
            built(module, worded(of)) if module in SMALL else module.build(worded(of)) for of in (WORDS, words)
        )
        torch.save({"state_dict": {f"model.{n}": t for n, t in trained.state_dict().items()}}, tmp_path / "w.ckpt")
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(ValueError, match=rf"w.ckpt: the weights know other words .*{message}.*`backbone_weights`"):
            load_weights(other, tmp_path / "w.ckpt", strict=strict)
        assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


@every_model
def test_a_frozen_encoder_stays_as_it_is(worded, module: ModuleType):
    model = built(module, worded(), freeze=True).train()
    before = {name: tensor.clone() for name, tensor in model.network.encoder.state_dict().items()}
    output = model(torch.rand(2, 3, *SIZE), SEVERAL)
    logits_of(output).square().mean().backward()
    assert all(p.grad is None and not p.requires_grad for p in model.network.encoder.parameters())
    assert all(p.grad is not None for p in model.network.decoder.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.encoder.state_dict().items())
    free = built(module, worded()).train()
    free(torch.rand(2, 3, *SIZE), SEVERAL)
    assert any("num_batches" in name and tensor == 1 for name, tensor in free.state_dict().items())


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (show_and_tell, {"beam": 0}, "Expected `beam` to be 1 or more, but got 0"),
        (vanilla_rnn, {"longest": 0}, "Expected `longest` to be 1 or more, but got 0"),
        (show_attend_tell, {"length_penalty": -0.5}, "Expected `length_penalty` to be 0 or more, but got -0.5"),
        (transformer_captioner, {"width": 30}, "a multiple of 4 and of `heads`.*but got width 30, heads 2"),
        (transformer_captioner, {"layers": 0}, "layers 0"),
        (show_and_tell, {"stride": 7}, "Expected `stride` to be one of"),
    ],
)
def test_mistakes_are_named(worded, module: ModuleType, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        built(module, worded(), **options)


@pytest.mark.parametrize("module", [*LEARNING, prior])
def test_a_dataset_without_words(make_info, module: ModuleType):
    with pytest.raises(ValueError, match="Expected a dataset with a vocabulary, but made_up has none"):
        module.build(make_info(size=SIZE))


@torch.no_grad()
def test_show_attend_tell_is_the_papers_equations(worded):
    """Xu et al., sections 3.1.2 and 4.2, for one image and one caption, place by place and gate by gate."""
    model = built(show_attend_tell, worded(), seed=4).eval()
    d = model.network.decoder
    maps, caption = torch.randn(1, d.place.in_features, 2, 3), [BEGIN, 4, 9, 7]
    logits = d(maps, torch.tensor([[[*caption, END]]]))[0, 0]
    places = [maps[0, :, row, column] for row in range(2) for column in range(3)]
    mean = sum(places) / 6
    h, c = torch.tanh(d.first_h(mean)), torch.tanh(d.first_c(mean))
    memory, state = d.begin(maps)
    for token, found in zip(caption, logits, strict=True):
        energies = [float(d.weight(torch.tanh(d.place(a) + d.query(h)))) for a in places]
        alpha = [math.exp(e) / sum(map(math.exp, energies)) for e in energies]
        beta = float(torch.sigmoid(d.gate(h)))
        z = beta * sum(weight * a for weight, a in zip(alpha, places, strict=True))
        word = d.embedding.weight[token]
        gates = d.cell.weight_ih @ torch.cat([word, z]) + d.cell.bias_ih + d.cell.weight_hh @ h + d.cell.bias_hh
        i, f, g, o = gates.chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        torch.testing.assert_close(found, d.output(word + d.told(h) + d.looked(z)))
        _, state, attention = d.step(torch.tensor([[token]]), state, memory)
        assert attention.flatten().tolist() == pytest.approx(alpha, abs=1e-6)


def test_unevenness_by_hand():
    """Two places. Caption 1, two tokens: sums 0.5 and 1.5, mean of squares 0.25. Caption 2, one token: 0.2 and 0.8,
    (0.64 + 0.04) / 2 = 0.34. The row of PAD counts for nothing, nor do weights at PAD.
    """
    weights = torch.tensor([[[0.1, 0.9], [0.4, 0.6]], [[0.2, 0.8], [0.9, 0.1]], [[0.5, 0.5], [0.5, 0.5]]])[None]
    captions = torch.tensor([[BEGIN, 4, END], [BEGIN, END, PAD], [PAD, PAD, PAD]])[None]
    assert float(unevenness(weights, captions)) == pytest.approx((0.25 + 0.34) / 2)


def test_sinusoids_are_vaswanis():
    """PE(pos, 2i) = sin(pos / 10000^(2i / d)), PE(pos, 2i + 1) = cos(the same)."""
    found = sinusoids(torch.arange(7), 6)
    for position in range(7):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert found[position, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert found[position, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def fitted(info: DatasetInfo, *batches: Tensor, longest: int = 20) -> nn.Module:
    model = prior.build(info, longest=longest)
    model.finalise([(torch.rand(len(of), 3, 4, 4), of) for of in batches], torch.Generator())
    return model


def test_the_prior_tells_the_most_common_caption(worded):
    model = fitted(worded(), rows((4, 5), (4, 6))[None], torch.stack([rows((4, 6), ()), rows((5,), (4, 8))]))
    found = model.generate(torch.rand(3, 3, 4, 4))
    assert found.tokens.tolist() == [[4, 6, END]] * 3
    assert found.log_probability.tolist() == pytest.approx([math.log(2 / 5)] * 3)
    assert found.attention is None
    assert list(model.parameters()) == []
    # 9 words and 5 ENDs: a 4 times, cat (6) twice.
    shares = model(torch.rand(1, 3, 4, 4), rows((4, 5))[None])[0, 0].softmax(dim=-1)
    assert shares.shape == (3, 12)
    assert shares[0, [4, 6, END, 7]].tolist() == pytest.approx([4 / 14, 2 / 14, 5 / 14, 0])


def test_of_equally_common_captions_that_of_the_commonest_words(worded):
    """All four once; 4, 9 and 10 occur twice, the others once: 10, 9 is made of the commonest."""
    assert fitted(worded(), rows((4, 7), (10, 9), (9, 8), (10, 4, 6))[None]).tokens[:3].tolist() == [10, 9, END]
    assert fitted(worded(), rows((7, 6), (6, 7), (8, 9))[None]).tokens[:3].tolist() == [6, 7, END]


def test_captions_with_unknown_words_or_too_many_are_told_only_where_there_are_no_others(worded):
    strange = rows((4, UNKNOWN), (4, UNKNOWN), (4, 5, 6, 7), (4, 5, 6, 7), (8,))[None]
    assert fitted(worded(), strange, longest=3).tokens.tolist() == [8, END, PAD, PAD]
    assert fitted(worded(), rows((4, UNKNOWN, 5), (4, UNKNOWN, 5), (6, UNKNOWN))[None]).tokens[:3].tolist() == [
        4,
        5,
        END,
    ]
    assert fitted(worded(), rows((4, 5, 6, 7))[None], longest=3).tokens.tolist() == [4, 5, 6, END]
    with pytest.raises(ValueError, match="Expected captions in the train split"):
        fitted(worded(), rows((), (), (4,))[None, :2])


def test_a_fitted_prior_loads_into_a_fresh_one(worded, tmp_path):
    model = fitted(worded(), rows((4, 5), (4, 6), (4, 6))[None])
    torch.save(model.state_dict(), tmp_path / "prior.pt")
    fresh = prior.build(worded())
    assert fresh.generate(torch.rand(1, 3, 4, 4)).tokens.tolist() == [[END]]
    assert load_weights(fresh, tmp_path / "prior.pt", strict=True) == []
    assert fresh.generate(torch.rand(1, 3, 4, 4)).tokens.tolist() == [[4, 6, END]]


def test_the_encoder_takes_a_classifiers_file(worded, tmp_path):
    source, other = built(show_and_tell, worded(), seed=1), built(show_and_tell, worded(), seed=2)
    torch.save(source.network.encoder.body.state_dict(), tmp_path / "encoder.pt")
    rest = {name: tensor.clone() for name, tensor in other.network.decoder.state_dict().items()}
    load_backbone(other, tmp_path / "encoder.pt")
    images = torch.rand(2, 3, *SIZE)
    assert torch.equal(source.network.encoder.eval()(images), other.network.encoder.eval()(images))
    assert all(torch.equal(tensor, rest[name]) for name, tensor in other.network.decoder.state_dict().items())
