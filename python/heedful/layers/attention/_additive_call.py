"""AdditiveCall: one call of additive attention, as taps see it."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.functional import additive_attention
from heedful.functional._rows import spans
from heedful.layers.attention._attention_call import AttentionCall, Rows
from heedful.layers.attention._choice import one_hot

_PIECE = 1 << 20  # weights at a time


class AdditiveCall(AttentionCall):
    """Queries, keys and values (…, L, 1, E) of one head; options of additive attention."""

    def choices(self) -> Array:
        """The key of the highest score of each query (…, Lq), the first of several; −1 for none."""
        *batch, _, length, keys = self.shape
        found = np.full((*batch, length), -1, np.int64)
        step = max(1, _PIECE // max(1, int(np.prod(batch)) * keys)) if keys else length + 1
        for first in range(0, length if keys else 0, step):
            last = min(first + step, length)
            weights = self._of_span(first, last)[..., 0, :, :]
            attends = weights.any(-1)
            found[..., first:last] = np.where(attends, weights.argmax(-1), -1)
        return found

    def _weigh(self, rows: Rows, average_heads: bool) -> Array:
        length = self.shape[-2]
        if self.chooses:
            index = self.choices() if rows is None else self.choices()[..., rows]
            return one_hot(index, self.shape[-1], self.query.dtype)[..., None, :, :]
        found = np.zeros(self.shape, self.query.dtype) if rows is None else None
        pieces = {}
        for first, last in spans(rows, length):
            weights = self._of_span(first, last)
            if found is not None:
                return weights
            pieces.update({first + row: weights[..., row, :] for row in range(last - first)})
        assert rows is not None
        if not len(rows):
            return np.zeros((*self.shape[:-2], 0, self.shape[-1]), self.query.dtype)
        return np.stack([pieces[int(row)] for row in rows], -2)

    def _of_span(self, first: int, last: int) -> Array:
        """Of the query rows [first, last): positions of queries begin `first` later."""
        options: dict[str, Any] = dict(self.options)
        length, keys = self.shape[-2:]
        for name in ("mask", "bias"):
            given = None if options[name] is None else np.asarray(options[name])
            if given is not None and given.ndim >= 2 and given.shape[-2] != 1:
                options[name] = given[..., first:last, :]
        align, counts = options["align"], options["q_lengths"]
        if isinstance(align, str):
            rows = length if counts is None else np.asarray(counts)
            seen = keys if options["kv_lengths"] is None else np.asarray(options["kv_lengths"])
            align = 0 if align == "upper_left" else seen - rows
        # without one the lengths are equal, or nothing depends on it
        options["align"] = (0 if align is None else np.asarray(align, np.int64)) + first
        if counts is not None:
            options["q_lengths"] = np.clip(np.asarray(counts) - first, 0, last - first)
        query, key = (array.swapaxes(-2, -3) for array in (self.query, self.key))
        found: Array = additive_attention(
            query[..., first:last, :], key, key[..., :1], self.layer.weight,
            **options, return_weights=True,
        )[1]  # fmt: skip
        return found
