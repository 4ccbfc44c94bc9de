"""What generation asks of a model: scores for the next token of each sequence, and caches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from heedful._checks import int64_array, named
from heedful.base._types import Array


class Steps(Protocol):
    """A model that writes, with what it remembers of the sequences that it has begun."""

    longest: int | None  # tokens of a sequence at most

    def start(self, prompts: list[Array]) -> Array:
        """Reads the prompts: scores (B, vocabulary) for the token behind each."""

    def step(self, tokens: Array) -> Array:
        """Reads one more token (B,) of each sequence: scores for the token behind it."""

    def reorder(self, items: Array) -> None:
        """Sequence i goes on as what sequence ``items[i]`` was."""


class Generative(Protocol):
    """A model that brings its own steps; what it writes is returned with the prompt in front."""

    def generation_steps(self) -> Steps:
        """New ones, which have read nothing."""


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
