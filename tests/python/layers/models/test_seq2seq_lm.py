"""Seq2SeqLM beside plain NumPy: padding, caches, generation, training, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import seq2seq_reference
from numpy.typing import NDArray

import heedful
from heedful.explain import guide, watch
from heedful.layers import Seq2SeqLayer, Seq2SeqLM, Seq2SeqStack, stream
from heedful.testing import gradcheck
from heedful.training import Adam, load_weights, save_weights

Array = NDArray[Any]
SIZES: dict[str, Any] = {"vocabulary": 13, "d_model": 12, "num_heads": 3, "num_layers": 2,
                         "dff": 11, "head_dim": 5, "num_buckets": 8, "max_distance": 6}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "t5": {"logit_scale": 12**-0.5},
    "t5_1_1": {"tied": False, "gated": True, "activation": "gelu_tanh"},
    "more_layers": {"num_decoder_layers": 3},
}
MASK = np.array([[1] * 9, [0, 0, 0, 1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 1, 0, 0, 0, 0]], np.bool_)
TARGET_MASK = np.arange(6) < np.array([[2], [6], [5]])


def drawn(model: Any, seed: int = 3) -> Any:
    """Every parameter random: zeros and ones would hide mistakes."""
    rng = np.random.default_rng(seed)
    for array in model.parameters().values():
        array[...] = rng.standard_normal(array.shape) * (0.4 if array.ndim > 1 else 0.8)
    return model


def made(case: str = "t5", **options: Any) -> Any:
    return drawn(Seq2SeqLM(**{**SIZES, **CASES[case], "dtype": np.float64, **options}, rng=0))


def texts() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 13, (3, 9)), rng.integers(0, 13, (3, 6))


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_plain_numpy(case: str) -> None:
    model, (tokens, target) = made(case), texts()
    expected = seq2seq_reference.seq2seq_lm(
        model.state_dict(), tokens, target, 3, mask=MASK, target_mask=TARGET_MASK, max_distance=6,
        logit_scale=model.logit_scale,
    )  # fmt: skip
    logits = model(tokens, target, mask=MASK, target_mask=TARGET_MASK)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-12)


def test_lengths_and_lists_are_masks_of_the_first_tokens() -> None:
    model, (tokens, target) = made(), texts()
    lengths, target_lengths = np.array([9, 4, 1]), np.array([2, 6, 5])
    mask = np.arange(9) < lengths[:, None]
    expected = model(tokens, target, mask=mask, target_mask=TARGET_MASK)[TARGET_MASK]
    found = model(tokens, target, lengths=lengths, target_lengths=target_lengths)
    np.testing.assert_allclose(found[TARGET_MASK], expected, rtol=0, atol=1e-13)
    lists = [row[:length] for row, length in zip(tokens, lengths, strict=True)]
    wanted = [row[:length] for row, length in zip(target, target_lengths, strict=True)]
    np.testing.assert_allclose(model(lists, wanted)[TARGET_MASK], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_finite_differences(case: str) -> None:
    model, (tokens, target) = made(case), texts()
    names = [
        "encoder.position_bias.weight", "decoder.position_bias.weight", "encoder.embedding.weight",
        "decoder.layers.0.multihead_attn.in_proj_weight",
    ]  # fmt: skip

    def function(*given: Array) -> tuple[Array, Any]:
        for name, array in zip(names, given, strict=True):
            model.parameters()[name][...] = array
        y, backward = model.forward(tokens, target, mask=MASK, target_mask=TARGET_MASK)

        def pullback(dy: Array) -> list[Array]:
            model.zero_grad()
            backward(dy)
            return [model.grads[name].copy() for name in names]

        return y, pullback

    given = [model.parameters()[name].copy() for name in names]
    assert gradcheck(function, *given, samples=9, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_steps_with_caches_compute_what_one_call_does(case: str) -> None:
    model, (tokens, target) = made(case), texts()
    memory, caches = model.encode(tokens, mask=MASK), model.decoder.new_caches()
    y = [
        model.decoder(target[:, part], memory, memory_mask=MASK, caches=caches)
        for part in np.split(np.arange(6), [2, 3, 5])
    ]
    expected = model(tokens, target, mask=MASK)
    np.testing.assert_allclose(model.logits(np.concatenate(y, 1)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("padded", [3, 5])  # to the longest, and further
def test_targets_of_different_lengths_go_on_from_their_own_positions(padded: int) -> None:
    model, (tokens, target) = made(), texts()
    memory, caches = model.encode(tokens), model.decoder.new_caches()
    lengths = np.array([1, 3, 2])
    first = model.decoder(target[:, :padded], memory, lengths=lengths, caches=caches)
    more = [3, 2, 3]
    y = model.decoder(target[:, 3:], memory, lengths=more, caches=caches)
    for item, (before, after) in enumerate(zip(lengths, more, strict=True)):
        row = np.concatenate([target[item, :before], target[item, 3 : 3 + after]])
        alone = model.decoder(row[None], memory[item : item + 1])[0]
        np.testing.assert_allclose(first[item, :before], alone[:before], rtol=0, atol=1e-12)
        np.testing.assert_allclose(y[item, :after], alone[before:], rtol=0, atol=1e-12)


def test_targets_of_different_lengths_begin_together() -> None:
    model, (tokens, target) = made(), texts()
    prompts = [target[0, :1], target[1, :4], target[2, :2]]
    logits = model.steps(tokens).start(prompts)
    for item, prompt in enumerate(prompts):
        alone = model(tokens[item : item + 1], prompt[None])[0, -1]
        np.testing.assert_allclose(logits[item], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_texts_together_are_continued_as_alone(options: dict[str, Any]) -> None:
    model, (tokens, _) = made(stop=4), texts()
    found = model.generate(tokens, mask=MASK, max_length=8, **options)
    assert len(found) == 3
    for row, kept, target in zip(tokens, MASK, found, strict=True):
        assert 4 not in target
        alone = model.generate(row[None], mask=kept[None], max_length=8, **options)[0]
        assert target.tolist() == alone.tolist()


def test_generation_takes_the_most_probable_token_each_time() -> None:
    model, (tokens, _) = made(start=3), texts()
    found = model.generate(tokens, max_length=6)
    for row, target in zip(tokens, found, strict=True):
        written = [3]
        for _ in range(6):
            written.append(int(model(row[None], [written])[0, -1].argmax()))
        assert target.tolist() == written[1:]
    steps = model.steps(tokens[:1])
    assert list(stream(steps, [model.start], max_length=6)) == found[0].tolist()
    assert model.generate([]) == []
    model.stop = (int(found[0][2]),)
    assert model.generate(tokens[:1], max_length=6)[0].tolist() == found[0][:2].tolist()
    assert model.generate(tokens[:1], max_length=6, stop=())[0].tolist() == found[0].tolist()


@pytest.mark.parametrize("kind", ["paged", "int8"])
def test_other_caches_generate(kind: str) -> None:
    model, (tokens, _) = made(dtype=np.float32), texts()
    cache = heedful.KVCache(kind="paged") if kind == "paged" else heedful.KVCache(dtype="int8")
    plain = [row.tolist() for row in model.generate(tokens, max_length=5)]
    assert [row.tolist() for row in model.generate(tokens, max_length=5, cache=cache)] == plain


def test_guidance_is_of_the_text() -> None:
    model, (tokens, _) = made(), texts()
    guidance = guide(list("abcdefghi"), attract="d", strict=True)
    with watch(model) as seen:
        model.generate(tokens[:1], max_length=3, guidance=guidance)
    across = seen["decoder.layers.1.multihead_attn"]
    np.testing.assert_allclose(across[..., 3], 1)
    assert np.ptp(seen["decoder.layers.0.self_attn"]) > 0


def test_weights_are_returned_for_every_attention() -> None:
    model, (tokens, target) = made(), texts()
    y, weights = model(tokens, target, return_weights=True)
    np.testing.assert_array_equal(y, model(tokens, target))
    assert [one.shape[-2:] for one in weights] == [(9, 9)] * 2 + [(6, 6), (6, 9)] * 2
    # of the first layer, from its own parameters
    layer = model.encoder.layers[0]
    x = seq2seq_reference.rms(layer.norm1.weight, model.encoder.embedding.weight[tokens], 1e-6)
    q, k, _ = np.split(x @ layer.self_attn.in_proj_weight.T, 3, -1)
    q, k = (rows.reshape(3, 9, 3, 5).swapaxes(1, 2) for rows in (q, k))
    scores = q @ k.swapaxes(-1, -2) + model.encoder.position_bias(9, 9)
    expected = np.exp(scores - scores.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights[0], expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_a_model_learns_to_reverse_texts() -> None:
    """Positions are known from the bias alone."""
    rng = np.random.default_rng(0)
    model = Seq2SeqLM(12, 32, 4, 2, 64, num_buckets=16, max_distance=20, gated=True,
                      activation="gelu", logit_scale=32**-0.5, rng=0)  # fmt: skip
    tokens = rng.integers(2, 12, (800, 3))
    target = tokens[:, ::-1]
    given = np.concatenate([np.zeros((800, 1), int), target[:, :-1]], 1)
    model.compile(Adam(lr=3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = {name: array.copy() for name, array in model.parameters().items()}
    history = model.fit({"tokens": tokens, "target": given}, target, epochs=8, batch_size=16,
                        verbose=False, rng=0)  # fmt: skip
    assert history["accuracy"][-1] > 0.8
    for name in ("encoder.position_bias.weight", "decoder.position_bias.weight"):
        assert np.abs(model.parameters()[name] - before[name]).max() > 0.05
    found = model.generate(tokens[:200], max_length=3)
    same = [row.tolist() == wanted.tolist() for row, wanted in zip(found, target, strict=False)]
    assert np.mean(same) > 0.5  # by chance 0.001; 0.69 to 0.76 by the last bits of the weights


def test_int8_and_saved_weights(tmp_path: Any) -> None:
    model, (tokens, target) = made(dtype=np.float32), texts()
    exact = model(tokens, target)
    save_weights(model, tmp_path / "weights.safetensors")
    other = Seq2SeqLM(**SIZES, **CASES["t5"], rng=5)
    load_weights(other, tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(other(tokens, target), exact)
    close = other.quantize()(tokens, target)
    assert 0 < np.abs(close - exact).max() < 0.1 * np.abs(exact).max()


def test_what_cannot_be_is_refused() -> None:
    model, (tokens, target) = made(), texts()
    with pytest.raises(ValueError, match="stop must be tokens, from 0 on: got"):
        made(stop=[3, -1])
    with pytest.raises(ValueError, match="memory must be given to a decoder's layer: got None"):
        model.decoder(target)
    with pytest.raises(ValueError, match="memory must be None in an encoder's layer"):
        model.encoder(tokens, np.ones((3, 4, 12)))
    with pytest.raises(TypeError, match="cache must be None in an encoder's layer"):
        Seq2SeqLayer(12, 3, 5)(np.ones((3, 4, 12)), cache=model.decoder.new_caches()[0])
    with pytest.raises(ValueError, match="mask must be None with caches: write lengths"):
        model.decoder(
            target, model.encode(tokens), mask=TARGET_MASK, caches=model.decoder.new_caches()
        )
    with pytest.raises(ValueError, match=r"target_mask must have shape \(3, 6\): got \(3, 9\)"):
        model(tokens, target, target_mask=MASK)
    with pytest.raises(ValueError, match=r"tokens must have shape \(B, M\): got \(9,\)"):
        model.generate(tokens[0])
    with pytest.raises(ValueError, match="embedding must have 9 vectors of width 12"):
        Seq2SeqStack(9, 12, 3, 1, 5, embedding=model.encoder.embedding)
