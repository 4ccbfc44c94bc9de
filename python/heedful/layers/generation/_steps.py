"""Steps: the protocol of generative models, which score the next token of each sequence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from heedful._checks import int64_array, named
from heedful.base._types import Array


class Steps(Protocol):
    """A generative model, with the state of the sequences that it has begun."""

    longest: int | None  # maximum number of tokens of a sequence

    def start(self, prompts: list[Array]) -> Array:
        """Reads the prompts: scores (B, vocabulary) for the token after each."""

    def step(self, tokens: Array) -> Array:
        """Reads one more token (B,) of each sequence: scores for the token after it."""

    def reorder(self, items: Array) -> None:
        """Sequence i continues sequence ``items[i]``."""


class Generative(Protocol):
    """A model that provides its own steps; results include the prompt."""

    def generation_steps(self) -> Steps:
        """New steps, without sequences."""


def read_prompts(prompts: Any) -> list[Array]:
    """One array of tokens for each sequence."""
    if isinstance(prompts, str) or not isinstance(prompts, Iterable):
        raise TypeError(f"prompts must be sequences of tokens: got {named(prompts)}")
    found = []
    for index, prompt in enumerate(prompts):
        tokens = int64_array(f"prompts[{index}]", prompt)
        if tokens.ndim != 1 or not tokens.size:
            raise ValueError(
                f"prompts[{index}] must be at least one token in one row: got shape "
                f"{tokens.shape}{'; one prompt is [tokens]' * (not tokens.ndim)}"
            )
        found.append(tokens)
    return found
