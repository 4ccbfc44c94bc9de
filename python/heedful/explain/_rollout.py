"""rollout: attention to the input tokens through all layers, as a product of matrices."""

from __future__ import annotations

from typing import Any

from heedful.explain._attention_map import AttentionMap
from heedful.explain._mixing import mixing


def rollout(weights: Any, *, residual: float = 0.5, heads: str = "mean") -> AttentionMap:
    """Attention of each layer's tokens to the input tokens, through the layers below.

    ::

        mix[l]     = residual · I + (1 − residual) · W[l]      rows divided by their sums
        rollout[l] = mix[l] · mix[l−1] · … · mix[0]

    with W[l] (L, L) the mean of the weights over the heads.

    Parameters
    ----------
    weights : AttentionMap or array_like, (layer, H, L, L)
        Self-attention of one sequence, all queries and keys, in the order of the computation.
    residual : float, default 0.5
        Share of the residual connection, which passes a token on as it is; from 0 to 1.
    heads : {"mean", "max", "min"}

    Returns
    -------
    AttentionMap
        rollout[l] in each layer, (1, L, L), float64: the last is that of the whole model. Rows sum
        to 1.

    Raises
    ------
    ValueError
        Layers of several sequences, or with selected queries or keys.

    Notes
    -----
    Abnar & Zuidema 2020, https://arxiv.org/abs/2005.00928. It assumes that values mix linearly and
    that no dimension matters more than another, so it shows paths, not contributions.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import rollout
    >>> weights = np.array([[[[0.0, 1.0], [1.0, 0.0]]]] * 2)  # both look at the other
    >>> rollout(weights)[-1].weights[0]
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    attention_map, mix = mixing(weights, residual, heads)
    layers, product = [], None
    for layer, own in zip(attention_map, mix, strict=True):
        product = own if product is None else own @ product
        layers.append(layer._replace(weights=product[None], heads=()))
    return AttentionMap(layers)
