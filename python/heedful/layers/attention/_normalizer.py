"""What an attention layer converts scores to weights by."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from heedful._checks import named, real
from heedful.base._parameter import Parameter
from heedful.base._types import Array

Normalizer: TypeAlias = str | float

_NAMES = ("softmax", "entmax15", "sparsemax", "entmax")
_MIN_SHARE = 2.0**-10  # α is at least 1 + this: closer to 1, weights lose digits in float32


def make_normalizer(
    layer: Any, normalizer: Any, top_k: Any, sink: Any, gumbel_temperature: Any, adaptive_span: Any
) -> None:
    """The setting and the parameter of a layer that has its sizes and its type."""
    layer.normalizer = check_layer_normalizer(
        normalizer, top_k, sink, gumbel_temperature, adaptive_span
    )
    learns = layer.normalizer == "entmax"
    layer.alpha_logits = Parameter(np.zeros(layer.num_heads, layer.dtype)) if learns else None


def check_layer_normalizer(
    normalizer: Any, top_k: Any, sink: Any, gumbel_temperature: Any, adaptive_span: Any
) -> Normalizer:
    """A name or α; "entmax" learns an α for each head."""
    expected = (
        "normalizer must be 'softmax', 'entmax15', 'sparsemax', 'entmax', or α with 1 < α ≤ 2: "
        f"got {named(normalizer)}"
    )
    if isinstance(normalizer, str):
        if normalizer not in _NAMES:
            raise ValueError(expected)
    else:
        try:
            alpha = real("normalizer", normalizer)
        except TypeError:
            raise TypeError(expected) from None
        if not 1 < alpha <= 2:
            raise ValueError(expected)
        normalizer = alpha
    if normalizer != "softmax":
        for name, value, none in (
            ("top_k", top_k, None), ("sink", sink, False),
            ("gumbel_temperature", gumbel_temperature, None),
            ("adaptive_span", adaptive_span, None),
        ):  # fmt: skip
            if value is not none:
                raise ValueError(
                    f"{name} must be {none} where normalizer is not 'softmax': got {named(value)}"
                )
    checked: Normalizer = normalizer
    return checked


def alphas_of(layer: Any) -> Array:
    """α of each head of a layer without softmax, in float64; learned, it is 1 + σ(logit)."""
    alphas: Array
    if layer.normalizer == "entmax":
        logits = layer.optional("alpha_logits", (layer.num_heads,))
        share = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))
        alphas = 1 + np.maximum(share, _MIN_SHARE)
    else:
        alpha = {"entmax15": 1.5, "sparsemax": 2.0}.get(str(layer.normalizer), layer.normalizer)
        alphas = np.full(layer.num_heads, alpha, np.float64)
    return alphas


def logit_gradient(alphas: Array, dalphas: Array) -> Array:
    """dα · σ (1 − σ)"""
    share = alphas - 1
    gradient: Array = dalphas * share * (1 - share)
    return gradient
