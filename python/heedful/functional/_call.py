"""One checked call: its arrays in "bhld" order, its sizes, what the compiled functions are told."""

import math
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from heedful.functional._checks import finite, positive
from heedful.functional._dtypes import Array, DType, as_array, can_be_read_together, promoted
from heedful.functional._layout import Shape, check_layout
from heedful.functional._positions import check_positions
from heedful.functional._random import check_dropout
from heedful.functional._restrictions import check_alibi_slopes, check_bias, check_mask, check_sink
from heedful.functional._shapes import Axes, check_axes

NO_VALUE = object()  # stands for a value of depth 0, where scores or weights are all that is wanted

# query, key, value, bias and sink as the caller gave them, before any conversion
Given: TypeAlias = tuple[Array, Array, Array, Array | None, Array | None]


class Rules(NamedTuple):
    """The arguments that all compiled functions share, in their order."""

    batch: Shape
    items: NDArray[np.int64] | None
    offset: int
    scale: float
    softcap: float
    left: int
    right: int
    mask: NDArray[np.bool_] | None
    bias: Array | None
    alibi_slopes: NDArray[np.float64] | None


class Call(NamedTuple):
    query: Array  # (…, H, Lq, D)
    key: Array  # (…, Hkv, Lk, D)
    value: Array  # (…, Hkv, Lk, Dv)
    axes: Axes
    rules: Rules
    sink: NDArray[np.float64] | None  # (H,)
    dropout_p: float
    seed: int
    given: Given

    @property
    def dtype(self) -> DType:
        """The type of the output."""
        return self.query.dtype


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
    """Every rule for arrays with leading axes."""
    query, key, value, given, axes, rules = check_matrices(query, key, value, layout)
    given_bias = given_sink = None
    seed = 0
    if not (
        mask is bias is window is align is q_lengths is kv_lengths is scale is softcap
        is alibi_slopes is sink is None and causal is False
    ):  # fmt: skip
        positions = check_positions(
            axes.batch, axes.query_length, axes.key_length,
            causal, window, align, q_lengths, kv_lengths, alibi_slopes,
        )  # fmt: skip
        if mask is not None:
            mask = check_mask(mask, axes.scores)
        if bias is not None:
            given_bias, bias = check_bias(bias, axes.scores)
        if alibi_slopes is not None:
            alibi_slopes = check_alibi_slopes(alibi_slopes, axes.heads, axes.batch)
        if sink is not None:
            given_sink, sink = check_sink(sink, axes.heads)
        scale, softcap = check_scale(scale, axes.depth), check_softcap(softcap)
        rules = Rules(
            axes.batch, positions.items, positions.offset, scale, softcap,
            positions.left, positions.right, mask, bias, alibi_slopes,
        )  # fmt: skip
    if rng is not None or type(dropout_p) is not float or dropout_p:
        dropout_p, seed = check_dropout(dropout_p, rng)
    return Call(
        query, key, value, axes, rules, sink, dropout_p, seed, (*given, given_bias, given_sink)
    )


def check_matrices(
    query: Any, key: Any, value: Any, layout: str, packed: bool = False
) -> tuple[Array, Array, Array, tuple[Array, Array, Array], Axes, Rules]:
    """The arrays in "bhld" order, as they were given, their sizes, and rules without options."""
    length_first = layout != "bhld" and check_layout(layout)
    if value is NO_VALUE:
        key = as_array("key", key)
        value = key[..., :0] if key.ndim else key
    if not type(query) is type(key) is type(value) is np.ndarray:
        query = as_array("query", query)
        key = as_array("key", key)
        value = as_array("value", value)
    given = (query, key, value)
    if not can_be_read_together(query, key, value):
        query, key, value = promoted(query, key, value)
    if packed:
        check_packed_axes(query, key, value)
    axes, rules = _plain(query.shape, key.shape, value.shape, length_first)
    if axes.layout.length_first or not query.ndim == key.ndim == value.ndim > 2:
        inward = axes.layout.inward
        query, key, value = inward(query), inward(key), inward(value)
    return query, key, value, given, axes, rules


@lru_cache(maxsize=1024)
def _plain(query: Shape, key: Shape, value: Shape, length_first: bool) -> tuple[Axes, Rules]:
    """What follows from the shapes alone; programs use the same ones again and again."""
    axes = check_axes(query, key, value, length_first)
    scale = check_scale(None, axes.depth)
    return axes, Rules(axes.batch, None, 0, scale, 0.0, -1, -1, None, None, None)


def check_packed_axes(query: Array, key: Array, value: Array) -> None:
    for name, array in (("query", query), ("key", key), ("value", value)):
        if array.ndim != 3:
            raise ValueError(f"{name} must have shape (tokens, heads, depth): got {array.shape}")


def check_scale(scale: Any, depth: int) -> float:
    if scale is None:
        return 1.0 / math.sqrt(depth) if depth else 1.0
    return finite("scale", scale)


def check_softcap(softcap: Any) -> float:
    return 0.0 if softcap is None else positive("softcap", softcap)
