"""AttentionCall: one call of an attention layer, as taps see and steer it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._checks import named
from heedful.base._taps import Tap, current_first, current_items, current_token_rows
from heedful.base._types import Array
from heedful.functional import attention_scores, attention_weights
from heedful.functional._rows import check_rows
from heedful.functional._shapes import broadcast
from heedful.layers.attention._masks import mask_or_bias

_PIECE = 1 << 22  # scores at a time, where they are not streamed by the kernel
# neither weights nor scores depend on them
_LEFT_OUT = ("layout", "return_weights", "return_lse", "query_of_sinks")

Rows = NDArray[np.int64] | None
Heads = tuple[int, ...] | None


class AttentionCall:
    """Queries, keys, values and options of one call; its weights on demand.

    Parameters
    ----------
    layer
        The attention layer.
    query (…, Lq, H, D), key (…, Lk, Hkv, D), value (…, Lk, Hkv, Dv)
        As they enter :func:`heedful.attention`; of a call with a cache, key and value are in it.
    options
        Of :func:`heedful.attention`, without noise. A layer with an adaptive span has `log_mask`,
        a function of positions (…, R) and the number of keys: log m (H, …, R, Lk).
    training, is_self : bool
    cache : KVCache, optional
    chooses : bool
        Whether each query attends to the key of its highest score alone.
    first, first_key : of the attributes, where there is no cache

    Attributes
    ----------
    first : None or numpy.ndarray of int, () or (B,)
        The position in its text of the first query of each item, where the call is of a part of it:
        with a cache, or a memory.
    first_key : None or numpy.ndarray of int, () or (B,)
        Likewise of the first key, before 0 where keys before the text are hidden.
    items : None or numpy.ndarray of int, (B,)
        In a generation: the text that each row of the batch continues.
    token_rows : None or numpy.ndarray of int, (B, L)
        Of an encoder with fewer tokens than its input: the row that each of these is in, or −1.
    """

    def __init__(
        self, layer: Any, query: Array, key: Any, value: Any, options: dict[str, Any], *,
        training: bool, is_self: bool, cache: Any = None, chooses: bool = False,
        first: Any = None, first_key: Any = None,
    ) -> None:  # fmt: skip
        self.layer, self.query, self._key, self.value = layer, query, key, value
        self.training, self.is_self, self.cache, self.chooses = training, is_self, cache, chooses
        self.options = {name: given for name, given in options.items() if name not in _LEFT_OUT}
        self.first, self.first_key = first, first_key
        if cache is not None:
            self.first_key = np.int64(0)
            first = options["align"] if is_self else current_first()
            if isinstance(first, int):  # of all items
                first = np.full(len(cache.lengths), first)
            self.first = first if first is None or np.size(first) else np.int64(0)
            if options.get("align") is None:
                self.options["align"] = "lower_right"
            self.options["kv_lengths"] = cache.lengths
        self.items = current_items()
        self.token_rows = current_token_rows()

    @property
    def key(self) -> Array:
        if self._key is None:
            if self.cache.policy is not None:
                raise ValueError(
                    "watch needs caches that keep all keys: got one with the policy "
                    f"{named(self.cache.policy)}"
                )
            self._key = self.cache.key.swapaxes(-2, -3)
        key: Array = self._key
        return key

    @property
    def num_heads(self) -> int:
        return int(self.query.shape[-2])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all weights, (…, H, Lq, Lk)."""
        *batch, length, heads, _ = self.query.shape
        if self._key is None:
            return (*batch, heads, length, int(self.cache.lengths.max(initial=0)))
        together = broadcast(tuple(batch), self._key.shape[:-3]) or tuple(batch)
        return (*together, heads, length, self._key.shape[-3])

    def steered(self, taps: Iterable[Tap]) -> dict[str, Any]:
        """The mask and the bias that taps leave of those given."""
        for tap in taps:
            tap.steer(self)
        return {name: self.options.get(name) for name in ("mask", "bias")}

    def seen(self, taps: Iterable[Tap]) -> None:
        for tap in taps:
            tap.see(self)

    def restrict(self, mask: Array) -> None:
        """Hides the keys where a boolean mask (…, H, Lq, Lk) is False."""
        own = self.options.get("mask")
        self.options["mask"] = mask if own is None else np.asarray(own) & mask

    def add_bias(self, bias: Array) -> None:
        """Adds to the scores (…, H, Lq, Lk)."""
        own = self.options.get("bias")
        self.options["bias"] = mask_or_bias(bias, own)["bias"]

    def weights(
        self, *, rows: Any = None, heads: Heads = None, average_heads: bool = False,
        item: int | None = None,
    ) -> Array:  # fmt: skip
        """(…, H, R, Lk) without dropout and noise; H is 1 for the mean over heads.

        Only those of some rows, heads and of one item, (1, H, R, Lk), are computed.
        """
        rows = check_rows(rows, self.shape[-2])
        item = self._checked(item)
        if self.options.get("block_mask") is None:
            return self._selected(heads, item)._weigh(rows, average_heads)
        # a block mask has no part for some heads or items
        found = self._weigh(rows, average_heads and heads is None)
        if heads is not None:
            found = found[..., list(heads), :, :]
            found = found.mean(-3, keepdims=True) if average_heads else found
        return found if item is None else np.asarray(found[item : item + 1])

    def weight_gradients(
        self, dheads: Array, *, rows: Any = None, heads: Heads = None,
        average_heads: bool = False, item: int | None = None,
    ) -> Array:  # fmt: skip
        """Of the weights as they are applied, from that of the heads (…, Lq, H, Dv)."""
        chosen = range(self.num_heads) if heads is None else heads
        group = self.num_heads // max(1, self.value.shape[-2])
        rows = check_rows(rows, self.shape[-2])
        value = self.value
        if item is not None and dheads.ndim >= 4:
            value, dheads = _of_item(value, item, dheads.ndim), dheads[item : item + 1]
        if rows is not None:
            dheads = dheads[..., rows, :, :]
        found = [
            dheads[..., head, :] @ value[..., head // group, :].swapaxes(-1, -2) for head in chosen
        ]
        if average_heads:  # the mean is what all heads have in common
            found = [np.asarray(np.sum(found, 0))]
        return np.stack(found, -3)

    def _checked(self, item: int | None) -> int | None:
        if item is None or len(self.shape) < 4:  # of a single sequence
            return None
        if not 0 <= item < self.shape[0]:
            raise IndexError(f"item must lie between 0 and {self.shape[0] - 1}: got {item}")
        return item

    def _weigh(self, rows: Rows, average_heads: bool) -> Array:
        options = dict(self.options)
        log_mask = options.pop("log_mask", None)
        if self.chooses and self.shape[-1]:
            options["top_k"] = 1
        if log_mask is not None:
            return self._weigh_span(rows, average_heads, options, log_mask)
        found = attention_weights(
            self.query, self.key, **options, layout="blhd", rows=rows, average_heads=average_heads
        )
        return found[..., None, :, :] if average_heads else found

    def _weigh_span(
        self, rows: Rows, average_heads: bool, options: dict[str, Any], log_mask: Any
    ) -> Array:
        *batch, heads, length, keys = self.shape
        rows = np.arange(length) if rows is None else rows
        of_scores = {name: options.pop(name) for name in ("top_k", "sink") if name in options}
        step = max(1, _PIECE // max(1, int(np.prod(batch)) * heads * keys))
        found = []
        for begin in range(0, max(1, len(rows)), step):
            piece = rows[begin : begin + step]
            scores = attention_scores(self.query, self.key, **options, layout="blhd", rows=piece)
            first = np.asarray(0 if self.first is None else self.first)
            near = log_mask(first[..., None] + piece if first.ndim else first + piece, keys)
            near = np.moveaxis(near, 0, -3)  # (…, H, R, Lk)
            none = np.zeros((*batch, heads, len(piece), 1), scores.dtype)
            # the weights of scores that are given: those of a bias alone
            weights = attention_weights(
                none, np.zeros((*batch, 1, keys, 1), scores.dtype),
                bias=(scores + near).astype(scores.dtype), average_heads=average_heads, **of_scores,
            )  # fmt: skip
            found.append(weights[..., None, :, :] if average_heads else weights)
        return np.concatenate(found, -2)

    def _selected(self, heads: Heads, item: int | None) -> AttentionCall:
        """The call of some heads and one item."""
        if heads is None and item is None:
            return self
        made, axes = copy.copy(self), len(self.shape)
        arrays = {"query": self.query, "_key": self.key}
        options = dict(self.options)
        if item is not None:
            arrays = {name: _of_item(array, item, axes) for name, array in arrays.items()}
            for name in ("mask", "bias"):
                if options.get(name) is not None:
                    options[name] = _of_item(np.asarray(options[name]), item, axes)
            for name in ("q_lengths", "kv_lengths", "align"):
                if options.get(name) is not None and np.ndim(options[name]):
                    options[name] = _of_item(np.asarray(options[name]), item, axes - 3)
            if np.ndim(self.first):
                made.first = self.first[item : item + 1]
        if heads is not None:
            chosen = np.array(heads, np.int64)
            group = self.num_heads // max(1, arrays["_key"].shape[-2])
            arrays["query"] = arrays["query"][..., chosen, :]
            arrays["_key"] = arrays["_key"][..., chosen // group, :]
            for name in ("mask", "bias"):
                given = None if options.get(name) is None else np.asarray(options[name])
                if given is not None and given.ndim >= 3 and given.shape[-3] != 1:
                    options[name] = given[..., chosen, :, :]
            for name in ("sink", "alibi_slopes", "normalizer"):
                if options.get(name) is not None and np.ndim(options[name]):
                    options[name] = np.asarray(options[name])[chosen]
            log_mask = options.get("log_mask")
            if log_mask is not None:
                options["log_mask"] = lambda positions, keys: log_mask(positions, keys)[chosen]
        vars(made).update(arrays, options=options)
        return made


def _of_item(array: Array, item: int, axes: int) -> Array:
    """One item of an array that broadcasts to `axes` axes, the first of which is the items."""
    return array[item : item + 1] if array.ndim == axes and array.shape[0] != 1 else array
