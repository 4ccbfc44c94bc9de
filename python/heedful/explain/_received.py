"""received_attention: what tokens receive of the attention of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.explain._given_map import weights_of


def received_attention(weights: Any) -> Array:
    """The mean weight of each key over the queries.

    ::

        received[l, h, j] = 1/Lq Σ_i weights[l, h, i, j]

    Parameters
    ----------
    weights : AttentionMap or array_like, (layer, H, Lq, Lk)
        Layers of the same shape.

    Returns
    -------
    numpy.ndarray, (layer, H, Lk)
        float64. The sum over the keys is 1 where every query attends to something.

    Notes
    -----
    With causal attention, the first keys receive more because more queries see them. A token that
    receives much may matter little: its value may be near zero (see :func:`norm_weighted`).

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import received_attention
    >>> received_attention(np.array([[[[0.5, 0.5], [0.0, 1.0]]]]))
    array([[[0.25, 0.75]]])
    """
    found: Array = weights_of(weights).to_numpy().mean(-2, dtype=np.float64)
    return found
