"""CausalLM beside plain NumPy: every option of its layers, caches, masks, and what it refuses."""

from __future__ import annotations

from typing import Any

import causal_reference
import numpy as np
import pytest

from heedful.layers import CausalLayer, CausalLM, RotaryAngles, generate, stream

SIZES: dict[str, Any] = {"vocabulary": 13, "d_model": 12, "num_heads": 6, "num_layers": 3,
                         "dff": 11, "num_kv_heads": 2, "head_dim": 4}  # fmt: skip
# name: options of the model, and what the oracle is told
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "llama": ({}, {}),
    "base": ({"rotary": 50.0, "eps": 0.01}, {"base": 50.0, "eps": 0.01}),
    "no_positions": ({"rotary": False}, {"base": None}),
    "biased": ({"bias": True, "attention_bias": "qkv"}, {}),
    "qwen3": ({"qk_norm": "rms", "eps": 0.01}, {"eps": 0.01}),
    "windows": ({"window": [3, None, 1]}, {"windows": [3, None, 1]}),
    "gemma2": (
        {"norm_offset": 1.0, "post_norms": True, "softcap": 0.7, "logit_softcap": 0.9,
         "activation": "gelu_tanh", "embedding_scale": 30.0, "scale": 0.9, "tied": True},
        {"offset": 1.0, "softcap": 0.7, "logit_softcap": 0.9, "activation": "gelu_tanh",
         "embedding_scale": 30.0, "scale": 0.9},
    ),
}  # fmt: skip


def drawn(model: CausalLM, seed: int = 3) -> CausalLM:
    """Every parameter random: zeros and ones would hide mistakes."""
    rng = np.random.default_rng(seed)
    for array in model.parameters().values():
        array[...] = rng.standard_normal(array.shape) * (0.4 if array.ndim > 1 else 0.8)
    return model


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_plain_numpy(name: str) -> None:
    options, told = CASES[name]
    model = drawn(CausalLM(**SIZES, **options, dtype=np.float64, rng=0))
    tokens = np.random.default_rng(0).integers(0, 13, (2, 7))
    expected = causal_reference.causal_lm(model.state_dict(), tokens, 6, 2, **told)
    np.testing.assert_allclose(model(tokens), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_steps_with_caches_compute_what_one_call_does(name: str) -> None:
    model = drawn(CausalLM(**SIZES, **CASES[name][0], dtype=np.float64, rng=0))
    tokens = np.random.default_rng(0).integers(0, 13, (2, 7))
    caches = model.new_caches()
    steps = [model(tokens[:, part], caches=caches) for part in np.split(np.arange(7), [3, 4, 6])]
    np.testing.assert_allclose(np.concatenate(steps, 1), model(tokens), rtol=0, atol=1e-12)


def test_valid_tokens_are_found_wherever_the_mask_has_them() -> None:
    model = drawn(CausalLM(**SIZES, max_length=9, dtype=np.float64, rng=0))
    tokens = np.random.default_rng(0).integers(0, 13, (4, 7))
    mask = np.array([[1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0],
                     [0, 1, 0, 1, 1, 0, 1]])  # fmt: skip
    logits, states = model(tokens, mask=mask, hidden_states=True)
    assert len(states) == 4
    for row, kept in enumerate(mask.astype(bool)):
        alone, alone_states = model(tokens[row : row + 1, kept], hidden_states=True)
        np.testing.assert_allclose(logits[row, kept], alone[0], rtol=0, atol=1e-13)
        assert not logits[row, ~kept].any()
        for one, other in zip(states, alone_states, strict=True):
            np.testing.assert_allclose(one[row, kept], other[0], rtol=0, atol=1e-13)
    lists = [row[kept] for row, kept in zip(tokens, mask.astype(bool), strict=True)]
    ragged = model(lists)
    np.testing.assert_allclose(ragged[3, :4], logits[3, mask[3] == 1], rtol=0, atol=1e-13)


def test_generation_continues_with_the_most_probable_token_and_ends_at_stop() -> None:
    model = drawn(CausalLM(**SIZES, dtype=np.float64, rng=0))
    prompts = [[1, 2, 3], [4]]
    found = model.generate(prompts, max_length=6)
    for prompt, text in zip(prompts, found, strict=True):
        own = list(prompt)
        for _ in range(6):
            logits = causal_reference.causal_lm(model.state_dict(), np.array([own]), 6, 2)
            own.append(int(logits[0, -1].argmax()))
        assert text.tolist() == own
    first = int(found[0][3])
    model.stop = (first,)
    assert model.generate(prompts, max_length=6)[0].tolist() == prompts[0]
    assert model.generate(prompts, max_length=6, stop=())[0].tolist() == found[0].tolist()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="window must be one, or 3, one for each layer: got 2"):
        CausalLM(**SIZES, window=[1, 2])
    with pytest.raises(ValueError, match="norm_offset must be 0 with norm='layer': got 1"):
        CausalLM(**SIZES, norm="layer", norm_offset=1.0)
    model = CausalLM(**SIZES, rng=0)
    with pytest.raises(ValueError, match="lengths must be None with mask"):
        model([[1, 2]], lengths=[2], mask=[[1, 1]])
    with pytest.raises(ValueError, match=r"mask must have the shape \(B, L\) of tokens"):
        model([[1, 2]], mask=[[1, 1, 1]])
    with pytest.raises(TypeError, match="mask must be boolean, or 1 and 0"):
        model([[1, 2]], mask=[[0.0, -1e9]])
    with pytest.raises(ValueError, match=r"dy must have shape \(1, 2, 13\)"):
        model.forward([[1, 2]], mask=[[0, 1]])[1](np.ones((1, 1, 13)))
    with pytest.raises(ValueError, match="rotary needs an even number of features"):
        CausalLayer(9, 3, 8)
    with pytest.raises(ValueError, match="caches must"):
        model([[1, 2]], caches=[])


