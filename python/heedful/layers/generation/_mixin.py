"""GenerationMixin: the method `generate` of models whose texts go on where the prompt ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from heedful.base._types import Array, Rng
from heedful.functional import KVCache
from heedful.layers.generation._foreign_options import with_generation_hints
from heedful.layers.generation._generate import generate
from heedful.layers.generation._guided import Guiding


class GenerationMixin:
    """Of models with ``generation_steps(cache)``."""

    @with_generation_hints
    def generate(
        self, prompts: ArrayLike | list[Any], *, stop: int | Sequence[int] | None = None,
        max_length: int = 100, temperature: float | None = None, top_k: int | None = None,
        top_p: float | None = None, num_beams: int = 1, length_penalty: float = 1.0,
        rng: Rng = None, cache: KVCache | None = None, guidance: Guiding | None = None,
    ) -> list[Array]:  # fmt: skip
        """Each prompt with its continuation.

        Parameters
        ----------
        prompts : sequence of sequences of int
            At least one token each; their lengths may differ.
        stop, max_length, temperature, top_k, top_p, num_beams, length_penalty, rng, cache, guidance
            See :func:`heedful.layers.generate`.
        """
        return generate(
            self, prompts, stop=stop, max_length=max_length, temperature=temperature, top_k=top_k,
            top_p=top_p, num_beams=num_beams, length_penalty=length_penalty, rng=rng, cache=cache,
            guidance=guidance,
        )  # fmt: skip
