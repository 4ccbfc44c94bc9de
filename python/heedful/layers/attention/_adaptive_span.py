"""Adaptive attention span: a soft window per head, whose width is learned.

::

    m[h, x]      = clip((R + z[h] − x) / R, 0, 1)        x = abs(i − j), R the ramp
    weight[i, j] = m[x] exp(score[i, j]) / Σ_j m[x] exp(score[i, j])

as a bias log m of the scores. Keys with m = 0 are not computed: queries are taken in pieces, each
with the keys within its reach, and heads of very different reach in groups of their own. So time
falls with the spans, and memory is linear in the length: the bias is one of distances, of one
piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import named, not_negative, positive, size
from heedful.base._parameter import Parameter
from heedful.base._regularizers import L1
from heedful.base._types import Array
from heedful.functional import Gradients
from heedful.functional._positions import check_lengths, check_window
from heedful.functional._shapes import summed
from heedful.layers.attention._masks import refuse_options

_ROWS = 128  # of queries in a piece: half the keys of a short span lie within it
_SEED = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: seeds of pieces and groups differ


def make_span(layer: Any, adaptive_span: Any, span_ramp: Any, span_penalty: Any) -> None:
    """The settings and the parameter of a layer that has its sizes and its type."""
    layer.span_ramp = positive("span_ramp", span_ramp)
    penalty = not_negative("span_penalty", span_penalty)
    layer.adaptive_span = None if adaptive_span is None else size("adaptive_span", adaptive_span)
    if layer.adaptive_span is None:
        return
    layer.span = Parameter(np.zeros(layer.num_heads, layer.dtype))
    if penalty:
        layer.parameter("span").regularizer = L1(penalty * layer.adaptive_span)


def check_span(is_self: bool, cache: Any, **options: Any) -> None:
    """Refuse calls in which distances have no meaning, or whose results would need all weights."""
    if not is_self:
        raise ValueError("key must be None with adaptive_span, which is of distances in a sequence")
    if getattr(cache, "policy", None) is not None:
        raise ValueError(
            f"cache must have no policy with adaptive_span, which drops keys by itself: got "
            f"{named(cache.policy)}"
        )
    refuse_options("with adaptive_span", **options)


def span_shown(layer: Any) -> str:
    return "" if layer.adaptive_span is None else f", adaptive_span={layer.adaptive_span}"


class Span(NamedTuple):
    """Of one call.

    z (H,) : spans in positions
    ramp : R
    """

    z: Array
    ramp: float

    @classmethod
    def of(cls, layer: Any) -> Span:
        share = layer.optional("span", (layer.num_heads,)).astype(np.float64)
        return cls(np.clip(share, 0, 1) * layer.adaptive_span, layer.span_ramp)

    def log_mask(self, distance: Array) -> Array:
        """log m (H, *distance.shape), −inf out of reach."""
        m: Array = self._above(distance)
        m /= self.ramp
        with np.errstate(divide="ignore"):
            return np.log(np.clip(m, 0, 1, out=m), out=m)

    def slope(self, distance: Array) -> Array:
        """d log m / dz = 1 / (R m) on the ramp, elsewhere 0: (H, *distance.shape)."""
        above = self._above(distance)
        outside = (above <= 0) | (above >= self.ramp)
        above[outside] = np.inf
        return np.divide(1, above, out=above)

    def _above(self, distance: Array) -> Array:
        """R + z − distance: R m where it lies between 0 and R."""
        above: Array = (self.ramp + self.z).reshape(-1, *(1,) * distance.ndim) - distance
        return above

    def reach(self) -> Array:
        """The distance of the farthest key with m > 0, (H,)."""
        farthest: Array = np.ceil(self.z + self.ramp).astype(np.int64) - 1
        return np.maximum(farthest, 0)


def tapped_options(layer: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What taps are given: with a span, its log m (H, …, R, Lk) of queries at some positions."""
    if layer.adaptive_span is None:
        return options
    span = Span.of(layer)

    def log_mask(positions: Array, keys: int) -> Array:
        return span.log_mask(np.abs(positions[..., None] - np.arange(keys)))

    return {**options, "log_mask": log_mask}


