"""What scores are converted to weights by: softmax, or α-entmax with an α of each head."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful._checks import named, numbers, real
from heedful.functional._dtypes import DType, gradient_type

_NAMED = {"softmax": 1.0, "entmax15": 1.5, "sparsemax": 2.0}


class Normalizer(NamedTuple):
    """α-entmax."""

    alphas: NDArray[np.float64]  # (H,)
    gradient: DType | None  # the type of α's gradient, where it was given for each head


def check_normalizer(normalizer: Any, heads: int) -> Normalizer | None:
    """None is softmax."""
    if isinstance(normalizer, str):
        if normalizer not in _NAMED:
            raise ValueError(f"{_expected(heads)}: got {named(normalizer)}")
        alpha = _NAMED[normalizer]
        return None if alpha == 1 else Normalizer(np.full(heads, alpha), None)
    if not isinstance(normalizer, (np.ndarray, list, tuple)) or np.ndim(normalizer) == 0:
        try:
            alpha = real("normalizer", normalizer)
        except TypeError:
            raise TypeError(f"{_expected(heads)}: got {named(normalizer)}") from None
        if not 1 < alpha <= 2:
            raise ValueError(f"{_expected(heads)}: got {named(normalizer)}")
        return Normalizer(np.full(heads, alpha), None)
    given = numbers("normalizer", normalizer)
    alphas = np.ascontiguousarray(given, np.float64)
    if alphas.shape != (heads,) or not ((alphas > 1) & (alphas <= 2)).all():
        raise ValueError(f"{_expected(heads)}: got {named(normalizer)}")
    return Normalizer(alphas, gradient_type(given.dtype))


def _expected(heads: int) -> str:
    return (
        "normalizer must be 'softmax', 'entmax15', 'sparsemax', or α with 1 < α ≤ 2, one number or "
        f"one for each of {heads} heads"
    )


def refuse_with_normalizer(top_k: Any, sink: Any, min_weight: Any, gumbel_temperature: Any) -> None:
    """What has no meaning where weights are 0 below a threshold."""
    for name, given, none, reason in (
        ("top_k", top_k is not None, None, "the normalizer itself chooses the keys"),
        ("sink", sink is not None, None, "a row has a threshold, and no sum that it is part of"),
        ("min_weight", min_weight != 0, 0.0, "small weights are 0 already"),
        (
            "gumbel_temperature",
            gumbel_temperature is not None,
            None,
            "the largest noisy score is a choice by softmax's weights alone",
        ),
    ):
        if given:
            raise ValueError(f"{name} must be {none} where normalizer is not 'softmax': {reason}")


def refuse_lse(normalizer: Normalizer | None, return_lse: bool) -> None:
    if return_lse and normalizer is not None:
        raise ValueError(
            "return_lse must be False where normalizer is not 'softmax': rows have a threshold, "
            "and no log-sum-exp by which pieces of the keys could be merged"
        )
