"""One checked call: its arrays in "bhld" order, its sizes, what the compiled functions are told."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.functional._checks import finite, positive
from heedful.functional._dtypes import Array, DType, as_array, can_be_read_together, promoted
from heedful.functional._positions import check_positions
from heedful.functional._random import check_dropout
from heedful.functional._restrictions import check_alibi_slopes, check_bias, check_mask, check_sink
from heedful.functional._shapes import (
    Axes,
    Layout,
    check_axes,
    check_layout,
    check_number_of_axes,
    check_packed_axes,
)


class Rules(NamedTuple):
    """The arguments that all compiled functions share, in their order."""

    batch: tuple[int, ...]
    items: NDArray[np.int64] | None
    offset: int
    scale: float
    softcap: float
    left: int
    right: int
    mask: NDArray[np.bool_] | None
    bias: Array | None
    alibi_slopes: NDArray[np.float64] | None


class Given(NamedTuple):
    """The caller's arrays before any conversion."""

    query: Array
    key: Array
    value: Array
    bias: Array | None
    sink: Array | None


class Call(NamedTuple):
    query: Array  # (…, H, Lq, D)
    key: Array  # (…, Hkv, Lk, D)
    value: Array  # (…, Hkv, Lk, Dv)
    axes: Axes
    rules: Rules
    sink: NDArray[np.float64] | None  # (H,)
    dropout_p: float
    seed: int
    layout: Layout
    given: Given

    @property
    def dtype(self) -> DType:
        """The type of the output."""
        return self.query.dtype


class Matrices(NamedTuple):
    """Query, key and value in "bhld" order with their sizes, the caller's own among them."""

    query: Array
    key: Array
    value: Array
    given: tuple[Array, Array, Array]
    axes: Axes
    layout: Layout


def check_matrices(query: Any, key: Any, value: Any, layout: str, packed: bool = False) -> Matrices:
    """`value` may be missing (None): then it has depth 0."""
    length_first = check_layout(layout)
    missing = value is None
    if missing:
        value = key
    if not type(query) is type(key) is type(value) is np.ndarray:
        query = as_array("query", query)
        key = as_array("key", key)
        value = as_array("value", value)
    given = (query, key, value)
    if not can_be_read_together(query, key, value):
        query, key, value = promoted(query, key, value)
    if packed:
        check_packed_axes(query, key, value)
        number = 3
    elif query.ndim == key.ndim == value.ndim > 1:
        number = query.ndim
    else:
        number = check_number_of_axes(query, key, value)
    if missing:
        value = value[..., :0]
    seen = Layout(number, length_first)
    if length_first or not query.ndim == key.ndim == value.ndim > 2:
        query, key, value = seen.inward(query), seen.inward(key), seen.inward(value)
    return Matrices(query, key, value, given, check_axes(query, key, value), seen)


def check_call(
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    bias: Any,
    causal: Any,
    window: Any,
    align: Any,
    q_lengths: Any,
    kv_lengths: Any,
    scale: Any,
    softcap: Any,
    alibi_slopes: Any,
    sink: Any,
    dropout_p: Any,
    rng: Any,
    layout: str,
) -> Call:
    """Every rule for arrays with leading axes; what is not given costs one comparison."""
    query, key, value, given, axes, seen = check_matrices(query, key, value, layout)
    heads = axes.heads
    items, offset, left, right = None, 0, -1, -1
    if not (
        causal is False
        and window is align is q_lengths is kv_lengths is None
        and alibi_slopes is None
    ):
        items, offset, left, right = check_positions(
            axes.batch, axes.query_length, axes.key_length,
            causal, window, align, q_lengths, kv_lengths, alibi_slopes,
        )  # fmt: skip
    if mask is not None:
        mask = check_mask(mask, axes)
    given_bias = given_sink = None
    if bias is not None:
        given_bias, bias = check_bias(bias, axes)
    if alibi_slopes is not None:
        alibi_slopes = check_alibi_slopes(alibi_slopes, heads, axes.batch)
    if sink is not None:
        given_sink, sink = check_sink(sink, heads)
    seed = 0
    if rng is not None or type(dropout_p) is not float or dropout_p:
        dropout_p, seed = check_dropout(dropout_p, rng)
    rules = Rules(
        axes.batch, items, offset, check_scale(scale, axes.depth), check_softcap(softcap),
        left, right, mask, bias, alibi_slopes,
    )  # fmt: skip
    return Call(
        query, key, value, axes, rules, sink, dropout_p, seed, seen,
        Given(*given, given_bias, given_sink),
    )  # fmt: skip


def check_scale(scale: Any, depth: int) -> float:
    if scale is None:
        return 1.0 / math.sqrt(depth) if depth else 1.0
    return finite("scale", scale)


def check_softcap(softcap: Any) -> float:
    return 0.0 if softcap is None else positive("softcap", softcap)
