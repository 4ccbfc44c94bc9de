"""What generation asks of a model: scores for the next token of each sequence, and caches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from heedful._checks import int64_array, named
from heedful.base._rollback import rollback
from heedful.base._types import Array
from heedful.functional import KVCache
from heedful.layers._called import called
from heedful.layers.models._decoder import DecoderCache
from heedful.layers.models._ragged import padded

if TYPE_CHECKING:
    from heedful.layers.models._language_model import LanguageModel
    from heedful.layers.models._segment_recurrent import SegmentRecurrentLM
    from heedful.layers.models._transformer import Transformer


class Steps(Protocol):
    """A model that writes, with what it remembers of the sequences that it has begun."""

    longest: int | None  # tokens of a sequence at most

    def start(self, prompts: list[Array]) -> Array:
        """Reads the prompts: scores (B, vocabulary) for the token behind each."""

    def step(self, tokens: Array) -> Array:
        """Reads one more token (B,) of each sequence: scores for the token behind it."""

    def reorder(self, items: Array) -> None:
        """Sequence i goes on as what sequence ``items[i]`` was."""


def read_prompts(prompts: Any) -> list[Array]:
    """One array of tokens for each sequence."""
    if isinstance(prompts, str) or not isinstance(prompts, Iterable):
        raise TypeError(f"prompts must be sequences of tokens: got {named(prompts)}")
    found = []
    for index, prompt in enumerate(prompts):
        tokens = int64_array(f"prompts[{index}]", prompt)
        if tokens.ndim != 1 or not tokens.size:
            raise ValueError(
                f"prompts[{index}] must be one token at least in one row: got shape "
                f"{tokens.shape}{'; one prompt is [tokens]' * (not tokens.ndim)}"
            )
        found.append(tokens)
    return found


class LanguageSteps:
    """A language model whose caches hold what was read."""

    def __init__(self, model: LanguageModel) -> None:
        self.model, self.longest = model, model.max_length
        self.caches: list[KVCache] = []

    def start(self, prompts: list[Array]) -> Array:
        tokens, lengths = padded(prompts)
        self.caches = self.model.new_caches()
        with called(tokens="prompts"):
            logits = self.model(tokens, lengths=lengths, caches=self.caches)
        last: Array = logits[np.arange(len(tokens)), lengths - 1]
        return last

    def step(self, tokens: Array) -> Array:
        logits: Array = self.model(tokens[:, None], caches=self.caches)
        return logits[:, 0]

    def reorder(self, items: Array) -> None:
        with rollback(self.caches):  # all of them or none
            for cache in self.caches:
                cache.reorder(items)


class SegmentSteps:
    """A segment-recurrent model, whose memory is all that it needs."""

    longest: int | None = None

    def __init__(self, model: SegmentRecurrentLM) -> None:
        self.model = model
        self.memory: list[Array] = []
        self.lengths = np.zeros(0, np.int64)

    def start(self, prompts: list[Array]) -> Array:
        with called(tokens="prompts"):
            found = [self.model.read(prompt[None]) for prompt in prompts]
        memories = [memory for _, memory in found]
        self.lengths = np.array([memory[0].shape[1] for memory in memories])
        rows = int(self.lengths.max())
        self.memory = [
            np.concatenate([_filled_up(memory[layer], rows) for memory in memories])
            for layer in range(len(self.model.layers))
        ]
        return np.concatenate([logits[:, -1] for logits, _ in found])

    def step(self, tokens: Array) -> Array:
        logits, self.memory = self.model(
            tokens[:, None], memory=self.memory, memory_lengths=self.lengths, return_memory=True
        )
        self.lengths = np.minimum(self.lengths + 1, self.model.memory_length)
        last: Array = logits[:, -1]
        return last

    def reorder(self, items: Array) -> None:
        self.memory = [memory[items] for memory in self.memory]
        self.lengths = self.lengths[items]


def _filled_up(memory: Array, rows: int) -> Array:
    """Memory (1, M, E) with rows of zeros in front."""
    return np.pad(memory, ((0, 0), (rows - memory.shape[1], 0), (0, 0)))


class TransformerSteps:
    """A decoder that attends to encoded sources."""

    longest: int | None = None

    def __init__(
        self, model: Transformer, source: Array, source_lengths: Array | None, max_length: int
    ) -> None:
        self.model, self.lengths = model, source_lengths
        self.memory = model.encode(source, source_lengths)
        self.caches: list[DecoderCache] = model.decoder.new_caches(max_length + 1)

    def start(self, prompts: list[Array]) -> Array:
        tokens, lengths = padded(prompts)
        logits = self.model.decode(tokens, self.memory, self.caches, self.lengths)
        last: Array = logits[np.arange(len(tokens)), lengths - 1]
        return last

    def step(self, tokens: Array) -> Array:
        return self.model.decode(tokens[:, None], self.memory, self.caches, self.lengths)[:, 0]

    def reorder(self, items: Array) -> None:
        memory = self.memory[items]
        lengths = None if self.lengths is None else np.asarray(self.lengths)[items]
        with rollback(self.caches):
            for cache in self.caches:
                cache.own.reorder(items)
                cache.memory.reorder(items)
        self.memory, self.lengths = memory, lengths
