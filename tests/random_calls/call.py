"""A call of attention with any options together, drawn at random, and its expected results.

A call is a description of some plain values, so that hypothesis can shrink it, and its
representation is the program that repeats it::

    from random_calls.call import RandomCall
    RandomCall(dtype="float32", Lq=3, …).check()

How close results must be follows from the inputs, not from chance: an error counts in units in the
last place of the computing type, of the sum of the absolute values of all terms of an element,
and a score's own rounding moves its weight by as much (:func:`random_calls.bounds.bounds`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import heedful
import reference
from random_calls.blocks import Dropped, block_mask_of, kept_blocks, pairs_of
from random_calls.bounds import assert_within, bounds, of_all_scores, unclear
from random_calls.layouts import laid_out

Array = NDArray[Any]
RANDOM = "dropout_p", "key_dropout_p", "gumbel_temperature", "rng"
TYPES = {"bfloat16": ml_dtypes.bfloat16}


class Arrays(NamedTuple):
    query: Array
    key: Array
    value: Array
    options: dict[str, Any]
    dout: Array
    dlse: Array | None
    dweights: Array | None


@dataclass(frozen=True)
class RandomCall:
    seed: int = 0  # of what the arrays hold
    dtype: str = "float64"
    kv_dtype: str = ""  # if different
    B: tuple[int, ...] = (1,)
    Hkv: int = 1
    group: int = 1
    Lq: int = 1
    Lk: int = 1
    D: int = 1
    Dv: int = 1
    level: float = 1.0  # of query and key
    value_level: float = 1.0
    value_offset: float = 0.0
    layouts: tuple[str, ...] = ("contiguous",) * 4  # of query, key, value, dout
    length_first: bool = False  # layout="blhd"
    mask: tuple[bool, ...] = ()  # which of its axes (batch, heads, queries, keys) have length 1
    mask_density: float = 0.5
    bias: tuple[bool, ...] = ()
    bias_density: float = 1.0  # the rest is −∞
    bias_dtype: str = ""
    blocks: tuple[bool, ...] = ()  # of a block mask: which of its axes (batch, heads) have length 1
    block_size: tuple[int, int] = (16, 16)
    block_density: float = 0.5
    min_weight: float = 0.0
    q_lengths: bool = False
    kv_lengths: bool = False
    top_k: int = 0  # of as many keys as there are; 0: not given
    alibi: str = ""  # "H" or "BH"
    sink: float | None = None  # their mean
    plain: dict[str, Any] = field(default_factory=dict)  # causal, window, align, scale, …
    garbage: bool = False  # NaN and inf in keys and values that are hidden from all queries
    dlse: bool = False
    dweights: bool = False
    threads: int = 1

    # --- inputs

    @property
    def H(self) -> int:
        return self.Hkv * self.group

    @property
    def number(self) -> Any:
        return as_type(self.dtype)

    @property
    def computing(self) -> Any:
        return computing_type(self.dtype)

    def arrays(self) -> Arrays:
        """The arguments, in the order (…, H, L, D)."""
        rng = np.random.default_rng(self.seed)
        kv_type = as_type(self.kv_dtype or self.dtype)

        def normal(*shape: int) -> Array:
            return rng.standard_normal(shape)

        query = (normal(*self.B, self.H, self.Lq, self.D) * self.level).astype(self.number)
        key = (normal(*self.B, self.Hkv, self.Lk, self.D) * self.level).astype(kv_type)
        value = normal(*self.B, self.Hkv, self.Lk, self.Dv) * self.value_level + self.value_offset
        value = value.astype(kv_type)
        sizes = (*self.B, self.H, self.Lq, self.Lk)
        options = dict(self.plain)
        if self.mask:
            options["mask"] = rng.random(self._axes(self.mask)) < self.mask_density
        if self.bias:
            bias = normal(*self._axes(self.bias))
            bias[rng.random(bias.shape) >= self.bias_density] = -np.inf
            options["bias"] = bias.astype(as_type(self.bias_dtype or self.computing.name))
        if self.blocks and self.Lq and self.Lk:
            leading = self._axes((*self.blocks, True, True))[:-2]
            options["block_mask"] = block_mask_of(
                rng, leading, (self.Lq, self.Lk), self.block_size, self.block_density
            )
        if self.q_lengths:
            options["q_lengths"] = rng.integers(0, self.Lq + 1, self.B)
        if self.kv_lengths:
            options["kv_lengths"] = rng.integers(0, self.Lk + 1, self.B)
        if self.top_k and self.Lk:
            options["top_k"] = min(self.top_k, self.Lk)
        if self.alibi:
            items = self.B if self.alibi == "BH" else ()
            options["alibi_slopes"] = 2.0 ** -rng.uniform(0, 6, (*items, self.H))
        if self.sink is not None:
            options["sink"] = (normal(self.H) + self.sink).astype(self.computing)
        dout = normal(*sizes[:-1], self.Dv).astype(self.number)
        dlse = normal(*sizes[:-1]).astype(self.computing) if self.dlse else None
        dweights = normal(*sizes).astype(self.computing) if self.dweights else None
        if self.garbage:
            self._spoil(key, value, query, options)
        return Arrays(query, key, value, options, dout, dlse, dweights)

    def _axes(self, ones: tuple[bool, ...]) -> tuple[int, ...]:
        batch, heads, queries, keys = ones
        items = tuple(1 if batch else size for size in self.B)
        return (*items, *(
            1 if one else size
            for one, size in zip((heads, queries, keys), (self.H, self.Lq, self.Lk), strict=True)
        ))  # fmt: skip

    def _spoil(self, key: Array, value: Array, query: Array, options: dict[str, Any]) -> None:
        options = without(options, "top_k")  # a key that is not kept has a score all the same
        allowed = reference.steps(query, key, value, **options).allowed
        groups = allowed.reshape(*self.B, self.Hkv, self.group * self.Lq, self.Lk)
        hidden = ~groups.any(axis=-2)  # (…, Hkv, Lk)
        key[hidden], value[hidden] = np.nan, np.inf

    # --- results

    def check(self) -> None:
        """Every result and every gradient."""
        a = self.arrays()
        if unclear(a, self.computing):
            return
        extras = {"dlse": a.dlse, "dweights": a.dweights}
        whole, score_bound = of_all_scores(a, self.computing)
        given = [
            laid_out(array, layout)
            for array, layout in zip((a.query, a.key, a.value, a.dout), self.layouts, strict=True)
        ]
        query, key, value, dout = given
        length_first, options = self.length_first, dict(a.options)
        if length_first:
            query, key, value, dout = (array.swapaxes(-3, -2) for array in given)
            options["layout"] = "blhd"
        of_scores = without(options, "top_k", *RANDOM, "sink")
        if self.min_weight:
            options["min_weight"] = self.min_weight
        with heedful.num_threads(self.threads):
            (out, lse, weights, skipped), pullback = heedful.attention_vjp(
                query, key, value, **options,
                return_lse=True, return_weights=True, return_skipped=True,
            )  # fmt: skip
            alone = heedful.attention(query, key, value, **options)
            weighed, mean = heedful.attention(
                query, key, value, **options, return_weights=True, average_heads=True
            )
            scores = heedful.attention_scores(query, key, **of_scores)
            found = pullback(dout, **extras)
        if self.dtype != "bfloat16":  # its weights may be rounded where no gradient needs them
            assert alone.tobytes() == out.tobytes(), "attention and attention_vjp differ"
            assert alone.tobytes() == weighed.tobytes(), "with and without weights differ"
        out, alone = (_outward(array, length_first) for array in (out, alone))
        kept = None
        if self.min_weight:
            kept = pairs_of(kept_blocks(query, key, value, **options), (self.Lq, self.Lk))
            a = a._replace(options={**a.options, "mask": a.options.get("mask", True) & kept})
        else:
            assert skipped == 0
        exact = reference.steps(a.query, a.key, a.value, **a.options)
        truth = reference.attention_backward(a.dout, a.query, a.key, a.value, **extras, **a.options)
        bound = bounds(exact, a, self.computing)
        if kept is not None:
            dropped = Dropped(whole, score_bound, kept, self.min_weight)
            dropped.check(out, bound.out, skipped)
        expected = exact.result
        assert_within(alone, expected.out, bound.out, "out of attention")
        assert_within(out, expected.out, bound.out, "out")
        assert_within(lse, expected.lse, bound.lse, "lse")
        assert_within(weights, expected.weights, bound.weights, "weights")
        of_heads = (array.mean(axis=-3) for array in (expected.weights, bound.weights))
        assert_within(mean, *of_heads, "mean weights")
        assert_within(scores, whole.result.scores, score_bound, "scores")
        for name in ("query", "key", "value", "bias", "sink"):
            gradient, wanted = getattr(found, name), getattr(truth, name)
            if wanted is None:
                assert gradient is None
                continue
            if name in ("query", "key", "value"):
                gradient = _outward(gradient, length_first)
            assert_within(gradient, wanted, getattr(bound, f"d{name}"), f"gradient of {name}")


def _outward(array: Array, length_first: bool) -> Array:
    """In the order (…, H, L, D)."""
    return array.swapaxes(-3, -2) if length_first else array


def as_type(name: str) -> Any:
    return np.dtype(TYPES.get(name, name))


def computing_type(name: str) -> Any:
    return np.dtype(np.float64 if name == "float64" else np.float32)


def without(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}
