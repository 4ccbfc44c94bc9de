"""Additive attention: hidden keys, refused arguments, strides, memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import additive_reference as dense
import numpy as np
import pytest
from case import Call
from cases import CASE
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
HIDING = [
    "mask_padding", "mask_square", "mask_with_empty_rows", "bias_with_minus_infinity",
    "causal_wide", "causal_tall_at_the_end", "window_both", "lengths_past_a_tile",
]  # fmt: skip


def run(call: Call, weight: Array) -> list[Array]:
    (out, lse), pullback = heedful.additive_attention_vjp(
        *call.inputs, weight, **call.options, return_lse=True
    )
    gradients = pullback(call.dout, dlse=call.dlse)
    return [out, lse, *(gradient for gradient in gradients if gradient is not None)]


def weight_of(call: Call) -> Array:
    return np.linspace(-1, 2, call.key.shape[-1]).astype(call.key.dtype)


@pytest.mark.parametrize("plant", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", HIDING)
def test_keys_that_no_query_sees_may_hold_anything(
    name: str, plant: float, wide_dtype: np.dtype[Any]
) -> None:
    clean = CASE[name].draw(wide_dtype)
    shown = np.arange(clean.key.shape[-2]) < clean.key.shape[-2] - 5
    clean = replace(
        clean, options={**clean.options, "mask": clean.options.get("mask", True) & shown}
    )
    hidden = ~clean.run(reference.steps).allowed.any(-2)
    assert hidden.any()
    key, value = clean.key.copy(), clean.value.copy()
    key[hidden] = value[hidden] = plant
    planted = run(replace(clean, key=key, value=value), weight_of(clean))
    for result, expected in zip(planted, run(clean, weight_of(clean)), strict=True):
        assert_same_bits(result, expected)


@pytest.mark.parametrize("name", HIDING)
def test_what_some_queries_see_reaches_them_alone(name: str) -> None:
    call = CASE[name].draw(np.float64)
    allowed = call.run(reference.steps).allowed
    key = call.key.copy()
    key[..., 7, :] = np.nan
    clean, planted = run(call, weight_of(call)), run(replace(call, key=key), weight_of(call))
    sees = allowed[..., 7]
    for result, expected in zip(planted[:3], clean[:3], strict=True):  # out, lse, query
        assert np.isnan(result[sees]).all()
        assert_same_bits(result[~sees], expected[~sees])


def test_a_query_of_nan_spoils_its_own_row_alone(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((33, 19)), rng.standard_normal((29, 19))
    value, weight = rng.standard_normal((29, 3)), rng.standard_normal(19)
    clean = heedful.additive_attention(query, key, value, weight)
    query[20, 18] = np.nan
    out = heedful.additive_attention(query, key, value, weight)
    assert np.isnan(out[20]).all()
    rest = np.arange(33) != 20
    np.testing.assert_allclose(out[rest], clean[rest], rtol=1e-13)


def test_nothing_to_attend_gives_zeros() -> None:
    ones = np.ones((2, 1, 20, 5))
    (out, lse, weights), pullback = heedful.additive_attention_vjp(
        ones, ones, ones, np.ones(5), kv_lengths=[0, 20], return_lse=True, return_weights=True
    )
    assert not out[0].any()
    assert not weights[0].any()
    assert (lse[0] == -np.inf).all()
    np.testing.assert_allclose(lse[1], 5 * np.tanh(2) + np.log(20))
    gradients = pullback(out, dlse=np.ones_like(lse), dweights=np.ones_like(weights))
    for gradient in gradients[:3]:
        assert not gradient[0].any()
    for shapes in (((0, 5), (7, 5)), ((3, 5), (0, 5)), ((3, 0), (7, 0))):
        query, key = map(np.ones, shapes)
        out, pullback = heedful.additive_attention_vjp(
            query, key, np.ones((len(key), 2)), np.ones(key.shape[1])
        )
        np.testing.assert_array_equal(out, np.full((len(query), 2), float(len(key) > 0)))
        assert [gradient.shape for gradient in pullback(out)[:2]] == list(shapes)


@pytest.mark.parametrize("name", ["past_one_panel", "decode", "broadcast_leading_axes"])
def test_arrays_may_have_any_strides(name: str, wide_dtype: np.dtype[Any]) -> None:
    call = CASE[name].draw(wide_dtype)
    weight = weight_of(call)
    expected = run(call, weight)
    ways = [
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, -1)[..., ::2],
        lambda a: np.repeat(a, 3, -2)[..., ::3, :],
        lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
    ]
    for way in ways:
        laid = replace(call, query=way(call.query), key=way(call.key), value=way(call.value))
        laid_weight = way(np.stack([weight] * 2))[1]
        for result, plain in zip(run(laid, laid_weight), expected, strict=True):
            assert_same_bits(np.asarray(result, plain.dtype), plain)


def test_layout_out_lists_and_one_axis(rng: np.random.Generator) -> None:
    query, key, value = (rng.standard_normal((2, 3, n, 5)) for n in (17, 11, 11))
    weight = rng.standard_normal((3, 5))
    expected = heedful.additive_attention(query, key, value, weight)
    length_first = [array.swapaxes(1, 2) for array in (query, key, value)]
    out = np.empty((2, 17, 3, 5))
    assert heedful.additive_attention(*length_first, weight, layout="blhd", out=out) is out
    assert_same_bits(np.ascontiguousarray(out.swapaxes(1, 2)), expected)
    single = heedful.additive_attention([0, 1], [[1, 0], [0, 2]], [[1], [5]], [1, 2])
    scores = np.tanh([[1, 1], [0, 3]]) @ [1, 2]
    weights = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(single, [weights @ [1, 5]])
    mixed = heedful.additive_attention(
        query.astype("f"), key.astype("f"), value.astype("f"), weight
    )
    assert mixed.dtype == np.float32


ONES, W = np.ones((2, 3, 5)), np.ones(5)
REFUSED = [
    ((ONES, ONES, ONES, np.ones(4)), {}, ValueError,
     r"weight must have shape \(5,\), one element for each column of key, or \(2, 5\)"),
    ((ONES, ONES, ONES, np.ones((3, 5))), {}, ValueError, "weight must have shape"),
    ((ONES, ONES, ONES, np.ones(5, complex)), {}, TypeError, "weight must be of type"),
    ((ONES, ONES, ONES, None), {}, TypeError, "weight must be of type"),
    ((ONES, ONES[..., :4], ONES, W), {}, ValueError,
     "key and query must have the same depth: query has 5, key has 4"),
    ((ONES, ONES, ONES[:, :2], W), {}, ValueError,
     "value and key must have the same length"),
    ((ONES, ONES[:, :2], ONES[:, :2], W), {"causal": True}, ValueError,
     "align must be given"),
    ((ONES, ONES, ONES, W), {"mask": np.ones(3)}, TypeError, "mask must be boolean"),
    ((ONES, ONES, ONES, W), {"out": np.ones((2, 3, 4))}, ValueError,
     "out must have shape"),
    ((ONES, ONES, ONES, W), {"return_lse": 1}, TypeError,
     "return_lse must be True or False"),
    ((ONES, ONES, ONES, W), {"scale": 1.0}, TypeError, "unexpected keyword"),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "options", "kind", "message"), REFUSED)
@pytest.mark.parametrize("function", [heedful.additive_attention, heedful.additive_attention_vjp])
def test_is_refused_in_one_sentence(
    function: Any, arrays: Any, options: Any, kind: Any, message: str
) -> None:
    with pytest.raises(kind, match=message):
        function(*arrays, **options)


def test_out_is_not_the_weight_and_dweights_need_weights() -> None:
    out = np.ones((2, 3, 5))
    with pytest.raises(ValueError, match="it shares memory with weight"):
        heedful.additive_attention(ONES, ONES, ONES, out[0, 0], out=out)
    _, pullback = heedful.additive_attention_vjp(ONES, ONES, ONES, np.ones(5))
    with pytest.raises(ValueError, match="the call had no return_weights=True"):
        pullback(ONES, dweights=np.ones((2, 3, 3)))
    with pytest.raises(ValueError, match="dout must have shape"):
        pullback(ONES[:1])


def test_the_pullback_may_be_called_again(rng: np.random.Generator) -> None:
    query, key, value = rng.standard_normal((3, 20, 5))
    out, pullback = heedful.additive_attention_vjp(query, key, value, np.ones(5))
    for once, again in zip(pullback(out)[:4], pullback(out)[:4], strict=True):
        assert_same_bits(once, again)
    exact = dense.attention_backward(out[None], query[None], key[None], value[None], np.ones(5))
    np.testing.assert_allclose(pullback(out).weight, exact.weight, rtol=1e-10, atol=1e-12)


MEASURE = """
    import numpy as np
    import heedful

    def status(word):
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if word in line)

    heedful.set_num_threads(2)  # each has scratch of its own
    ones = np.ones((1, 1, 64, 48), np.float32)
    heedful.additive_attention_vjp(ones, ones, ones, ones[0, 0, 0])[1](ones)
    arrays = np.random.default_rng(0).standard_normal((4, 1, 1, 4096, 48), dtype=np.float32)
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the peak starts here
    out, pullback = heedful.additive_attention_vjp(*arrays[:3], ones[0, 0, 0])
    pullback(arrays[3])
    print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_array_of_all_pairs_exists() -> None:
    """Of 4096 queries, keys and 48 columns it would have 3.2 GB, the scores alone 67 MB."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 32 * 2**20