class _Piece(NamedTuple):
    heads: Any  # slice or indices
    kv_heads: Any
    rows: slice
    keys: slice
    options: dict[str, Any]
    slope: Any  # d log m / dz, (H, rows, keys)
    of_bias: Any  # index of the given bias, None without one


def with_span(
    layer: Any, run: Any, q: Array, k: Array, v: Array, options: dict[str, Any]
) -> tuple[Array, Any]:
    """(out, pullback) of `run`, attention or attention_vjp, of queries and keys in "blhd".

    ``pullback(dout, bias_gradient=…)`` returns the gradients and adds that of the span.
    ``options["align"]`` is the number of keys before the first query, None for none, an integer or
    one for each item.
    """
    span = Span.of(layer)
    options = {**options, **_checked(options, q, k)}
    before = np.asarray(0 if options["align"] is None else options["align"], np.int64)
    out = np.zeros((*q.shape[:-1], v.shape[-1]), q.dtype)
    parts: list[tuple[_Piece, Any]] = []
    for piece in _pieces(span, q, k, options, before):
        inputs = (
            q[..., piece.rows, piece.heads, :],
            k[..., piece.keys, piece.kv_heads, :],
            v[..., piece.keys, piece.kv_heads, :],
        )
        found = run(*inputs, **piece.options)
        found, pullback = found if isinstance(found, tuple) else (found, None)
        out[..., piece.rows, piece.heads, :] = found
        if pullback is not None:
            parts.append((piece, pullback))

    @np.errstate(all="ignore")
    def backward(dout: Array, dweights: Any = None, bias_gradient: bool = True) -> Gradients:
        dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
        dz = np.zeros(q.shape[-2])
        bias, dbias, sink = options["bias"], None, options.get("sink")
        if bias is not None and bias_gradient:
            dbias = np.zeros(np.shape(bias), q.dtype)
        dsink = None if sink is None else np.zeros_like(sink)
        while parts:  # each releases its arrays as soon as it has run
            piece, pullback = parts.pop()
            gradients = pullback(dout[..., piece.rows, piece.heads, :])
            dq[..., piece.rows, piece.heads, :] = gradients.query
            dk[..., piece.keys, piece.kv_heads, :] += gradients.key
            dv[..., piece.keys, piece.kv_heads, :] += gradients.value
            by_key = (gradients.bias * piece.slope).reshape(-1, *piece.slope.shape)
            dz[piece.heads] += by_key.sum(-1).sum((0, 2), dtype=np.float64)
            if dbias is not None:
                shape = dbias[piece.of_bias].shape
                dbias[piece.of_bias] += summed(gradients.bias, shape)
            if dsink is not None:
                dsink[piece.heads] += gradients.sink
        _add_gradient(layer, dz)
        return Gradients(dq, dk, dv, dbias, dsink)

    return out, backward


def _checked(options: dict[str, Any], q: Array, k: Array) -> dict[str, Any]:
    """The options that are cut into pieces, of which the pieces could not tell what was given."""
    batch = q.shape[:-3]
    found: dict[str, Any] = {"window": check_window(options["window"])}
    for name, length in (("q_lengths", q.shape[-3]), ("kv_lengths", k.shape[-3])):
        if options.get(name) is not None:
            counts = check_lengths(name, options[name], batch, length)
            found[name] = counts.reshape(batch)
    return found


