"""A random call with a sparse normaliser, and how far rounding may take its results.

A score that is off by ε moves the excess of its key over the threshold by (α − 1) ε, and the
threshold by no more than the largest of these of its row. So an excess t lies within t ± margin,
and a weight and its slope between those of the two ends: near the threshold that is more than a
derivative would say, because a weight bends there, and the slope of sparsemax jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from entmax import alphas_of
from numpy.typing import NDArray

import heedful
import reference
from random_calls.bounds import assert_within, bounds
from random_calls.call import RandomCall, without
from random_calls.layouts import laid_out

Array = NDArray[Any]


@dataclass(frozen=True)
class RandomSparse:
    call: RandomCall
    normalizer: Any = "entmax15"

    def check(self) -> None:
        call, computing = self.call, self.call.computing
        a = call.arrays()
        a = a._replace(options=without(a.options, "top_k", "sink", "gumbel_temperature"), dlse=None)
        eps, tiny = float(np.finfo(computing).eps), float(np.finfo(computing).tiny)
        dense = reference.steps(a.query, a.key, a.value, **a.options)
        score = bounds(dense, a, computing).scores
        options = {**a.options, "normalizer": self.normalizer}
        s = reference.steps(a.query, a.key, a.value, **options)
        truth = reference.attention_backward(
            a.dout, a.query, a.key, a.value, dweights=a.dweights, **options
        )
        alphas = alphas_of(self.normalizer, call.H)
        assert alphas is not None
        assert s.entmax_slope is not None
        with np.errstate(all="ignore"):
            bound = _bounds(s, a, score, alphas[:, None, None], eps, tiny)
        if bound is None:
            return  # rounding decides which keys have a weight

        given = [
            laid_out(array, layout)
            for array, layout in zip((a.query, a.key, a.value, a.dout), call.layouts, strict=True)
        ]
        if call.length_first:
            given = [array.swapaxes(-3, -2) for array in given]
            options["layout"] = "blhd"
        *inputs, dout = given
        with heedful.num_threads(call.threads):
            (out, weights), pullback = heedful.attention_vjp(
                *inputs, **options, return_weights=True
            )
            alone = heedful.attention(*inputs, **options)
            found = pullback(dout, dweights=a.dweights)
        assert alone.tobytes() == out.tobytes(), "attention and attention_vjp differ"
        outward = _swapped if call.length_first else _same
        assert_within(outward(out), s.result.out, bound["out"], "out")
        assert_within(weights, s.result.weights, bound["weights"], "weights")
        for name in ("query", "key", "value"):
            gradient = outward(getattr(found, name))
            assert_within(gradient, getattr(truth, name), bound[name], f"gradient of {name}")
        if "bias" in a.options:
            assert_within(found.bias, truth.bias, bound["bias"], "gradient of bias")


def _bounds(
    s: reference.Steps, a: Any, score: Array, alpha: Array, eps: float, tiny: float
) -> dict[str, Array] | None:
    assert s.entmax_slope is not None
    query, key, value = (np.abs(np.where(np.isfinite(x), x, 0)) for x in s[:3])
    dout, p, slope = np.abs(a.dout.astype(np.float64)), s.probability, s.entmax_slope
    seen = np.isfinite(s.result.scores)
    scores = np.where(seen, s.result.scores, 0)
    top = np.where(seen, s.result.scores, -np.inf).max(-1, keepdims=True, initial=-np.inf)
    relative = np.where(seen, (alpha - 1) * (scores - np.where(top > -np.inf, top, 0)), -np.inf)
    threshold = np.where(p > 0, relative - p ** (alpha - 1), -np.inf)
    threshold = threshold.max(-1, keepdims=True, initial=-np.inf)
    excess = np.where(seen & (threshold > -np.inf), relative - threshold, -np.inf)
    margin = 3 * (alpha - 1) * np.where(seen, score, 0).max(-1, keepdims=True, initial=0)
    margin = margin + 64 * eps
    low, high = np.maximum(excess - margin, 0), np.maximum(excess + margin, 0)
    power, of_slope = 1 / (alpha - 1), (2 - alpha) / (alpha - 1)

    def weight(t: Array) -> Array:
        return np.where(t > 0, np.where(t > 0, t, 1) ** power, 0)

    def slope_at(t: Array) -> Array:
        return np.where(t > 0, np.where(t > 0, t, 1) ** of_slope, 0)

    dp = np.maximum(weight(high) - p, p - weight(low)) + 16 * eps * power * p
    du = np.maximum(slope_at(high) - slope, slope - slope_at(low)) + 16 * eps * power * slope
    total = slope.sum(-1, keepdims=True)
    if (du.sum(-1, keepdims=True) > total / 4).any():
        return None
    total = np.where(total == 0, 1, total)
    keys, queries = p.shape[-1], p.shape[-2]
    many_keys, many_queries, many_columns = (
        (16 + np.sqrt(terms)) * eps for terms in (keys, queries, value.shape[-1])
    )

    dropout = np.asarray(s.dropout)
    of_weights = np.abs(np.asarray(a.dweights, np.float64)) if a.dweights is not None else 0.0
    dprob = (dout @ value.swapaxes(-1, -2) + of_weights) * dropout  # of which sums consist
    mean = (slope * dprob).sum(-1, keepdims=True) / total
    dmean = ((du * dprob).sum(-1, keepdims=True) + mean * du.sum(-1, keepdims=True)) / total * 2
    dmean = dmean + (many_keys + many_columns) * mean
    both = dprob + mean
    dscore = 2 * du * both + slope * (many_columns * dprob + dmean + 8 * eps * both) + 4 * tiny
    dscore = np.where(seen, dscore, 0)
    derivative = np.abs(np.asarray(s.cap_derivative))
    dlogit, whole = abs(s.scale) * dscore * derivative, abs(s.scale) * slope * both * derivative
    if a.options.get("softcap") is not None:
        cap = a.options["softcap"]
        bent = 4 * (16 * eps + np.minimum(score / cap, 1))
        dlogit = dlogit + abs(s.scale) * (slope + du) * both * bent
        whole = abs(s.scale) * slope * both
    dquery = dlogit @ key + many_keys * (whole @ key) + tiny
    dkey = _by_key(dlogit) @ query + many_queries * (_by_key(whole) @ query) + tiny
    dweight = dp * dropout
    dvalue = _by_key(dweight) @ dout + many_queries * (_by_key(p * dropout) @ dout) + tiny
    found = {
        "out": dweight @ value + many_keys * ((p * dropout) @ value) + tiny,
        "weights": dweight + 4 * tiny,
        "query": reference.sum_to(dquery, a.query.shape),
        "key": reference.sum_to(reference.sum_groups(dkey, a.key.shape), a.key.shape),
        "value": reference.sum_to(reference.sum_groups(dvalue, a.value.shape), a.value.shape),
    }
    if a.options.get("bias") is not None:
        shape = np.shape(a.options["bias"])
        many = (16 + np.sqrt(p.size / max(np.prod(shape), 1))) * eps
        found["bias"] = reference.sum_to(dscore + many * slope * both, shape)
    return found


def _by_key(array: Array) -> Array:
    return array.swapaxes(-1, -2)


def _swapped(array: Array) -> Array:
    return array.swapaxes(-3, -2)


def _same(array: Array) -> Array:
    return array
