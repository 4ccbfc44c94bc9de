"""exclude_self of layers: no query attends to its own position, without a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
from heedful import KVCache
from heedful import layers as L
from heedful.explain import watch
from heedful.testing import gradcheck

B, H, LENGTH, E = 2, 2, 7, 8
OTHERS = ~np.eye(LENGTH, dtype=bool)
LAYERS: dict[str, Any] = {
    "MultiHeadAttention": lambda **o: L.MultiHeadAttention(E, H, dtype=np.float64, rng=0, **o),
    "EncoderLayer": lambda **o: L.EncoderLayer(E, H, 8, 0.0, dtype=np.float64, rng=0, **o),
    "Encoder": lambda **o: L.Encoder(2, E, H, 8, 0.0, dtype=np.float64, rng=0, **o),
}
ADDITIVE_OPTIONS: list[dict[str, Any]] = [
    {}, {"sink": True, "alibi": True}, {"hard": True, "gumbel_temperature": 0.5},
    {"penalties": {"entropy": 0.1}},
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {}, {"num_kv_heads": 1, "sink": True, "rotary": True}, {"causal": True, "alibi": True},
    {"normalizer": "sparsemax"}, {"top_k": 2}, {"adaptive_span": 3, "span_ramp": 2.0},
    {"qk_norm": "l2", "softcap": 4.0},
]  # fmt: skip


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.standard_normal((B, LENGTH, E))


def test_the_heads_are_those_of_the_reference(x: Any) -> None:
    layer = LAYERS["MultiHeadAttention"](causal=True)
    inputs = [
        (x @ weight.T + bias).reshape(B, LENGTH, H, E // H).swapaxes(1, 2)
        for weight, bias in zip(
            np.split(layer.in_proj_weight, 3), np.split(layer.in_proj_bias, 3), strict=True
        )
    ]
    expected = reference.attention(*inputs, causal=True, exclude_self=True)
    heads = expected.out.swapaxes(1, 2).reshape(x.shape)
    y, found = layer(x, exclude_self=True, return_weights=True)
    np.testing.assert_allclose(y, heads @ layer.out_proj.weight.T + layer.out_proj.bias, rtol=1e-12)
    np.testing.assert_allclose(found, expected.weights, rtol=1e-12, atol=1e-15)
    assert not found[..., 0, :].any()  # the first query sees no other key


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_it_is_a_mask_without_the_diagonal(name: str, options: dict[str, Any], x: Any) -> None:
    layer = LAYERS[name](**options)
    y, backward = layer.forward(x, exclude_self=True)
    dx, found = backward(x), dict(layer.grads)
    layer.zero_grad()
    expected, expected_backward = layer.forward(x, mask=OTHERS)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dx, expected_backward(x), rtol=1e-9, atol=1e-12)
    for parameter, gradient in layer.grads.items():
        np.testing.assert_allclose(found[parameter], gradient, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(layer(x, exclude_self=True), expected, rtol=1e-9, atol=1e-12)
    assert np.abs(y - layer(x)).max() > 1e-4


@pytest.mark.parametrize("options", ADDITIVE_OPTIONS, ids=str)
def test_it_is_a_mask_without_the_diagonal_for_additive_attention(
    options: dict[str, Any], x: Any
) -> None:
    layer = L.AdditiveAttention(E, 5, dtype=np.float64, rng=0, **options)
    y, backward = layer.forward(x, exclude_self=True, rng=1)
    expected, expected_backward = layer.forward(x, mask=OTHERS, rng=1)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(backward(x), expected_backward(x), rtol=1e-9, atol=1e-12)
    with watch(layer) as seen, watch(layer, rows=[2, 6]) as some:
        y, weights = layer(x, exclude_self=True, return_weights=True)
    np.testing.assert_allclose(y, layer(x, mask=OTHERS), rtol=1e-9, atol=1e-12)
    assert not weights[:, np.eye(LENGTH, dtype=bool)].any()
    np.testing.assert_allclose(seen[""][:, 0], weights, rtol=1e-12)
    np.testing.assert_allclose(some[""][:, 0], weights[:, [2, 6]], rtol=1e-12)


def test_gradients_match_finite_differences(x: Any) -> None:
    layer = LAYERS["MultiHeadAttention"](num_kv_heads=1, sink=True)

    def function(given: Any) -> Any:
        y, backward = layer.forward(given, exclude_self=True)
        return y, lambda dy: (backward(dy),)

    assert gradcheck(function, x)


def test_noise_penalties_and_choices_are_of_the_other_keys(x: Any) -> None:
    for options in (
        {"penalties": {"entropy": 0.3}, "dropout": 0.3, "key_dropout": 0.2},
        {"gumbel_temperature": 0.5, "hard": True},
    ):
        layer, found = LAYERS["MultiHeadAttention"](**options), []
        for restriction in ({"exclude_self": True}, {"mask": OTHERS}):
            y, backward = layer.forward(x, rng=3, **restriction)
            found.append((y, backward(x), layer(x, **restriction)))
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_positions_of_another_sequence_are_given_by_align(x: Any) -> None:
    layer, rows = LAYERS["MultiHeadAttention"](), slice(3, 6)
    found = layer(x[:, rows], x, align=3, exclude_self=True)
    np.testing.assert_allclose(found, layer(x[:, rows], x, mask=OTHERS[rows]), rtol=1e-9)
    with pytest.raises(ValueError, match=r"align must be given .* and exclude_self is used"):
        layer(x[:, rows], x, exclude_self=True)


def test_steps_with_caches_are_those_of_the_whole(x: Any) -> None:
    encoder = LAYERS["Encoder"](causal=True, rotary=True)
    caches = [KVCache(), KVCache()]
    steps = [
        encoder(x[:, first:last], caches=caches, exclude_self=True)
        for first, last in ((0, 3), (3, 4), (4, 7))
    ]
    expected = encoder(x, exclude_self=True)
    np.testing.assert_allclose(np.concatenate(steps, 1), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"adaptive_span": 3}], ids=str)
def test_it_is_watched(options: dict[str, Any], x: Any) -> None:
    encoder = LAYERS["Encoder"](**options)
    with watch(encoder) as seen:
        encoder(x, exclude_self=True)
    for name in ("layers.0.self_attn", "layers.1.self_attn"):
        weights = seen[name]
        np.testing.assert_allclose(weights.sum(-1), 1)
        assert not np.diagonal(weights, axis1=-2, axis2=-1).any()


def test_only_true_and_false_are_taken(x: Any) -> None:
    for make in LAYERS.values():
        np.testing.assert_array_equal(make()(x, exclude_self=False), make()(x))
        for wrong in (1, 0, None, "yes"):
            with pytest.raises(TypeError, match="exclude_self must be True or False"):
                make()(x, exclude_self=wrong)


@pytest.mark.parametrize("mixer", ["linear", "gating", "mlp", "fourier"])
def test_mixers_without_scores_refuse_it(mixer: str, x: Any) -> None:
    layer = LAYERS["EncoderLayer"](mixer=mixer, max_length=LENGTH)
    layer(x, exclude_self=False)
    for call in (layer, layer.forward):
        with pytest.raises(ValueError, match=r"^exclude_self must be False, .* has no scores of"):
            call(x, exclude_self=True)
