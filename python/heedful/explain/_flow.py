"""flow: attention to the input tokens through all layers, as maximum flows."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain._mixing import mixing
from heedful.explain._selection import Choice, with_queries

# SciPy's capacities are 32-bit integers; the flow over an edge is at most the scale, either way
_SCALE = 1 << 29


def flow(
    weights: Any,
    *,
    queries: Choice | None = None,
    residual: float = 0.5,
    heads: str = "mean",
) -> AttentionMap:
    """Attention of the last layer's tokens to the input tokens, as maximum flows.

    The tokens of each layer are nodes; an edge leads from token i of a layer to token j of the
    layer below, with the capacity mix[l][i, j] of :func:`rollout`. The flow of a query to a key is
    the maximum from the query after the last layer to the key before the first, each computed by
    itself; those of a query are divided by their sum.

    Parameters
    ----------
    weights : AttentionMap or array_like, (layer, H, L, L)
        Self-attention of one sequence, all queries and keys, in the order of the computation.
    queries : int, str, slice or list of them, optional
        Positions or tokens whose flows are computed, see :meth:`AttentionMap.select`; None is all.
    residual, heads
        As in :func:`rollout`.

    Returns
    -------
    AttentionMap
        One layer, "flow", (1, queries, L), float64, with an error below L · 10⁻⁸.

    Raises
    ------
    ValueError
        Layers of several sequences, or with selected queries or keys.
    ImportError
        Without SciPy.

    Notes
    -----
    Abnar & Zuidema 2020, https://arxiv.org/abs/2005.00928; the flows are
    ``scipy.sparse.csgraph.maximum_flow``. L maximum flows for each query: a layer's tokens see
    nearly all others as bottlenecks, so flows are more even than rollout.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import flow
    >>> weights = np.array([[[[0.0, 1.0], [1.0, 0.0]]]] * 2)  # both look at the other
    >>> flow(weights, queries=0)[0].weights[0].round(3)
    array([[0.5, 0.5]])
    """
    attention_map, mix = mixing(weights, residual, heads)
    last = attention_map.layers[-1]
    whole = last._replace(name="flow", weights=np.zeros((1, *mix.shape[1:])), heads=())
    (chosen,) = [whole] if queries is None else with_queries([whole], queries)
    flows = _flows(mix, chosen.rows)
    total = flows.sum(-1, keepdims=True)
    flows /= np.where(total > 0, total, 1)
    return AttentionMap([chosen._replace(weights=flows[None])])


def _flows(mix: Array, queries: tuple[int, ...]) -> Array:
    """(queries, L) from mix (layer, L, L); node l · L + i is token i below layer l."""
    try:
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import maximum_flow
    except ImportError:
        raise ImportError("flow needs the package scipy: pip install scipy") from None

    capacity = np.rint(mix * _SCALE).astype(np.int32)
    layer, query, key = np.nonzero(capacity)
    layers, length = mix.shape[:2]
    nodes = (layers + 1) * length
    graph = csr_matrix(
        (capacity[layer, query, key], ((layer + 1) * length + query, layer * length + key)),
        shape=(nodes, nodes),
    )
    found = [
        [maximum_flow(graph, layers * length + row, column).flow_value for column in range(length)]
        for row in queries
    ]
    return np.array(found, np.float64) / _SCALE
