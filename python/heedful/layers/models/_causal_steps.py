"""CausalSteps: the steps of generation of a CausalLM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heedful.base._argument_names import argument_names
from heedful.base._mode import INFERENCE
from heedful.base._rollback import rollback
from heedful.base._types import Array
from heedful.functional import KVCache
from heedful.layers.models._ragged import padded

if TYPE_CHECKING:
    from heedful.layers.models._causal_lm import CausalLM


class CausalSteps:
    """The steps of a language model, with the caches of the tokens read.

    Logits of a prompt are computed for its last token alone.
    """

    model: CausalLM
    longest: int | None

    def __init__(self, model: CausalLM, cache: KVCache | None = None) -> None:
        self.model, self.longest = model, model.max_length
        self.caches: list[KVCache] = []
        self.cache = cache

    def start(self, prompts: list[Array]) -> Array:
        tokens, lengths = padded(prompts)
        self.caches = self.model.new_caches(cache=self.cache)
        with argument_names(tokens="prompts"):
            y, _ = self.model.hidden(INFERENCE, tokens, lengths, self.caches)
        return self.model.logits(INFERENCE, y[np.arange(len(tokens)), lengths - 1])[0]

    def step(self, tokens: Array) -> Array:
        with rollback(self.caches):
            y, _ = self.model.hidden(INFERENCE, tokens[:, None], None, self.caches)
        return self.model.logits(INFERENCE, y[:, 0])[0]

    def reorder(self, items: Array) -> None:
        with rollback(self.caches):  # all of them or none
            for cache in self.caches:
                cache.reorder(items)
