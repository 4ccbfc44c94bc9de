"""attention_scores: the inputs of softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from case import Case
from cases import CASE, CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits

import heedful
import reference

NO_PART_OF_THE_SCORES = (
    "top_k", "dropout_p", "key_dropout_p", "gumbel_temperature", "rng", "sink",
)  # fmt: skip


def options_of_scores(options: dict[str, Any]) -> dict[str, Any]:
    return {name: option for name, option in options.items() if name not in NO_PART_OF_THE_SCORES}


# value takes part in broadcasting the leading axes, which scores do not depend on
WITH_OWN_BATCH = [case for case in CASES if not case.batches]


@pytest.mark.parametrize("case", WITH_OWN_BATCH, ids=str)
def test_scores_agree_with_the_reference(case: Case) -> None:
    call = case.draw(np.float32)
    exact = call.run(reference.attention)
    plain = call.run(reference.attention, dtype=np.float32)
    scores = heedful.attention_scores(call.query, call.key, **options_of_scores(call.options))
    assert scores.dtype == np.float32
    assert_as_accurate_as_numpy(scores, plain.scores, exact.scores, "scores")


@pytest.mark.parametrize("name", ["vit", "bias_and_mask", "everything", "decode_split"])
def test_scores_of_16_bit_inputs_are_float32(name: str, dtype: np.dtype[Any]) -> None:
    call = CASE[name].draw(dtype)
    scores = heedful.attention_scores(call.query, call.key, **options_of_scores(call.options))
    assert scores.dtype == (np.float64 if dtype == np.float64 else np.float32)
    exact = call.run(reference.attention)
    hidden = exact.scores == -np.inf
    np.testing.assert_array_equal(scores == -np.inf, hidden)
    np.testing.assert_allclose(scores[~hidden], exact.scores[~hidden], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "bias_and_mask", "causal_past_tiles", "lengths"])
def test_softmax_of_the_scores_is_attention(name: str) -> None:
    call = CASE[name].draw()
    scores = heedful.attention_scores(call.query, call.key, **call.options)
    out, lse = call.run(heedful.attention, return_lse=True)
    weights = np.exp(scores - np.where(lse == -np.inf, 0, lse)[..., None])
    group = call.query.shape[-3] // call.value.shape[-3]
    value = np.repeat(call.value, group, axis=-3)
    np.testing.assert_allclose(weights @ value, out, rtol=1e-12, atol=1e-13)


def test_scores_of_two_axes_and_of_one(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
    np.testing.assert_allclose(heedful.attention_scores(query, key), query @ key.T / 2, rtol=1e-14)
    one = heedful.attention_scores(query[0], key)
    assert one.shape == (5,)
    np.testing.assert_allclose(one, key @ query[0] / 2, rtol=1e-14)


@pytest.mark.parametrize("name", ["everything", "decode_with_everything", "past_one_key_tile"])
def test_scores_in_layout_blhd_have_the_same_axes(name: str) -> None:
    call = CASE[name].draw(np.float32)
    options = options_of_scores(call.options)
    query, key = (array.swapaxes(1, 2) for array in (call.query, call.key))
    scores = heedful.attention_scores(query, key, **options, layout="blhd")
    assert_same_bits(scores, heedful.attention_scores(call.query, call.key, **options))
