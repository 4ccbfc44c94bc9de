"""norm_weighted: attention weights times the norms of what they weigh."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import flag, numbers
from heedful.base._types import Array


def norm_weighted(
    weights: ArrayLike,
    value: ArrayLike,
    out_proj_weight: ArrayLike,
    *,
    sum_heads: bool = False,
) -> Array:
    """How long the vectors are that queries receive from keys, rather than how large the weights.

    ::

        received[h, i, j] = ‖ weights[h, i, j] · Wo[h] v[h, j] ‖
        received[i, j]    = ‖ Σ_h weights[h, i, j] · Wo[h] v[h, j] ‖        with sum_heads

    where Wo[h] (E, Dv) are the columns of `out_proj_weight` that read head h. A large weight of a
    key with a small value, such as that of [SEP] in BERT, adds little.

    Parameters
    ----------
    weights : array_like, (H, Lq, Lk)
        Of one layer, such as ``attention_map[3].weights``.
    value : array_like, (Hkv, Lk, Dv)
        Projected values, their bias added; Hkv divides H.
    out_proj_weight : array_like, (E, H · Dv)
        Weight of the output projection, such as ``layer.out_proj.weight``.
    sum_heads : bool, default False
        The norm of the sum over the heads.

    Returns
    -------
    numpy.ndarray, (H, Lq, Lk), or (Lq, Lk) with `sum_heads`
        float64.

    Raises
    ------
    ValueError
        Shapes that do not fit together.

    Notes
    -----
    Kobayashi et al. 2020, https://arxiv.org/abs/2004.10102.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import norm_weighted
    >>> weights = np.array([[[0.9, 0.1]]])  # one head, one query, two keys
    >>> value = np.array([[[0.0, 0.01], [3.0, 4.0]]])
    >>> norm_weighted(weights, value, np.eye(2))
    array([[[0.009, 0.5  ]]])
    """
    w = numbers("weights", weights).astype(np.float64)
    v = numbers("value", value).astype(np.float64)
    projection = numbers("out_proj_weight", out_proj_weight).astype(np.float64)
    if w.ndim != 3:
        raise ValueError(f"weights must be (H, Lq, Lk), 3 axes: got shape {w.shape}")
    heads, _, keys = w.shape
    if v.ndim != 3 or v.shape[1] != keys or v.shape[0] == 0 or heads % v.shape[0]:
        raise ValueError(
            f"value must be (Hkv, {keys}, Dv) with Hkv a divisor of {heads}: got shape {v.shape}"
        )
    v = np.repeat(v, heads // v.shape[0], axis=0)
    if projection.ndim != 2 or projection.shape[1] != heads * v.shape[2]:
        raise ValueError(
            f"out_proj_weight must be (E, {heads * v.shape[2]}): got shape {projection.shape}"
        )
    of_head = projection.reshape(len(projection), heads, v.shape[2]).transpose(1, 2, 0)
    vectors = v @ of_head  # (H, Lk, E)
    if not flag("sum_heads", sum_heads):
        found: Array = np.abs(w) * np.linalg.norm(vectors, axis=-1)[:, None]
        return found
    by_key = vectors.transpose(1, 0, 2)  # (Lk, H, E)
    # a query at a time: the vectors of all pairs would take Lq · Lk · E numbers
    rows = [np.linalg.norm(row.T[:, None] @ by_key, axis=(1, 2)) for row in w.transpose(1, 0, 2)]
    summed: Array = np.array(rows).reshape(w.shape[1:])
    return summed
