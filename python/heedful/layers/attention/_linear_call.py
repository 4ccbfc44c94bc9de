"""LinearCall: one call of linear attention, as taps see it."""

from __future__ import annotations

import numpy as np

from heedful.base._types import Array
from heedful.layers.attention._attention_call import AttentionCall, Heads, Rows


class LinearCall(AttentionCall):
    """weights[i, j] = φ(q[i]) · φ(k[j]) / Σ_j φ(q[i]) · φ(k[j]), which the layer never computes.

    Options: kept (…, Lk) and rows (…, Lq), which positions count, or None; causal.
    """

    @np.errstate(all="ignore")
    def _weigh(self, rows: Rows, average_heads: bool) -> Array:
        query, heads = self.query if rows is None else self.query[..., rows, :, :], []
        group = self.num_heads // max(1, self.key.shape[-2])
        seen = self._seen(rows)
        total: Array | float = 0.0
        for head in range(self.num_heads):
            q, k = _phi(query[..., head, :]), _phi(self.key[..., head // group, :])
            weights = np.where(seen, q @ k.swapaxes(-1, -2), 0)
            sums = weights.sum(-1, keepdims=True)
            weights = weights / np.where(sums > 0, sums, 1)
            if average_heads:
                total = total + weights / self.num_heads
            else:
                heads.append(weights.astype(query.dtype))
        if average_heads:
            return np.asarray(total, query.dtype)[..., None, :, :]
        return np.stack(heads, -3)

    def _seen(self, rows: Rows) -> Array:
        """Which keys a query sees, (…, R, Lk)."""
        length, keys = self.shape[-2:]
        chosen = np.arange(length) if rows is None else rows
        seen = np.ones((len(chosen), keys), np.bool_)
        if self.options["causal"]:
            seen = np.arange(keys) <= chosen[:, None]
        if self.options["kept"] is not None:
            seen = seen & self.options["kept"][..., None, :]
        if self.options["rows"] is not None:
            seen = seen & self.options["rows"][..., chosen, None]
        return seen

    def _selected(self, heads: Heads, item: int | None) -> AttentionCall:
        made = super()._selected(heads, item)
        if item is not None:
            for name in ("kept", "rows"):
                given = self.options[name]
                if given is not None and given.ndim > 1 and len(given) > 1:
                    made.options[name] = given[item : item + 1]
        return made


def _phi(x: Array) -> Array:
    """elu(x) + 1 in float64."""
    x = x.astype(np.float64)
    phi: Array = np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))
    return phi
