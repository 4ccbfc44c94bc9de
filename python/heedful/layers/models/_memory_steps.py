"""MemorySteps: the steps of generation of a decoder that attends to a memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._rollback import rollback
from heedful.base._types import Array
from heedful.layers.models._decoder_cache import DecoderCache
from heedful.layers.models._ragged import padded


class MemorySteps:
    """The steps of a decoder, with the encoded texts and which rows of these are valid.

    memory : (B, M, E); valid : options of the decoder, each of one for each text, or None
    """

    longest: int | None = None
    memory: Array
    valid: dict[str, Any]
    caches: list[DecoderCache]
    texts: Array

    def __init__(self, memory: Array, valid: dict[str, Any], caches: list[DecoderCache]) -> None:
        self.memory, self.valid, self.caches = memory, valid, caches
        self.texts = np.arange(len(memory))  # the text of each row

    def logits(self, tokens: Array, lengths: Array | None, last: Any) -> Array:
        """Of tokens (B, L) that follow those in the caches: (B, V), of position `last` of each."""
        raise NotImplementedError

    def start(self, prompts: list[Array]) -> Array:
        tokens, lengths = padded(prompts)
        return self.logits(tokens, lengths, lengths - 1)

    def step(self, tokens: Array) -> Array:
        return self.logits(tokens[:, None], None, 0)

    def reorder(self, items: Array) -> None:
        texts, memory, valid = self.texts[items], self.memory, self.valid
        moved = not np.array_equal(texts, self.texts)  # beams of one text share its memory
        if moved:
            memory = memory[items]
            valid = {
                name: None if given is None else np.asarray(given)[items]
                for name, given in valid.items()
            }
        with rollback(self.caches):  # all of them or none
            for cache in self.caches:
                cache.own.reorder(items)
                if moved:
                    cache.memory.reorder(items)
        self.texts, self.memory, self.valid = texts, memory, valid
