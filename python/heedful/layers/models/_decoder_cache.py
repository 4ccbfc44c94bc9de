"""DecoderCache: the caches of one layer of a decoder."""

from __future__ import annotations

from typing import NamedTuple

from heedful.functional import KVCache, LinearState


class DecoderCache(NamedTuple):
    """The caches of one decoder layer, for self-attention and cross-attention."""

    own: KVCache | LinearState
    memory: KVCache | LinearState
