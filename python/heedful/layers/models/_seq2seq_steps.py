"""Seq2SeqSteps: the steps of generation of a Seq2SeqLM, for texts that it has encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.base._types import Array
from heedful.functional import KVCache
from heedful.layers.models._memory_steps import MemorySteps

if TYPE_CHECKING:
    from heedful.layers.models._seq2seq_lm import Seq2SeqLM


class Seq2SeqSteps(MemorySteps):
    """Logits of a prompt are computed for its last token alone."""

    def __init__(
        self, model: Seq2SeqLM, tokens: Any, lengths: Any, mask: Any, cache: KVCache | None
    ) -> None:
        self.model = model
        super().__init__(
            model.encode(tokens, lengths=lengths, mask=mask),
            {"memory_lengths": lengths, "memory_mask": mask},
            model.decoder.new_caches(cache=cache),
        )

    def logits(self, tokens: Array, lengths: Array | None, last: Any) -> Array:
        y = self.model.decoder(
            tokens, self.memory, lengths=lengths, caches=self.caches, **self.valid
        )
        return self.model.logits(y[np.arange(len(tokens)), last])
