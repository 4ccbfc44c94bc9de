"""Seq2SeqSteps: the steps of generation of a Seq2SeqLM, for texts that it has encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.base._rollback import rollback
from heedful.base._types import Array
from heedful.functional import KVCache
from heedful.layers.models._ragged import padded

if TYPE_CHECKING:
    from heedful.layers.models._seq2seq_lm import Seq2SeqLM


class Seq2SeqSteps:
    """The steps of a decoder, with the encoded texts and which rows of these are valid."""

    longest: int | None = None

    def __init__(
        self, model: Seq2SeqLM, tokens: Any, lengths: Any, mask: Any, cache: KVCache | None
    ) -> None:
        self.model = model
        self.memory = model.encode(tokens, lengths=lengths, mask=mask)
        self.valid = {"memory_lengths": lengths, "memory_mask": mask}
        self.caches = model.decoder.new_caches(cache=cache)
        self.texts = np.arange(len(self.memory))  # the text of each row

    def start(self, prompts: list[Array]) -> Array:
        tokens, lengths = padded(prompts)
        y = self.model.decoder(
            tokens, self.memory, lengths=lengths, caches=self.caches, **self.valid
        )
        return self.model.logits(y[np.arange(len(tokens)), lengths - 1])

    def step(self, tokens: Array) -> Array:
        y = self.model.decoder(tokens[:, None], self.memory, caches=self.caches, **self.valid)
        return self.model.logits(y[:, 0])

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
