"""head_behaviour: a table of what the heads of a model look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.explain._given_map import weights_of
from heedful.explain._head_table import HeadBehaviour, HeadTable
from heedful.explain._layer_weights import LayerWeights


def head_behaviour(weights: Any, *, separators: Sequence[str] = ("[SEP]", "</s>")) -> HeadTable:
    """What each head looks at: how evenly, how far, and the share on tokens of special positions.

    Parameters
    ----------
    weights : AttentionMap or array_like, (layer, H, Lq, Lk)
    separators : sequence of str
        Tokens that are separators.

    Returns
    -------
    HeadTable
        A list with a HeadBehaviour for each head of each layer, printed as a table; `to_pandas`
        makes a DataFrame. NaN where something has no meaning: distance, previous, same and next in
        attention to another sequence, first where its weights are not in the map.

    Notes
    -----
    Clark et al. 2019, https://arxiv.org/abs/1906.04341; distance: Vig & Belinkov 2019,
    https://arxiv.org/abs/1906.04284. Where `is_self` of a layer does not tell, attention is
    taken as that within one sequence if the tokens of queries and keys are the same at the same
    positions.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, head_behaviour
    >>> weights = np.eye(3, k=-1) + np.eye(3)[[0]] * [[1], [0], [0]]  # each at the previous token
    >>> found = head_behaviour(AttentionMap.from_numpy(weights[None, None], ["a", "b", "[SEP]"]))
    >>> found
    layer  head  entropy  distance  first  previous  same  next  separators
    0         0     0.00      0.67   0.67      1.00  0.33  0.00        0.00
    >>> found[0].previous
    1.0
    """
    if isinstance(separators, str) or not all(isinstance(token, str) for token in separators):
        raise TypeError(f"separators must be a list of tokens: got {named(separators)}")
    wanted = frozenset(separators)
    return HeadTable(row for layer in weights_of(weights) for row in _of_layer(layer, wanted))


def entropies(layer: LayerWeights) -> Array:
    """(H,) the mean over the queries that attend to something."""
    weights = layer.weights.astype(np.float64)
    smallest = np.finfo(np.float64).tiny
    return _mean(-(weights * np.log(np.maximum(weights, smallest))).sum(-1), weights.sum(-1) > 0)


def _of_layer(layer: LayerWeights, separators: frozenset[str]) -> list[HeadBehaviour]:
    weights = layer.weights.astype(np.float64)
    seen = weights.sum(-1) > 0  # (H, Lq)
    rows, columns = np.array(layer.rows), np.array(layer.key_positions)
    offset = columns[None] - rows[:, None]  # (Lq, Lk)
    is_separator = np.array([token in separators for token in layer.key_tokens], bool)

    def at(distance: int) -> Array:
        there = offset == distance
        return _mean((weights * there).sum(-1), seen & there.any(-1))

    unknown = np.full(len(weights), np.nan)
    distance = previous = same = following = first = unknown
    if layer.is_within:
        distance = _mean((weights * np.abs(offset)).sum(-1), seen)
        previous, same, following = at(-1), at(0), at(1)
    if 0 in columns:
        first = _mean((weights * (columns == 0)).sum(-1), seen)
    of_separators = _mean((weights * is_separator).sum(-1), seen)
    columns_of_table = (
        entropies(layer), distance, first, previous, same, following, of_separators,
    )  # fmt: skip
    return [
        HeadBehaviour(layer.name, head, *map(float, values))
        for head, *values in zip(layer.heads or (None,), *columns_of_table, strict=True)
    ]


def _mean(of_rows: Array, counted: Array) -> Array:
    """(H, Lq) → (H,), over the counted rows; NaN where there are none."""
    count = np.where(counted.any(-1), counted.sum(-1), np.nan)
    found: Array = np.where(counted, of_rows, 0).sum(-1) / count
    return found