def _pieces(
    span: Span, q: Array, k: Array, options: dict[str, Any], before: Array
) -> Iterator[_Piece]:
    length, keys, group = q.shape[-3], k.shape[-3], q.shape[-2] // max(1, k.shape[-2])
    reach = span.reach().reshape(-1, group).max(1, initial=0)  # of a head of keys
    classes = np.ceil(np.log2(np.maximum(reach, _ROWS)))  # within a factor of 2
    number = 0
    for which in np.unique(classes):
        kv_heads: Any = np.flatnonzero(classes == which)
        heads: Any = (kv_heads[:, None] * group + np.arange(group)).ravel()
        own = Span(span.z[heads], span.ramp)
        farthest = min(int(reach[kv_heads].max()), keys)
        if len(kv_heads) == len(classes):
            heads = kv_heads = slice(None)  # views
        bias: Any = None
        slope: Any = None
        if not before.ndim:  # the same for all pieces, which have views of it
            most = min(_ROWS, length)
            behind = 0 if options["causal"] else farthest
            distance = _distance(before * 0, most, -farthest, most + behind)
            bias, slope = (each(distance).astype(q.dtype) for each in (own.log_mask, own.slope))
        for first in range(0, length, _ROWS):
            last = min(first + _ROWS, length)
            low = int(np.clip(before.min(initial=keys) + first - farthest, 0, keys))
            end = before.max(initial=0) + last + (0 if options["causal"] else farthest)
            high = int(np.clip(end, low, keys))
            rows, within = slice(first, last), slice(low, high)
            align = before + first - low
            given = _sliced(options, heads, rows, within, farthest, align)
            if align.ndim:  # a cache, of items of different lengths
                distance = _distance(align, last - first, 0, high - low)
                steep = None
                near = np.moveaxis(own.log_mask(distance), 0, 1).astype(q.dtype)  # (B, H, …)
            else:
                begin = farthest - int(align)
                part = (slice(last - first), slice(begin, begin + high - low))
                near, steep = bias[:, part[0], part[1]], slope[:, part[0], part[1]]
            given["bias"] = near if given["bias"] is None else near + given["bias"]
            if "rng" in given:
                given["rng"] = (given["rng"] + number * _SEED) % 2**64
            number += 1
            of_bias = None
            if options["bias"] is not None:
                of_bias = _index(np.shape(options["bias"]), heads, rows, within)
            yield _Piece(heads, kv_heads, rows, within, given, steep, of_bias)


def _distance(align: Array, rows: int, low: int, high: int) -> Array:
    """(…, rows, high − low) of queries from positions `align` (…) and keys from `low`."""
    distance: Array = np.abs(
        align[..., None, None] + np.arange(rows)[:, None] - np.arange(low, high)
    )
    return distance


def _sliced(
    options: dict[str, Any], heads: Any, rows: slice, keys: slice, farthest: int, align: Array
) -> dict[str, Any]:
    """The options of a call for some heads, query rows and keys."""
    given = {**options, "align": int(align) if not align.ndim else align}
    given["window"] = tuple(
        farthest if side is None else min(side, farthest) for side in options["window"]
    )
    for name, part in (("q_lengths", rows), ("kv_lengths", keys)):
        if options.get(name) is not None:
            count = options[name] - part.start
            given[name] = np.clip(count, 0, part.stop - part.start)
    for name in ("mask", "bias"):
        if options[name] is not None:
            array = np.asarray(options[name])
            given[name] = array[_index(array.shape, heads, rows, keys)]
    for name in ("sink", "alibi_slopes"):
        if options[name] is not None:
            given[name] = options[name][heads]
    if options.get("top_k", 0) >= keys.stop - keys.start:
        given.pop("top_k", None)
    return given


def _index(shape: tuple[int, ...], heads: Any, rows: slice, keys: slice) -> tuple[Any, ...]:
    """Of these in an array that broadcasts to (…, H, Lq, Lk)."""
    axes = zip(shape[-3:], (heads, rows, keys)[max(0, 3 - len(shape)) :], strict=True)
    return (..., *(slice(None) if length == 1 else part for length, part in axes))


def _add_gradient(layer: Any, dz: Array) -> None:
    """Of the share z / S: none that leads farther out of [0, 1], where z is constant."""
    share, gradient = layer.span, dz * layer.adaptive_span
    outward = ((share <= 0) & (gradient > 0)) | ((share >= 1) & (gradient < 0))
    layer.add_gradient("span", np.where(outward, 0, gradient).astype(layer.dtype))
