"""Schedules, encoders and calls that PrunedEncoder refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prunable_encoder import B, E, L, made

from heedful.layers import Encoder, Linear
from heedful.pruning import PrunedEncoder


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.standard_normal((B, L, E))


ENCODER = made()
WRONG: list[tuple[Any, Any, type[Exception], str]] = [
    (Linear(2, 2), [1], TypeError, "encoder must be an Encoder: got Linear(2, 2)"),
    (made(causal=True), [3, 2, 1], ValueError, "encoder must not be made with causal"),
    (made(alibi=True), [3, 2, 1], ValueError, "encoder must not be made with alibi"),
    (made(normalizer="sparsemax"), [3, 2, 1], ValueError, "encoder must have softmax over all"),
    (made(adaptive_span=4), [3, 2, 1], ValueError, "encoder must have softmax over all keys"),
    (Encoder(1, 12, 3, 8, rotary=True), [3], ValueError, "encoder must not be made with rotary"),
    (ENCODER, None, TypeError, "keep must be a list with one for each of 3 layers: got None"),
    (ENCODER, 5, TypeError, "keep must be a list with one for each layer: got 5"),
    (ENCODER, [5, 4], ValueError, "keep must have one for each of 3 layers: got 2"),
    (ENCODER, [5, 4, 3, 2], ValueError, "keep must have one for each of 3 layers: got 4"),
    (ENCODER, [5, 4, 0], ValueError, "keep must be at least 1: got 0"),
    (ENCODER, [5, 4, -1], ValueError, "keep must be at least 1: got -1"),
    (ENCODER, [5, 4, 6], ValueError, "keep must not grow: got 6 after 4"),
    (ENCODER, [0.5, 0.2, 0.3], ValueError, "keep must not grow: got 0.3 after 0.2"),
    (ENCODER, [0.5, 0.2, 0.0], ValueError,
     "keep must keep a token, a fraction above 0 and at most 1: got 0.0"),
    (ENCODER, [1.5, 0.2, 0.1], ValueError, "keep must keep a token, a fraction above 0"),
    (ENCODER, [float("nan"), 0.2, 0.1], ValueError, "keep must keep a token, a fraction above 0"),
    (ENCODER, [5, 0.5, 0.2], TypeError, "keep must be all integers, or all fractions: got"),
    (ENCODER, ["a", "b", "c"], TypeError, "keep must be a number: got 'a'"),
    (ENCODER, [True, True, True], TypeError, "keep must be a number: got True"),
]  # fmt: skip


@pytest.mark.parametrize(("encoder", "keep", "kind", "message"), WRONG)
def test_a_schedule_or_an_encoder_that_does_not_fit_is_refused(
    encoder: Any, keep: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        PrunedEncoder(encoder, keep)
    assert type(caught.value) is kind
    assert message in str(caught.value)


def test_an_encoder_with_a_layer_of_the_user_s_is_refused() -> None:
    whole = made()
    whole.layers[1] = Linear(E, E)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="encoder must have layers EncoderLayer with a MultiHead"):
        PrunedEncoder(whole, [3, 2, 1])


CALLS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": np.ones((L, E))}, ValueError, "x must have shape (B, L, 12): got (11, 12)"),
    ({"x": np.ones((B, L, 5))}, ValueError, "x must have 12 elements in its last axis"),
    ({"kv_lengths": [1, 2]}, ValueError, "kv_lengths must have"),
    ({"kv_lengths": [1, 2, 3, 12]}, ValueError, "kv_lengths must lie between 0 and 11: got 12"),
    ({"kv_lengths": ["a"] * 4}, TypeError, "kv_lengths must be integers"),
    ({"mask": np.ones((L, L), bool)}, ValueError,
     "mask must be the same for all heads and queries, (4, 1, 1, 11): got shape (11, 11)"),
    ({"mask": np.ones((B, 1, 1, 5), bool)}, ValueError, "mask must be the same for all heads"),
    ({"mask": np.zeros((B, 1, 1, L))}, TypeError, "mask must be boolean, True where a token"),
    ({"causal": True}, TypeError, "PrunedEncoder takes x, mask, kv_lengths, return_positions"),
    ({"return_positions": 1}, TypeError, "return_positions must be True or False: got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "kind", "message"), CALLS)
def test_a_call_that_does_not_fit_is_refused(
    options: dict[str, Any], kind: type[Exception], message: str, x: Any
) -> None:
    layer = PrunedEncoder(made(), [8, 5, 3])
    for call in (layer, layer.forward):
        with pytest.raises(kind) as caught:
            call(**{"x": x, **options})
        assert message in str(caught.value)
