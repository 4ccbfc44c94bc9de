"""KernelMean: means of targets, weighted by a Gaussian kernel, as attention over the examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful import attention, attention_vjp, attention_weights
from heedful.base._types import Array
from heedful.integrations.sklearn._distinct_rows import DistinctRows


class KernelMean:
    """Attention of queries to training examples::

        weight[i, j] = softmax over j of  log w_j − Σ_f (q_if − x_jf)² / 2 h_f²

    The term of the query alone cancels, so the scores are q' · x'_j − |x'_j|² / 2 + log w_j with
    q' and x' divided by the bandwidths h, which is attention with a bias of one row.

    Parameters
    ----------
    rows : DistinctRows
    order : (n,) of int, optional
        The order of the rows: the first ones are those that are left out.
    """

    def __init__(self, rows: DistinctRows, order: Array | None = None) -> None:
        share = rows.weights / rows.weights.sum()
        # differences of features are all that matters: a common offset would cost digits
        self.center = (share @ rows.x).astype(rows.x.dtype)
        x, targets = rows.x - self.center, rows.targets
        if order is not None:
            x, targets, share = x[order], targets[order], share[order]
        self.x, self.targets, self.share = x, targets, share

    def scaled(self, bandwidth: Any) -> tuple[Array, Array]:
        """Keys (n, F) and their bias (1, n)."""
        keys = (self.x / bandwidth).astype(self.x.dtype)
        squares = np.einsum("jf,jf->j", keys, keys, dtype=np.float64)
        return keys, (np.log(self.share) - squares / 2)[None]

    def predict(self, x: Array, bandwidth: Any) -> Array:
        """x (n, F) → (n, outputs)"""
        keys, bias = self.scaled(bandwidth)
        query = ((x - self.center) / bandwidth).astype(keys.dtype)
        found: Array = attention(query, keys, self.targets, bias=bias, scale=1.0)
        return found

    def weights(self, x: Array, bandwidth: Any) -> Array:
        """x (n, F) → (n, rows)"""
        keys, bias = self.scaled(bandwidth)
        query = ((x - self.center) / bandwidth).astype(keys.dtype)
        return attention_weights(query, keys, bias=bias, scale=1.0)

    def left_out(self, bandwidth: Any, count: int) -> Array:
        """The means for each of the first `count` rows over all others, (count, outputs)."""
        keys, bias = self.scaled(bandwidth)
        found: Array = attention(
            keys[:count], keys, self.targets, bias=bias, scale=1.0, exclude_self=True, align=0
        )
        return found

    def left_out_with_gradient(self, bandwidth: Any, count: int) -> tuple[Array, Any]:
        """The same, and a function from its gradient to that of log bandwidth, (F,)."""
        keys, bias = self.scaled(bandwidth)
        out, pullback = attention_vjp(
            keys[:count], keys, self.targets, bias=bias, scale=1.0, exclude_self=True, align=0
        )

        def gradient(dout: Array) -> Array:
            found = pullback(dout.astype(out.dtype))
            dkeys = found.key.astype(np.float64)
            dkeys[:count] += found.query
            assert found.bias is not None
            dkeys -= found.bias[0][:, None] * keys
            by_feature: Array = -np.einsum("jf,jf->f", dkeys, keys)
            return by_feature

        return out, gradient
