"""FeatureCall: one call of feature attention, as taps see it."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.functional._rows import check_rows
from heedful.layers.attention._attention_call import AttentionCall, Heads


class FeatureCall(AttentionCall):
    """One head; features are the keys, and positions the queries: a single one for x (B, F).

    given : the weights (…, F), once they are computed
    """

    given: Array

    def __init__(self, layer: Any, scores: Array, x: Array, *, training: bool) -> None:
        queries = scores[..., None] if scores.ndim > 2 else scores[..., None, :, None]
        super().__init__(layer, queries, queries, x, {}, training=training, is_self=False)
        self.raw = scores

    @property
    def shape(self) -> tuple[int, ...]:
        *batch, features = self.raw.shape
        *outer, length = batch if len(batch) > 1 else (*batch, 1)
        return (*outer, 1, length, features)

    @property
    def num_heads(self) -> int:
        return 1

    @property
    def scores(self) -> Array:
        """(…, F) with what has been added to them."""
        scores = self.raw
        if self.options.get("bias") is not None:
            scores = (scores.reshape(self.shape) + self.options["bias"]).reshape(scores.shape)
        if self.options.get("mask") is not None:
            hidden = ~np.broadcast_to(self.options["mask"], self.shape).reshape(scores.shape)
            if hidden.all(-1).any():
                raise ValueError("mask must leave at least one feature: got a row without any")
            scores = np.where(hidden, -np.inf, scores)
        return scores.astype(self.raw.dtype, copy=False)

    def weights(
        self, *, rows: Any = None, heads: Heads = None, average_heads: bool = False,
        item: int | None = None,
    ) -> Array:  # fmt: skip
        return self._part(self.given, rows, item)

    def weight_gradients(
        self, dheads: Array, *, rows: Any = None, heads: Heads = None,
        average_heads: bool = False, item: int | None = None,
    ) -> Array:  # fmt: skip
        return self._part(dheads * self.value, rows, item)

    def _part(self, array: Array, rows: Any, item: int | None) -> Array:
        found = array.reshape(self.shape)
        rows = check_rows(rows, self.shape[-2])
        found = found if rows is None else found[..., rows, :]
        item = self._checked(item)
        return found if item is None else found[item : item + 1]
