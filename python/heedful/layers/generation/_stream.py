"""stream: the tokens of one text, each as soon as it is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from heedful._checks import int64_array
from heedful.base._types import Rng
from heedful.functional import KVCache
from heedful.layers.generation._foreign_options import with_generation_hints
from heedful.layers.generation._generate import check_room, sampler_of, steps_of
from heedful.layers.generation._guided import Guiding, guided
from heedful.layers.generation._stop import stop_tokens


@with_generation_hints
def stream(
    model: Any,
    prompt: Sequence[int],
    *,
    stop: int | Sequence[int] | None = None,
    max_length: int = 100,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    rng: Rng = None,
    cache: KVCache | None = None,
    guidance: Guiding | None = None,
) -> Iterator[int]:
    """Continues one prompt, and yields each token when it is there.

    Parameters
    ----------
    model : CausalLM, LanguageModel or Steps
    prompt : sequence of int
        At least one token.
    stop : int or sequence of int, optional
        See :func:`generate`; it is not yielded.
    max_length, temperature, top_k, top_p, rng, cache, guidance
        See :func:`generate`, whose tokens these are.

    Yields
    ------
    int

    Raises
    ------
    FloatingPointError
        The model's scores hold NaN, or no finite element.

    Examples
    --------
    >>> from heedful.layers import LanguageModel, stream
    >>> model = LanguageModel(50, d_model=16, num_heads=2, num_layers=1, rng=0)
    >>> len([token for token in stream(model, [1, 2], max_length=4)])
    4
    """
    given = int64_array("prompt", prompt)
    if given.ndim != 1 or not given.size:
        raise ValueError(f"prompt must be at least one token in one row: got shape {given.shape}")
    prompts = [given]
    steps, is_model = steps_of(model, cache)
    if guidance is not None and not is_model:
        raise ValueError("guidance needs a model: guide that of Steps by a with guidance.steer()")
    stops = stop_tokens(model, stop)
    max_length = check_room(steps, prompts, max_length)
    sampler = sampler_of(temperature, top_k, top_p, rng)

    def tokens() -> Iterator[int]:
        here = np.zeros(1, np.int64)  # one sequence
        with guided(guidance, model):  # not while the caller holds a token
            scores = steps.start(prompts)
        for length in range(1, max_length + 1):
            found = sampler(scores, here)
            if np.isin(found, stops)[0]:
                return
            yield int(found[0])
            if length < max_length:
                with guided(guidance, model):
                    scores = steps.step(found)

    return tokens()  # what is wrong with the arguments has been said
