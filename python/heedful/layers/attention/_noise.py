"""What is random in attention while it is trained: dropout, and Gumbel noise with its choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful._checks import below_one, flag, positive, probability
from heedful.base._mode import Mode
from heedful.base._types import Array
from heedful.functional import Gradients, attention_vjp


def make_noise(
    layer: Any, dropout: Any, key_dropout: Any, gumbel_temperature: Any, hard: Any,
    sink: Any = False,
) -> None:  # fmt: skip
    """The settings of a layer, but for `head_dropout`, which a layer of one head does not have."""
    layer.dropout = probability("dropout", dropout)
    layer.key_dropout = below_one("key_dropout", key_dropout)
    temperature = gumbel_temperature
    if temperature is not None:
        temperature = positive("gumbel_temperature", temperature)
    layer.gumbel_temperature, layer.hard = temperature, flag("hard", hard)
    has_sink = flag("sink", sink)
    if layer.hard and temperature is None:
        raise ValueError("hard must be False without a gumbel_temperature: got True")
    if layer.hard and has_sink:
        raise ValueError("hard must be False with sink=True, which is no key to choose: got True")


def random_options(layer: Any, mode: Mode) -> dict[str, Any]:
    """The options of attention that are random in training."""
    options: dict[str, Any] = {
        name: value
        for name, value in (
            ("dropout_p", layer.dropout), ("key_dropout_p", layer.key_dropout),
            ("gumbel_temperature", layer.gumbel_temperature),
        )
        if value
    }  # fmt: skip
    return options | {"rng": mode.seed()} if options else {}


def drop_heads(layer: Any, mode: Mode, heads: Array) -> Callable[[Array], Array]:
    """Sets heads (…, L, H, D) to 0 with probability p, the others are divided by 1 − p.

    The same heads at all positions of an item; the function does the same to their gradients.
    """
    p = layer.head_dropout
    if not (mode.training and p):
        return _unchanged
    assert mode.rng is not None
    kept = mode.rng.random((*heads.shape[:-3], 1, heads.shape[-2], 1)) >= p
    growth = heads.dtype.type(1 / (1 - p))

    @np.errstate(all="ignore")
    def dropped(array: Array) -> Array:
        result: Array = np.where(kept, array * growth, array.dtype.type(0))
        return result

    return dropped


def _unchanged(array: Array) -> Array:
    return array


def hard_vjp(
    query: Array, key: Array, value: Array, **options: Any
) -> tuple[Any, Callable[..., Gradients]]:
    """attention_vjp with a one-hot choice for weights, and the straight-through gradient.

    ::

        soft   = softmax((score + g) / τ)        hard = 1 at the largest of a row, else 0
        out    = hard value
        dvalue = hardᵀ dout                      that of `out` as it is
        dsoft  = dout valueᵀ + dweights          as if the weights were the soft ones

    so that query, key and bias have the gradients of softmax attention. Weights that are returned
    are the hard ones, lse is that of the soft ones.
    """
    soft, of_soft = attention_vjp(query, key, value, **options)
    if not key.shape[-3]:
        return soft, of_soft
    hard, of_hard = attention_vjp(query, key, value, **{**options, "top_k": 1})
    if options.get("return_lse"):
        hard = (hard[0], soft[1], *hard[2:])

    def pullback(
        dout: Array, dlse: Any = None, dweights: Any = None, bias_gradient: bool = True
    ) -> Gradients:
        gradients: Gradients = of_soft(dout, dlse, dweights, bias_gradient)
        return gradients._replace(value=of_hard(dout, bias_gradient=False).value)

    return hard, pullback


def noise_shown(layer: Any) -> str:
    names = ("key_dropout", "head_dropout", "gumbel_temperature")
    shown = "".join(f", {name}={value:g}" for name in names if (value := getattr(layer, name, 0)))
    return shown + (", hard=True" if getattr(layer, "hard", False) else "")
