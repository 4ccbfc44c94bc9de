"""norm_map: attention weights of a model, times the norms of what they weigh."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import flag
from heedful.base._taps import Tap
from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain._attention_map_of import attention_map
from heedful.explain._layer_choice import Patterns, chosen_layers
from heedful.explain._norm_weighted import norm_weighted
from heedful.layers import Layer

# values of heads between learned projections; others have none, or no weights that sum to 1
_WITHOUT = ("additive", "features", "linear", "pooling", "relative")


def norm_map(
    model: Any,
    inputs: Any,
    *,
    layers: Patterns = "*",
    sum_heads: bool = False,
    tokens: Any = None,
    item: int = 0,
) -> AttentionMap:
    """How long the vectors are that queries receive from keys, see :func:`norm_weighted`.

    Parameters
    ----------
    model, inputs, tokens, item
        As in :func:`attention_map`.
    layers : str or sequence of str, default "*"
        Patterns of the dotted names of :class:`heedful.layers.MultiHeadAttention` layers.
    sum_heads : bool, default False
        The norm of the sum over the heads.

    Returns
    -------
    AttentionMap
        Norms in the place of weights, float64: (H, Lq, Lk) of each layer, or (1, Lq, Lk) with
        `sum_heads`. Their sums over the keys are not 1.

    Raises
    ------
    ValueError, IndexError, TypeError
        As :func:`attention_map`.

    Notes
    -----
    Kobayashi et al. 2020, https://arxiv.org/abs/2004.10102.

    Examples
    --------
    >>> from heedful.explain import norm_map
    >>> from heedful.layers import BertEncoder
    >>> model = BertEncoder(100, 16, 2, 2, 64, max_length=32, rng=0)
    >>> norm_map(model, [[5, 6, 7]], tokens=["to", "be", "or"])
    AttentionMap(2 layers: 2 heads, 3 queries × 3 keys)
    """
    chosen = chosen_layers(model, "layers", layers, without=_WITHOUT)
    sum_heads = flag("sum_heads", sum_heads)
    with _Values(chosen) as values:
        weights = attention_map(model, inputs, list(chosen), tokens=tokens, item=item)
    if not isinstance(model, Layer) and callable(getattr(model, "tokens", None)):
        item = 0  # its text alone was computed
    found = []
    for layer, (value, of) in zip(weights, values.seen, strict=True):
        own = value[item] if value.ndim == 4 else value
        heads = own[: layer.weights.shape[2]].swapaxes(0, 1)  # without padding
        norms = norm_weighted(layer.weights, heads, _weight_of(of.out_proj), sum_heads=sum_heads)
        changes = {"weights": norms[None], "heads": ()} if sum_heads else {"weights": norms}
        found.append(layer._replace(**changes))
    return AttentionMap(found)


class _Values(Tap):
    """Keeps the values (…, Lk, Hkv, Dv) and the layer of each call."""

    def __init__(self, layers: dict[str, Any]) -> None:
        super().__init__(layers)
        self.seen: list[tuple[Array, Any]] = []

    def see(self, call: Any) -> None:
        self.seen.append((call.value, call.layer))


def _weight_of(linear: Any) -> Array:
    """(E, H · Dv), of int8 weights too."""
    weight: Array = linear.weight
    return weight * linear.weight_scale[:, None] if weight.dtype == np.int8 else weight
