"""The exact result, in float64, for a sample of rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.benchmark.shapes import Case, Inputs, default_scale

Array = NDArray[Any]

# Tolerance of the error, relative to the largest element of the expected rows. In float32 libraries
# reach 1e-6 to 1e-5; in the 16-bit types some also round intermediate results.
TOLERANCE = {"float64": 1e-10, "float32": 1e-4, "float16": 4e-3, "bfloat16": 6e-2}
BLOCK = 512  # query rows whose scores are held at once


@dataclass(frozen=True)
class Sample:
    """A sample: one item, one key/value head with the query heads that share it, some rows."""

    item: int
    kv_head: int
    heads: tuple[int, ...]
    query_rows: tuple[int, ...]
    key_rows: tuple[int, ...]


def choose_sample(case: Case) -> Sample:
    """The last item and head, which reveal errors in strides; first, last and middle rows."""
    shape = case.shape
    group = shape.H // shape.Hkv
    kv_head = shape.Hkv - 1
    return Sample(
        shape.B - 1,
        kv_head,
        tuple(range(kv_head * group, (kv_head + 1) * group)),
        _spread(shape.rows[0]),
        _spread(shape.Lk),
    )


def _spread(length: int, count: int = 24) -> tuple[int, ...]:
    return tuple(sorted({int(row) for row in np.linspace(0, length - 1, min(count, length))}))


def expected(case: Case, inputs: Inputs, sample: Sample) -> list[Array]:
    """float64 rows of the output, and with gradients those of dquery, dkey, dvalue.

    out (heads, query rows, D), dquery the same, dkey and dvalue (key rows, D)
    """
    shape = case.shape
    key = inputs.key[sample.item, sample.kv_head].astype(np.float64)  # (Lk, D)
    value = inputs.value[sample.item, sample.kv_head].astype(np.float64)
    rows = np.array(sample.query_rows)
    out = np.zeros((len(sample.heads), len(rows), shape.D))
    dquery = np.zeros_like(out)
    dkey, dvalue = np.zeros_like(key), np.zeros_like(value)
    scale = default_scale(shape)
    for place, head in enumerate(sample.heads):
        query = inputs.query[sample.item, head].astype(np.float64)  # (Lq, D)
        dout = inputs.dout[sample.item, head].astype(np.float64)
        if not case.backward:
            out[place] = _weights(case, inputs, sample, query, key, rows) @ value
            continue
        length = shape.Lq if inputs.q_lengths is None else int(inputs.q_lengths[sample.item])
        for start in range(0, length, BLOCK):  # queries past the length give no gradient
            block = np.arange(start, min(start + BLOCK, length))
            weights = _weights(case, inputs, sample, query, key, block)
            dweights = dout[block] @ value.T
            dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True))
            dvalue += weights.T @ dout[block]
            dkey += scale * dscores.T @ query[block]
            here = np.isin(rows, block)
            out[place, here] = weights[rows[here] - start] @ value
            dquery[place, here] = scale * dscores[rows[here] - start] @ key
    if not case.backward:
        return [out]
    columns = list(sample.key_rows)
    return [out, dquery, dkey[columns], dvalue[columns]]


def _weights(
    case: Case, inputs: Inputs, sample: Sample, query: Array, key: Array, rows: Array
) -> Array:
    scores = query[rows] @ key.T * default_scale(case.shape)  # (rows, Lk)
    if inputs.bias is not None:
        scores += inputs.bias[0, 0, rows].astype(np.float64)
    seen = np.ones(scores.shape, dtype=bool)
    if case.shape.causal:
        seen &= np.arange(case.shape.Lk) <= rows[:, None]
    if inputs.kv_lengths is not None:
        seen &= np.arange(case.shape.Lk) < inputs.kv_lengths[sample.item]
    if inputs.mask is not None:
        seen &= inputs.mask[0, 0, rows]
    if inputs.window is not None:
        distance = np.arange(case.shape.Lk) - rows[:, None]
        seen &= (distance >= -inputs.window[0]) & (distance <= inputs.window[1])
    scores = np.where(seen, scores, -np.inf)
    weights: Array = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def take(sample: Sample, arrays: list[Array]) -> list[Array]:
    """The sampled rows of a library's results: out, or out, dquery, dkey, dvalue."""
    item, heads = sample.item, list(sample.heads)
    query_rows, key_rows = list(sample.query_rows), list(sample.key_rows)
    rows = [array[item, heads][:, query_rows] for array in arrays[:2]]
    rows += [array[item, sample.kv_head, key_rows] for array in arrays[2:]]
    return [array.astype(np.float64) for array in rows]


def error(rows: list[Array], right: list[Array]) -> float:
    """The largest deviation, relative to the largest element of each array; infinite for NaN."""
    worst = 0.0
    for got, want in zip(rows, right, strict=True):
        if got.shape != want.shape or not np.isfinite(got).all():
            return float("inf")
        worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
    return worst


def slope(rows: list[Array], right: list[Array]) -> float:
    """The projection of a result with dropout on the exact output: 1 on average."""
    return float((rows[0] * right[0]).sum() / (right[0] * right[0]).sum())