def test_a_failed_call_leaves_caches_as_they_were() -> None:
    model = CausalLM(**SIZES, rng=0)
    caches = model.new_caches()
    model([[1, 2]], caches=caches)
    with pytest.raises(ValueError, match="tokens must lie in"):
        model([[99]], caches=caches)
    assert {int(cache.lengths[0]) for cache in caches} == {2}


def test_angles_are_those_of_the_rule() -> None:
    model = CausalLM(**SIZES, rotary=RotaryAngles(rule="linear", factor=2.0), rng=0,
                     dtype=np.float64)  # fmt: skip
    drawn(model)
    tokens = np.random.default_rng(0).integers(0, 13, (1, 5))
    state = model.state_dict()
    half = causal_reference.rotated
    try:  # positions count half
        causal_reference.rotated = lambda x, base: _slower(x, base, 2.0)
        expected = causal_reference.causal_lm(state, tokens, 6, 2)
    finally:
        causal_reference.rotated = half
    np.testing.assert_allclose(model(tokens), expected, rtol=0, atol=1e-12)


def _slower(x: Any, base: float, factor: float) -> Any:
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[-2])[:, None] / factor * base ** (-np.arange(half) / half)
    pairs = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([pairs.real, pairs.imag], -1)


def test_generation_ends_at_the_model_s_own_tokens_however_it_is_called() -> None:
    model = CausalLM(13, 8, 2, 1, 16, rng=0)
    prompt = [1, 2]
    whole = generate(model, [prompt], max_length=9)[0].tolist()
    model.stop = (whole[5],)
    ended = whole[: whole.index(whole[5], 2)]
    for found in (generate(model, [prompt], max_length=9), model.generate([prompt], max_length=9)):
        assert found[0].tolist() == ended
    assert [*prompt, *stream(model, prompt, max_length=9)] == ended
    assert generate(model, [prompt], stop=(), max_length=9)[0].tolist() == whole


def test_a_step_that_fails_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CausalLM(13, 8, 2, 2, 16, rng=0)
    steps, other = model.generation_steps(), model.generation_steps()
    for one in (steps, other):
        one.start([np.array([1, 2, 3])])

    def fail(*_: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patched:  # after both layers have filled their caches
        patched.setattr(type(model.norm), "compute", fail)
        with pytest.raises(MemoryError):
            steps.step(np.array([4]))
    np.testing.assert_array_equal(steps.step(np.array([4])), other.step(np.array([4])))
