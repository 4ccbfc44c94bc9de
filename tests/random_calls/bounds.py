"""How far rounding alone may take a result from the exact one, element by element.

Every sum of n terms t is granted (16 + √n) · eps · Σ |t|, a probability exp(score − lse) the
rounding of its score and of its lse, and what is computed from them likewise. `eps` is that
of the type that is computed in; the type of the result adds its own rounding. The bounds are those
of a first-order error analysis, times `SAFETY`, and hold for values of any size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import reference

Array = NDArray[Any]
SAFETY = 3.0


class Bounds(NamedTuple):
    out: Array
    lse: Array
    weights: Array
    scores: Array
    dquery: Array
    dkey: Array
    dvalue: Array
    dbias: Array | None
    dsink: Array | None


def bounds(s: reference.Steps, arrays: Any, computing: np.dtype[Any]) -> Bounds:
    """`arrays` has query, key, value, options, dout, dlse, dweights; `s` follows from them."""
    with np.errstate(all="ignore"):
        return _bounds(s, arrays, float(np.finfo(computing).eps), float(np.finfo(computing).tiny))


def of_all_scores(a: Any, computing: np.dtype[Any], **more: Any) -> tuple[reference.Steps, Array]:
    """The scores that top_k selects from, in the steps of a call without it, and their bounds."""
    options = {name: given for name, given in a.options.items() if name != "top_k"}
    s = reference.steps(a.query, a.key, a.value, **options, **more)
    return s, bounds(s, a._replace(options=options), computing).scores


def unclear(a: Any, computing: np.dtype[Any], **more: Any) -> bool:
    """Whether rounding may decide which keys top_k keeps."""
    top_k = a.options.get("top_k", a.key.shape[-2])
    if top_k >= a.key.shape[-2]:
        return False
    s, error = of_all_scores(a, computing, **more)
    tiny = float(np.finfo(computing).tiny)  # below it scores, and a scale, lose digits
    ranked = -np.sort(-s.logits, axis=-1)
    with np.errstate(invalid="ignore"):  # of hidden keys
        gap = ranked[..., top_k - 1] - ranked[..., top_k]
        return bool((gap <= 2 * SAFETY * s.slope * (error.max(-1, initial=0) + tiny)).any())


def _bounds(s: reference.Steps, a: Any, eps: float, tiny: float) -> Bounds:
    options, p = a.options, s.probability
    query, key, value = (np.abs(np.where(np.isfinite(x), x, 0)) for x in s[:3])
    dout = np.abs(a.dout.astype(np.float64))

    # scores: products, slopes and bias, each with its own rounding
    size = abs(s.scale) * (query @ key.swapaxes(-1, -2))
    if options.get("alibi_slopes") is not None or options.get("bias") is not None:
        size = size + np.abs(np.where(s.allowed, s.result.scores, 0))
        if options.get("bias") is not None:
            bias = np.asarray(options["bias"], np.float64)
            size = size + np.abs(np.where(np.isfinite(bias), bias, 0))
        if options.get("alibi_slopes") is not None:
            slopes = np.abs(np.asarray(options["alibi_slopes"], np.float64))[..., :, None, None]
            size = size + slopes * np.abs(_distances(s, options))
    if options.get("softcap") is not None:
        size = size + 8 * options["softcap"]
    score = np.where(np.isfinite(s.result.scores), _sum(query.shape[-1]) * eps * size, 0)
    logit = np.where(s.allowed, score, 0)  # what softmax sees
    if s.slope != 1:
        noisy = np.where(s.allowed, np.abs(s.logits) / s.slope + np.abs(s.result.scores), 0)
        logit = (logit + 16 * eps * (1 + noisy)) * s.slope
    lse = s.result.lse
    finite_lse = np.abs(np.where(np.isfinite(lse), lse, 0))
    row = (p * logit).sum(-1) + eps * (8 + 4 * finite_lse)
    spread = np.abs(np.where(s.allowed, s.logits, 0)) + finite_lse[..., None]
    relative = np.expm1(np.minimum(logit + row[..., None] + eps * (16 + 4 * spread), 80))
    weight = p * s.dropout
    dweight = weight * relative + 4 * tiny * np.asarray(s.dropout)

    # out
    mean = weight @ value
    out = dweight @ value + _sum(p.shape[-1]) * eps * mean + tiny
    returned = out
    rounds = a.value.dtype == ml_dtypes.bfloat16 or a.query.dtype == ml_dtypes.bfloat16
    if rounds:
        returned = out + 2.0**-8 * mean  # pairs and tiles round the weights, as PyTorch does

    # backward
    of_weights = np.abs(np.asarray(a.dweights, np.float64)) if a.dweights is not None else 0.0
    dprob = (dout @ value.swapaxes(-1, -2) + of_weights) * s.dropout
    delta = (dout * mean).sum(-1) + (weight * of_weights).sum(-1)
    ddelta = (dout * out).sum(-1) + _sum(value.shape[-1]) * eps * (dout * mean).sum(-1)
    ddelta = ddelta + (dweight * of_weights).sum(-1)
    ddelta = ddelta + _sum(p.shape[-1]) * eps * (weight * of_weights).sum(-1)
    if a.dlse is not None:
        delta = delta + np.abs(a.dlse)
    ddelta = ddelta + 4 * eps * delta
    both = dprob + delta[..., None]
    dscore = p * (
        relative * both + _sum(value.shape[-1]) * eps * dprob + ddelta[..., None] + 8 * eps * both
    ) + 4 * tiny * (1 + both)
    dscore = np.where(s.allowed, dscore, 0) * s.slope
    both = both * s.slope
    derivative = np.abs(np.asarray(s.cap_derivative))
    dlogit = abs(s.scale) * (dscore * derivative)
    whole = abs(s.scale) * p * both * derivative
    if options.get("softcap") is not None:
        bent = 4 * (eps * 16 + np.minimum(score / options["softcap"], 1))
        dlogit = dlogit + abs(s.scale) * p * both * bent
        whole = abs(s.scale) * p * both
    queries, keys = p.shape[-2:]
    many_keys, many_queries = _sum(keys) * eps, _sum(queries) * eps
    dquery = dlogit @ key + many_keys * (whole @ key) + tiny
    dkey = _by_key(dlogit) @ query + many_queries * (_by_key(whole) @ query)
    dvalue = _by_key(dweight) @ dout + many_queries * (_by_key(weight) @ dout)
    if rounds:  # weights and score gradients, which for dquery keep 16 bits
        dquery = dquery + 2.0**-16 * (whole @ key)
        dkey = dkey + 2.0**-8 * (_by_key(whole) @ query)
        dvalue = dvalue + 2.0**-8 * (_by_key(weight) @ dout)
    dbias = dsink = None
    if options.get("bias") is not None:
        many = _sum(p.size / max(np.size(options["bias"]), 1))
        dbias = reference.sum_to(dscore + many * eps * p * both, np.shape(options["bias"]))
    if options.get("sink") is not None:
        of_sink = np.where(s.exists, np.exp(s.sinks - lse), 0)
        error = 4 * tiny * (1 + delta) + of_sink * (
            ddelta
            + delta
            * (
                row
                + eps * (16 + 4 * (np.abs(np.where(np.isfinite(s.sinks), s.sinks, 0)) + finite_lse))
            )
            + _sum(p.size) * eps * delta
        )
        dsink = (
            reference.sum_to(error * s.slope, (p.shape[-3], 1)).reshape(np.shape(options["sink"]))
            + tiny
        )
    return Bounds(
        returned, np.where(np.isfinite(lse), row, 0), dweight, score,
        reference.sum_to(dquery, a.query.shape),
        reference.sum_to(reference.sum_groups(dkey + tiny, a.key.shape), a.key.shape),
        reference.sum_to(reference.sum_groups(dvalue + tiny, a.value.shape), a.value.shape),
        dbias, dsink,
    )  # fmt: skip


def _by_key(array: Array) -> Array:
    return array.swapaxes(-1, -2)


def _sum(terms: float) -> float:
    return 16 + float(np.sqrt(terms))


def _distances(s: reference.Steps, options: dict[str, Any]) -> Array:
    """An upper bound of |p − j|."""
    queries, keys = s.probability.shape[-2:]
    align = options.get("align")
    offset = keys + queries if align is None or isinstance(align, str) else np.abs(align).max()
    return np.abs(np.arange(queries)[:, None] - np.arange(keys)) + offset + keys


def assert_within(found: Any, exact: Any, bound: Any, what: str) -> None:
    """|found − exact| ≤ bound, and the rounding to the type of `found`."""
    found = np.asarray(found)
    exact = np.asarray(exact)
    assert found.shape == exact.shape, f"{what}: shape {found.shape}, expected {exact.shape}"
    if not found.size:
        return
    info = ml_dtypes.finfo(found.dtype)
    largest, eps = float(info.max), float(info.eps)
    number = found.astype(np.float64)
    with np.errstate(all="ignore"):
        allowed = SAFETY * bound + eps * np.abs(exact) + float(info.smallest_subnormal)
        error = np.abs(number - exact)
        # it may be rounded to an infinity, of its sign where that is certain
        beyond = ~(np.abs(exact) + allowed < largest * (1 - 16 * eps)) & ~np.isnan(exact)
        certain = np.abs(exact) > allowed
        wrong = np.isnan(number) != np.isnan(exact)
        wrong |= np.isinf(number) & ~beyond
        wrong |= np.isfinite(number) & ~np.isfinite(exact)
        wrong |= (np.sign(number) != np.sign(exact)) & beyond & certain
        wrong |= np.isfinite(exact) & ~beyond & (error > allowed)
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{what}: {int(wrong.sum())} of {found.size} are off, the first at {place}: "
            f"{number[place]:.9g}, expected {exact[place]:.9g}, "
            f"error {error[place]:.3g}, allowed {np.broadcast_to(allowed, error.shape)[place]:.3g}"
        )
