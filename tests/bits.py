"""Digests of the results of 200 random calls: `python tests/bits.py [--against FILE]`.

A change of structure leaves the bits of every result as they are. Keep what this prints before the
change in a file and compare with it after; run it for each processor level (`HEEDFUL_ISA`).
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import heedful
from heedful import layers, training

Array = NDArray[Any]
Rng = np.random.Generator
CALLS = 200
TYPES = (np.float32, np.float32, np.float32, np.float64, np.float16, ml_dtypes.bfloat16)
LENGTHS = (1, 2, 3, 7, 17, 49, 97, 197, 260, 385, 520)
DEPTHS = (1, 5, 16, 40, 64, 129)


def pick(rng: Rng, values: Iterable[Any]) -> Any:
    values = list(values)
    return values[int(rng.integers(len(values)))]


def normal(rng: Rng, dtype: Any, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def restrictions(rng: Rng, batch: int, heads: int, lq: int, lk: int) -> dict[str, Any]:
    """Some of the options that dense and additive attention share."""
    options: dict[str, Any] = {}
    if rng.random() < 0.3:
        options["causal"] = True
    if rng.random() < 0.2:
        options["window"] = (int(rng.integers(60)), pick(rng, (None, 0, 9)))
    if rng.random() < 0.2:
        options["alibi_slopes"] = 2.0 ** -rng.uniform(0, 6, heads)
    if options:  # the diagonal matters
        options["align"] = pick(rng, ("upper_left", "lower_right", 3))
    if rng.random() < 0.3:
        options["mask"] = rng.random((pick(rng, (1, batch)), 1, lq, lk)) < 0.8
    if rng.random() < 0.3:
        options["bias"] = normal(rng, np.float32, 1, pick(rng, (1, heads)), pick(rng, (1, lq)), lk)
    if rng.random() < 0.2:
        options["kv_lengths"] = rng.integers(0, lk + 1, batch)
    if rng.random() < 0.2:
        options["sink"] = rng.standard_normal(heads)
    if rng.random() < 0.2:
        options["dropout_p"], options["rng"] = 0.3, int(rng.integers(1000))
    return options


def scores(rng: Rng) -> dict[str, Any]:
    """Options of dense attention alone."""
    options: dict[str, Any] = {}
    if rng.random() < 0.3:
        options["scale"] = pick(rng, (1.0, 0.1, -0.5, 1e-30, 1e20))
    if rng.random() < 0.2:
        options["softcap"] = pick(rng, (2.0, 30.0))
    return options


def dense(rng: Rng) -> Iterator[Array | None]:
    dtype, batch, kv_heads, group = (pick(rng, v) for v in (TYPES, (1, 2), (1, 3), (1, 1, 4)))
    lq, lk, depth = pick(rng, LENGTHS), pick(rng, (*LENGTHS, 1030)), pick(rng, DEPTHS)
    heads = kv_heads * group
    query = normal(rng, dtype, batch, heads, lq, depth)
    key = normal(rng, dtype, batch, kv_heads, lk, depth)
    value = normal(rng, dtype, batch, kv_heads, lk, pick(rng, DEPTHS))
    options = {**restrictions(rng, batch, heads, lq, lk), **scores(rng)}
    yield heedful.attention(query, key, value, **options)
    out, vjp = heedful.attention_vjp(query, key, value, **options)
    yield out
    yield from vjp(normal(rng, out.dtype, *out.shape))
    yield heedful.attention_weights(query, key, **options, average_heads=bool(rng.random() < 0.5))


def packed(rng: Rng) -> Iterator[Array | None]:
    dtype, heads, depth = pick(rng, TYPES), pick(rng, (1, 4)), pick(rng, DEPTHS)
    ends = np.cumsum([0, *(pick(rng, (0, *LENGTHS)) for _ in range(4))])
    query, key, value = (normal(rng, dtype, ends[-1], heads, depth) for _ in range(3))
    options = {"causal": bool(rng.random() < 0.5), **scores(rng)}
    out, vjp = heedful.attention_varlen_vjp(query, key, value, ends, ends, **options)
    yield out
    yield from vjp(normal(rng, out.dtype, *out.shape))


def additive(rng: Rng) -> Iterator[Array | None]:
    dtype, batch, heads = pick(rng, TYPES[:4]), pick(rng, (1, 2)), pick(rng, (1, 3))
    lq, lk, depth = pick(rng, LENGTHS[:8]), pick(rng, LENGTHS), pick(rng, DEPTHS)
    query, key, value = (normal(rng, dtype, batch, heads, n, depth) for n in (lq, lk, lk))
    weight = normal(rng, dtype, heads, depth)
    options = restrictions(rng, batch, heads, lq, lk)
    out, vjp = heedful.additive_attention_vjp(query, key, value, weight, **options)
    yield out
    yield from vjp(normal(rng, out.dtype, *out.shape))


def merged(rng: Rng) -> Iterator[Array | None]:
    query, key, value = (normal(rng, np.float32, 2, 3, n, 16) for n in (49, 385, 385))
    halves = [
        heedful.attention(query, key[:, :, part], value[:, :, part], return_lse=True)
        for part in (slice(0, 97), slice(97, None))
    ]
    yield from heedful.merge_attention(*zip(*halves, strict=True))


def made_layers(rng: Rng) -> layers.Layer:
    width = pick(rng, (8, 32, 96))
    return pick(
        rng,
        (
            lambda: layers.Linear(width, 33, activation=pick(rng, (None, "gelu", "relu")), rng=1),
            lambda: layers.LayerNorm(width),
            lambda: layers.RMSNorm(width),
            lambda: layers.FeedForward(width, 2 * width, rng=2),
            lambda: layers.MultiHeadAttention(width, 4, rng=3),
            lambda: layers.EncoderLayer(width, 4, 2 * width, rate=0.1, rng=4),
        ),
    )()


def layer(rng: Rng) -> Iterator[Array | None]:
    built = made_layers(rng)
    width = next(iter(built.parameters().values())).shape[-1]
    x = normal(rng, np.float32, 2, pick(rng, LENGTHS[:9]), getattr(built, "d_model", width))
    out, backward = built.forward(x, rng=5)
    yield out
    gradients = backward(normal(rng, np.float32, *out.shape))
    yield from gradients if isinstance(gradients, tuple) else (gradients,)
    yield from built.grads.values()


def trained(rng: Rng) -> Iterator[Array | None]:
    x, y = normal(rng, np.float32, 61, 9), rng.integers(0, 4, 61)
    model = layers.Sequential(
        layers.Linear(9, 17, activation="tanh", rng=6), layers.Linear(17, 4, rng=7)
    )
    model.compile(training.Adam(lr=1e-2), training.SparseCategoricalCrossEntropy(from_logits=True))
    model.fit(x, y, epochs=2, batch_size=16, rng=8, verbose=0)
    yield from model.parameters().values()


KINDS: tuple[Callable[[Rng], Iterator[Array | None]], ...] = (
    dense, dense, dense, dense, packed, additive, layer, layer, merged, trained,
)  # fmt: skip


def digest(arrays: Iterable[Array | None]) -> str:
    """Of shapes, types and bytes; NaN counts as one value, whatever its sign and payload."""
    found = hashlib.sha256()
    for array in arrays:
        if array is None:  # the gradient of what the call did not have
            continue
        array = np.array(array)
        array[np.isnan(array)] = np.nan
        found.update(f"{array.shape} {array.dtype.name} ".encode() + array.tobytes())
    return found.hexdigest()[:16]


def lines(calls: int = CALLS) -> list[str]:
    return [
        f"{index:3d} {kind.__name__:8s} {digest(kind(np.random.default_rng(index)))}"
        for index, kind in ((index, KINDS[index % len(KINDS)]) for index in range(calls))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bits", description=__doc__.split("\n")[0])
    parser.add_argument("--against", type=Path, help="what was printed before: name what differs")
    before = parser.parse_args(arguments).against
    now = lines()
    if before is None:
        print("\n".join(now))
        return 0
    was = before.read_text().splitlines()
    differing = [line for line in now if line not in was]
    print("\n".join(differing) or f"all {len(now)} digests are equal")
    return len(differing) > 0 or len(was) != len(now)


if __name__ == "__main__":
    raise SystemExit(main())
