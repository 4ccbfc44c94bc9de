"""numpy.errstate(all="raise") is for the user's own arithmetic: valid calls raise nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import heedful

TYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
RANDOM = "dropout_p", "key_dropout_p", "gumbel_temperature", "rng"
SIZES = ["ordinary", "tiny", "huge", "infinite"]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mask": {"mask": np.tri(5, 7, 1, dtype=bool)},
    "bias": {"bias": np.linspace(-1e300, 1e300, 35).reshape(5, 7)},
    "bias_tiny": {"bias": np.full((2, 1, 7), 1e-300)},
    "hidden": {"bias": np.full((5, 7), -np.inf)},
    "sink": {"sink": [-800.0, 800.0]},
    "sink_huge": {"sink": [1e300, -1e300]},
    "sink_tiny": {"sink": np.array([1e-7, 0], np.float16)},
    "alibi": {"alibi_slopes": [1e30, 1e-300], "align": "lower_right"},
    "softcap": {"softcap": 1e-40},
    "scale": {"scale": 1e-40},
    "dropout": {"dropout_p": 0.5, "rng": 3},
    "gumbel": {"gumbel_temperature": 0.01, "key_dropout_p": 0.5, "rng": 3},
    "lengths": {"q_lengths": [5, 0, 2], "kv_lengths": [0, 7, 1]},
}


@pytest.fixture(autouse=True)
def raises() -> Iterator[None]:
    with np.errstate(all="raise"):
        yield


@np.errstate(all="ignore")
def draw(size: str, dtype: Any, *shape: int) -> Any:
    """Values in the range of the type, mostly near one of its ends."""
    finfo = (ml_dtypes if dtype == ml_dtypes.bfloat16 else np).finfo(dtype)
    numbers = np.random.default_rng(len(size)).uniform(-1, 1, shape)
    if size == "tiny":
        numbers *= float(finfo.tiny)
    if size == "huge":
        numbers *= float(finfo.max)
    numbers = numbers.astype(dtype)
    if size == "infinite":
        numbers.flat[::7] = np.inf
        numbers.flat[3::11] = np.nan
    return numbers


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", OPTIONS)
def test_attention(name: str, size: str, dtype: Any) -> None:
    options = OPTIONS[name]
    query, key = draw(size, dtype, 3, 2, 5, 4), draw(size, dtype, 2, 7, 4)
    value = draw(size, dtype, 3, 2, 7, 6)
    heedful.attention(query, key, value, **options)
    (out, lse, weights), pullback = heedful.attention_vjp(
        query, key, value, return_lse=True, return_weights=True, **options
    )
    for dout in (out, draw("ordinary", dtype, *out.shape), draw("tiny", np.float64, *out.shape)):
        pullback(dout)
        pullback(dout, lse, weights)
        pullback(
            dout, draw("huge", np.float64, *lse.shape), draw("tiny", np.float64, *weights.shape)
        )
        heedful.attention_backward(dout, query, key, value, out, lse, dlse=lse, **options)
    heedful.merge_attention([out, out], [lse, draw("huge", np.float64, *lse.shape)])
    apart = {word: what for word, what in options.items() if word not in RANDOM}
    heedful.attention_scores(query, key, **apart)
    heedful.attention_weights(query, key, average_heads=True, **apart)
    heedful.attention_weights(query, key, rows=[0, 2], **apart)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_built_on_it(size: str, dtype: Any) -> None:
    x, query = draw(size, dtype, 3, 7, 6), draw(size, dtype, 6)
    y, pullback = heedful.attention_pool_vjp(x, query)
    pullback(y)
    y, pullback = heedful.attention_pool_vjp(x, query, key=x, return_weights=True)
    pullback(y[0], y[1])
    heedful.attention_pool(x, query, mask=draw("huge", np.float64, 7))
    heedful.multi_head_attention(x, x, x, num_heads=2)
    heedful.scaled_dot_product_attention(x, x, x, attn_mask=draw("huge", np.float64, 7))
    starts = [0, 3, 3, 7]
    tokens = draw(size, dtype, 7, 2, 4)
    out, back = heedful.attention_varlen_vjp(
        tokens, tokens, tokens, starts, starts, sink=[-99, 0.0]
    )
    back(out)
    for weight in (draw(size, dtype, 6), draw("huge", np.float64, 6), np.arange(6)):
        out, back = heedful.additive_attention_vjp(x, x, x, weight, sink=[-800.0, 0, 9])
        back(out)
    rotated = heedful.rotary_embedding(x, 3, base=1e300)
    heedful.rotary_embedding(rotated, inverse=True)


@pytest.mark.parametrize("stored", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_cache(size: str, stored: Any) -> None:
    cache = heedful.KVCache(dtype=stored)
    for dtype in (np.float64, np.float32):
        rows = draw(size, dtype, 2, 1, 3, 4)
        cache.append(rows, rows)
        cache.append(rows, rows, lengths=[1, 3])
    finite = np.isfinite(rows).all()
    assert np.isfinite(cache.key[:, :, :3].astype(np.float64)).all() == finite
    heedful.attention(rows, cache.key, cache.value, kv_lengths=cache.lengths)


CALLS: dict[str, Callable[[Any], Any]] = {
    "integers": lambda x: heedful.attention(x.astype(int), x.astype(int), x.astype(int)),
    "mixed": lambda x: heedful.attention(x, x.astype(np.float32), x),
    "swapped": lambda x: heedful.attention(x.astype(">f8"), x, x),
    "lists": lambda x: heedful.attention(x.tolist(), x.tolist(), x.tolist()),
}


@pytest.mark.parametrize("name", CALLS)
def test_converted_inputs(name: str) -> None:
    CALLS[name](np.linspace(-3, 3, 24).reshape(6, 4))
