"""The sublayers of a decoder's layer: self-attention, attention to a memory, and feed-forward."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeAlias

from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._taps import first_query
from heedful.base._types import Array, Backward
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._sublayer import sublayer
from heedful.layers.models._decoder_cache import DecoderCache

Sublayer: TypeAlias = Callable[[Array, "Array | None"], tuple[Any, Backward]]


def to_memory(
    mode: Mode, attention: Any, memory: Any, mask: Any, lengths: Any, cache: DecoderCache | None
) -> Sublayer:
    """(x, residual) → attention of x to memory.

    To be called before the self-attention appends to the cache: its rows until then are those
    before x.
    """
    place = nullcontext() if cache is None else first_query(cache.own.lengths)
    names = {"query": "x", "key": "memory", "mask": "memory_mask", "kv_lengths": "memory_lengths"}
    own = None if cache is None else cache.memory

    def attend(x: Array, residual: Array | None) -> tuple[Any, Backward]:
        with argument_names(**names), place:
            found: tuple[Any, Backward] = attention.compute(
                mode, x, memory, mask=mask, kv_lengths=lengths, cache=own, residual=residual
            )
        return found

    return attend


def decoder_sublayers(
    mode: Mode, x: Array, norms: tuple[Any, Any, Any], dropout: Dropout, norm_first: bool,
    attend: Sublayer, attend_to_memory: Sublayer, feed: Sublayer,
) -> tuple[Array, Backward]:  # fmt: skip
    """All three, each with its norm; backward returns (dx, dmemory)."""
    x, back_self = sublayer(mode, x, norms[0], dropout, norm_first, attend)
    x, back_cross = sublayer(mode, x, norms[1], dropout, norm_first, attend_to_memory)
    x, back_feed = sublayer(mode, x, norms[2], dropout, norm_first, feed)

    def backward(dy: Any) -> tuple[Array, Array]:
        dx, dmemory = back_cross(back_feed(dy))
        return back_self(dx), dmemory

    return x, backward
