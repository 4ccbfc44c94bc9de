"""Penalties of one checked call: their value, and the coefficients of their gradients.

With p the weights before dropout, s the scores, t a target and c the weight of a penalty over the
number of rows that attend to something (see cpp/attention/backward/penalty/coefficients.hpp):

    dscore = p ∘ (α p + β s + γ) + δ sign(s) + ε s − τ t
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import named, one_of, real
from heedful._core import native
from heedful.functional._call import Call
from heedful.functional._dtypes import Array, as_array
from heedful.functional._forward import check_returned
from heedful.functional._options import unexpected
from heedful.functional._results import allocate

OF_WEIGHTS = ("l2", "entropy", "negative_entropy")
OF_SCORES = ("scores_l1", "scores_l2")
KINDS = (*OF_WEIGHTS, *OF_SCORES, "z")  # those that need no target
_SQUARES, _ENTROPY, _MAGNITUDES, _SCORE_SQUARES, _KEYS, _TARGETS, _DIVERGENCE = range(7)
# options of attention_vjp, not with penalties
_REFUSED = {"out", "average_heads", "return_skipped"}
_ALPHA, _BETA, _GAMMA, _DELTA, _EPSILON, _TAU = range(6)


class Penalised(NamedTuple):
    value: float
    coefficients: Array  # (*batch, H, Lq, 6)


def check_kind(name: str, kind: Any, kinds: tuple[str, ...] = (*KINDS, "target")) -> str:
    if isinstance(kind, str) and kind == "l1":
        raise ValueError(
            f"{name} must not be 'l1': the weights of a row are positive and sum to 1, so their "
            "L1 norm is constant and has no gradient"
        )
    return one_of(name, kind, kinds)


def check_penalties(
    penalties: Any, num_heads: int, kinds: tuple[str, ...] = KINDS
) -> dict[str, float | Array]:
    """The weights of penalties, as :func:`penalised_attention_vjp` takes them, checked.

    Parameters
    ----------
    penalties : mapping of str to float or array_like, (H,)
    num_heads : int
        H.
    kinds : tuple of str
        Those that are known, with "target" where there is one.

    Returns
    -------
    dict of str to float or numpy.ndarray
        The weight of each kind: one for all heads, or (H,) in float64.

    Raises
    ------
    ValueError
        An unknown kind, "l1", "target" where it is not known; a weight of another shape, negative
        or not finite.
    TypeError
        What is no mapping, and weights that are no numbers.

    Examples
    --------
    >>> from heedful.functional import check_penalties
    >>> check_penalties({"entropy": 1, "z": [0.1, 0.2]}, 2)
    {'entropy': 1.0, 'z': array([0.1, 0.2])}
    """
    if not isinstance(penalties, Mapping):
        raise TypeError(
            f"penalties must map kinds to weights, such as {{'entropy': 0.01}}: "
            f"got {named(penalties)}"
        )
    found: dict[str, float | Array] = {}
    for kind, given in penalties.items():
        if isinstance(kind, str) and kind == "target" and "target" not in kinds:
            raise ValueError("penalties must not have 'target': see heedful.attention_penalty")
        kind = check_kind("penalties", kind, kinds)
        found[kind] = _check_weight(f"penalties[{kind!r}]", given, num_heads)
    return found


def check_penalised(
    function: Callable[..., Any], vjp: Callable[..., Any], options: dict[str, Any]
) -> tuple[bool, bool]:
    """return_lse and return_weights, taken out of the options of `vjp` that `function` got."""
    known = (vjp.__kwdefaults__ or {}).keys() - _REFUSED
    foreign = [option for option in options if option not in known]
    if foreign:
        raise unexpected(function, foreign, known)
    for option in ("sink", "top_k"):
        if options.get(option) is not None:
            raise ValueError(f"{option} must be None with penalties, which are of whole rows")
    normalizer = options.get("normalizer", "softmax")
    if not isinstance(normalizer, str) or normalizer != "softmax":
        raise ValueError(
            "normalizer must be 'softmax' with penalties, which are of its weights: "
            f"got {named(normalizer)}"
        )
    return check_returned(options.pop("return_lse", False), options.pop("return_weights", False))


def _check_weight(name: str, given: Any, num_heads: int) -> float | Array:
    if np.ndim(given) == 0:
        weight: float | Array = real(name, given)
    else:
        array = as_array(name, given)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{name} must hold real numbers: got {named(array)}")
        if array.shape != (num_heads,):
            raise ValueError(f"{name} must be a number or have shape ({num_heads},): "
                             f"got {array.shape}")  # fmt: skip
        weight = array.astype(np.float64)
    if not np.isfinite(weight).all():
        raise ValueError(f"{name} must be finite: got {named(given)}")
    if np.less(weight, 0).any():
        hint = ", 'negative_entropy' has the other sign" if "'entropy'" in name else ""
        raise ValueError(f"{name} must not be negative{hint}: got {named(given)}")
    return weight


def statistics_of(
    call: Call, lse: Array, kinds: Mapping[str, Any],
    compute: Callable[..., None] = native.row_statistics,
) -> Array:  # fmt: skip
    """(*batch, H, Lq, 7), without those of a target."""
    found = allocate("the statistics", (*lse.shape, 7), lse.dtype, 0)
    of_weights, of_scores = (any(kind in kinds for kind in of) for of in (OF_WEIGHTS, OF_SCORES))
    if of_weights or of_scores:
        compute(
            call.query, call.key, lse, found, of_weights, of_scores, None,
            *call.shared, *call.random,
        )  # fmt: skip
    return found


@np.errstate(all="ignore")
def penalised(lse: Array, statistics: Array, weights: Mapping[str, float | Array]) -> Penalised:
    """Σ_kind weight · the mean of the kind over rows that attend to something."""
    attends = lse != -math.inf
    count = max(int(np.count_nonzero(attends)), 1)
    coefficients = allocate("the coefficients", (*lse.shape, 6), lse.dtype, 0)
    rows = np.where(attends, lse, lse.dtype.type(0))
    keys = np.maximum(statistics[..., _KEYS], 1)
    total = 0.0
    for kind, weight in weights.items():
        c = np.reshape(weight, (-1, 1)) / count  # (H or 1, 1)
        if kind == "l2":
            value = statistics[..., _SQUARES]
            coefficients[..., _ALPHA] += 2 * c * attends
            coefficients[..., _GAMMA] -= 2 * c * value
        elif kind in ("entropy", "negative_entropy"):
            c = c if kind == "entropy" else -c
            value = statistics[..., _ENTROPY]
            coefficients[..., _BETA] -= c * attends
            coefficients[..., _GAMMA] += c * (rows - value)
        elif kind == "z":
            value = rows * rows
            coefficients[..., _GAMMA] += 2 * c * rows
        elif kind == "scores_l1":
            value = statistics[..., _MAGNITUDES] / keys
            coefficients[..., _DELTA] += c / keys * attends
        elif kind == "scores_l2":
            value = statistics[..., _SCORE_SQUARES] / keys
            coefficients[..., _EPSILON] += 2 * c / keys * attends
        else:
            value = statistics[..., _DIVERGENCE]
            coefficients[..., _GAMMA] += c * statistics[..., _TARGETS]
            coefficients[..., _TAU] += c * attends
        total += float(np.sum(c * value, dtype=np.float64))
    return Penalised(total, coefficients)
