"""One word in a model's constructor replaces attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful import layers as L
from heedful.layers.models._language_model import LanguageSteps

X = np.random.default_rng(0).standard_normal((3, 5, 6)).astype(np.float32)
KINDS: dict[str, type[L.Layer]] = {
    "attention": L.MultiHeadAttention, "linear": L.LinearAttention, "gating": L.SpatialGating,
    "mlp": L.TokenMixing, "fourier": L.FourierMixing,
}  # fmt: skip
TOKENS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize("mixer", KINDS)
def test_the_word_names_the_layer(mixer: str) -> None:
    made = L.EncoderLayer(6, 2, 13, mixer=mixer, max_length=9)
    assert type(made.self_attn) is KINDS[mixer]
    stack = L.Encoder(2, 6, 2, 13, mixer=mixer, max_length=9)
    assert [type(layer.self_attn) for layer in stack.layers] == [KINDS[mixer]] * 2
    bert = L.BertEncoder(11, 6, 2, 1, 13, 9, mixer=mixer)
    assert type(bert.encoder.layers[0].self_attn) is KINDS[mixer]


@pytest.mark.parametrize("mixer", KINDS)
def test_a_layer_is_that_mixer_between_residuals_and_norms(mixer: str) -> None:
    made = L.EncoderLayer(6, 2, 13, 0.0, norm_first=True, mixer=mixer, max_length=9, rng=0)
    options: dict[str, Any] = {"kv_lengths": [5, 3, 1]}
    mixed = X + made.self_attn(made.norm1(X), **options)
    expected = mixed + made.linear2(made.linear1(made.norm2(mixed)))
    np.testing.assert_allclose(made(X, **options), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mixer", KINDS)
def test_options_reach_the_mixer(mixer: str) -> None:
    made = L.EncoderLayer(6, 2, 13, 0.3, bias=False, mixer=mixer, max_length=9, dtype="float64")
    inner = made.self_attn
    assert inner.dtype == np.float64
    assert not any(name.endswith("proj.bias") for name in inner.parameters())
    rates = [getattr(one, "rate", one) for one in [getattr(inner, "dropout", 0.3)]]
    assert rates == [0.3]
    if mixer in ("attention", "linear"):
        grouped = L.EncoderLayer(12, 6, 13, num_kv_heads=2, mixer=mixer)
        assert grouped.self_attn.num_kv_heads == 2
    if mixer in ("attention", "linear", "gating"):
        causal = L.Encoder(1, 6, 2, 13, 0.0, causal=True, mixer=mixer, max_length=9, rng=0)
        changed = X.copy()
        changed[:, 3:] += 1
        np.testing.assert_allclose(causal(X)[:, :3], causal(changed)[:, :3], atol=1e-6)


@pytest.mark.parametrize("mixer", KINDS)
def test_padding_does_not_matter(mixer: str) -> None:
    model = L.BertEncoder(11, 6, 2, 2, 13, 9, mixer=mixer, rng=0)
    short, padded = model(TOKENS), np.pad(TOKENS, ((0, 0), (0, 3)), constant_values=9)
    found = model(padded, lengths=[4, 4])
    np.testing.assert_allclose(found[:, :4], short, rtol=1e-4, atol=1e-6)
    masked = model(padded, mask=np.arange(7) < np.array([[4], [4]]))
    np.testing.assert_allclose(masked[:, :4], short, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mixer", KINDS)
def test_every_mixer_learns(mixer: str) -> None:
    """Which of three places holds the larger number: no position can tell alone."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((256, 3, 1)).astype(np.float32)
    y = x[..., 0].argmax(-1)
    model = L.Sequential(
        L.Linear(1, 16, rng=2), L.LearnedPositions(3, 16, rng=3),
        L.EncoderLayer(16, 2, 32, 0.0, norm_first=True, mixer=mixer, max_length=3, rng=4),
        L.Flatten(), L.Linear(48, 3, rng=5),
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.lr = 1e-2
    history = model.fit(x, y, epochs=8, verbose=False, rng=6)
    assert history["accuracy"][-1] > 0.85


@pytest.mark.parametrize("mixer", ["linear", "gating"])
def test_generation_equals_the_whole(mixer: str) -> None:
    model = L.LanguageModel(31, 16, 4, 2, max_length=32, mixer=mixer, dtype="float64", rng=1)
    for parameter in model.parameters().values():
        parameter *= 2
    prompts = [np.array([1, 2, 3]), np.array([7]), np.array([9, 8, 7, 6, 5])]
    steps = LanguageSteps(model)
    sequences, scores = [list(prompt) for prompt in prompts], steps.start(prompts)
    order = np.array([2, 0, 1, 0])
    for count in range(6):
        for row, sequence in zip(scores, sequences, strict=True):
            np.testing.assert_allclose(row, model([sequence])[0, -1], rtol=1e-8, atol=1e-10)
        if count == 3:  # as beam search does
            steps.reorder(order)
            sequences = [list(sequences[item]) for item in order]
        tokens = np.arange(len(sequences)) + count
        for sequence, token in zip(sequences, tokens, strict=True):
            sequence.append(int(token))
        scores = steps.step(tokens)


def test_a_transformer_of_linear_attention_generates_from_states() -> None:
    model = L.Transformer(12, 13, 16, 4, 2, 32, padding_idx=0, mixer="linear", rng=2)
    for parameter in model.parameters().values():
        parameter *= 2
    caches = model.decoder.new_caches()
    assert {type(one) for cache in caches for one in cache} == {L.LinearState}
    source = np.array([[3, 5, 7, 1], [2, 9, 0, 0]])
    written = model.generate(source, start=1, stop=2, max_length=12)
    beams = model.generate(source, start=1, stop=2, max_length=12, num_beams=2)
    assert len(beams) == 2
    for row, tokens in zip(source, written, strict=True):
        target = [1]
        while len(target) <= 12:
            best = int(model(row[None], [target])[0, -1].argmax())
            if best == 2:
                break
            target.append(best)
        assert tokens.tolist() == target[1:]


def test_the_caches_of_a_model_are_those_of_its_mixer() -> None:
    model = L.LanguageModel(11, 6, 2, 2, mixer="linear")
    assert {type(cache) for cache in model.new_caches()} == {L.LinearState}
    dense = L.LanguageModel(11, 6, 2, 2)
    with pytest.raises(TypeError, match="caches must hold a KVCache for each layer"):
        dense([[1, 2]], caches=model.new_caches())
    with pytest.raises(TypeError, match="caches must hold a LinearState for each layer"):
        model([[1, 2]], caches=dense.new_caches())


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda: L.EncoderLayer(6, 2, mixer="softmax"), ValueError, "mixer must be 'attention' or"),
        (lambda: L.EncoderLayer(6, 2, mixer=3), TypeError, "mixer must be 'attention' or"),
        (lambda: L.EncoderLayer(6, 2, mixer="gating"), ValueError,
         "max_length must be given with mixer='gating': got None"),
        (lambda: L.Encoder(1, 6, 2, mixer="mlp"), ValueError, "max_length must be given with"),
        (lambda: L.EncoderLayer(6, 2, mixer="linear", scale=0.5), ValueError,
         "scale must be None with mixer='linear': got 0.5"),
        (lambda: L.EncoderLayer(6, 2, mixer="linear", sink=True), ValueError,
         "sink must be False with mixer='linear': got True"),
        (lambda: L.EncoderLayer(6, 2, mixer="fourier", num_kv_heads=1), ValueError,
         "num_kv_heads must be None with mixer='fourier': got 1"),
        (lambda: L.EncoderLayer(6, 2, mixer="fourier", causal=True), ValueError,
         "causal must be False with mixer='fourier': got True"),
        (lambda: L.EncoderLayer(6, 2, mixer="mlp", max_length=5)(X, causal=True), ValueError,
         "causal must be False, token mixing"),
        (lambda: L.EncoderLayer(6, 2, mixer="mlp", max_length=4)(X), ValueError,
         "x must have at most max_length=4 positions"),
        (lambda: L.DecoderLayer(6, 2, mixer="gating"), ValueError,
         "mixer must be 'attention' or 'linear': got 'gating'"),
        (lambda: L.EncoderDecoder(6, 2, 1, 1, mixer="fourier"), ValueError,
         "mixer must be 'attention' or 'linear': got 'fourier'"),
        (lambda: L.Transformer(9, 9, 6, 2, 1, mixer="linear", positions="alibi"), ValueError,
         "positions must be added to x with mixer='linear': got 'alibi'"),
        (lambda: L.LanguageModel(9, 6, 2, mixer="linear", positions="rotary"), ValueError,
         "positions must be added to x with mixer='linear': got 'rotary'"),
        (lambda: L.LanguageModel(9, 6, 2, mixer="gating", window=3), ValueError,
         "window must be None with mixer='gating': got 3"),
        (lambda: L.LanguageModel(9, 6, 2, mixer="fourier"), ValueError,
         "mixer must be causal, one of 'attention', 'linear', 'gating': got 'fourier'"),
        (lambda: L.LanguageModel(9, 6, 2, 1, max_length=3, positions="sinusoidal",
                                 mixer="gating")([[1] * 4]), ValueError,
         "tokens must have at most max_length=3 positions"),
        (lambda: L.LanguageModel(9, 6, 2, 1, max_length=3, positions="sinusoidal",
                                 mixer="gating").generate([[1]], max_length=9), ValueError,
         "must not be longer than the model's 3 positions"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(wrong: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        wrong()
