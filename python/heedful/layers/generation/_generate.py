"""generate: tokens one by one, greedily, by sampling or by beam search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import finite, named, positive, probability, size
from heedful.base._taps import batch_items
from heedful.base._types import Array, Rng, generator
from heedful.functional import KVCache
from heedful.layers.generation._beam import beam_search
from heedful.layers.generation._caches import check_example
from heedful.layers.generation._foreign_options import with_generation_hints
from heedful.layers.generation._guided import Guiding, guided
from heedful.layers.generation._sampling import Sampler
from heedful.layers.generation._steps import Generative, Steps, read_prompts
from heedful.layers.generation._stop import stop_tokens


@with_generation_hints
def generate(
    model: Steps | Any,
    prompts: Any,
    *,
    stop: int | Sequence[int] | None = None,
    max_length: int = 100,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    rng: Rng = None,
    cache: KVCache | None = None,
    guidance: Guiding | None = None,
) -> list[Array]:
    """Continues each prompt.

    ::

        temperature = 0     the token with the highest score
        temperature > 0     a token drawn with the probabilities softmax(scores / temperature),
                            of the top_k highest, and of the fewest that together reach top_p
        num_beams > 1       the sequence with the highest Σ log p / length^length_penalty found
                            while the num_beams best prefixes are extended

    Parameters
    ----------
    model : LanguageModel, Transformer or Steps
        Of a :class:`Transformer` call its own ``generate``.
    prompts : sequence of sequences of int
        Lengths may differ.
    stop : int or sequence of int, optional
        The token, or the tokens, that end a sequence; it is not part of the result. None is the
        model's own, if it has any, and () is none.
    max_length : int, default 100
        Maximum number of new tokens, without the prompt: max_new_tokens of transformers.
    temperature : float, optional
        None is 1 if `top_k` or `top_p` is given, and 0 otherwise.
    top_k : int, optional
        Ties go to the lower tokens.
    top_p : float, optional
        Above 0 and at most 1.
    num_beams : int, default 1
        Of all continuations of the beams by one token, those of the `num_beams` best that end in a
        stop token are finished sequences, and the `num_beams` best of the others the next beams.
    length_penalty : float, default 1
        length counts the stop token. Below 0 favours short sequences, 0 is Σ log p.
    rng : None, int or numpy.random.Generator
        Generator of the sampling.
    cache : KVCache, optional
        An empty one: each layer's cache is of its kind, type and policy. Not with Steps of your
        own.
    guidance : Guidance, optional
        What :func:`heedful.explain.guide` returns for a prompt, or ``Guidance.stack`` for several:
        where the model's attention should go while it generates, in all layers or in those of
        ``Guidance.at``. Tokens after the prompt are neither attracted nor hidden. Not with Steps
        of your own: ``with guidance.steer(model)`` guides these.

    Returns
    -------
    list of numpy.ndarray of int
        The continuation of each prompt, after the prompt itself for a LanguageModel.

    Raises
    ------
    FloatingPointError
        The model's scores hold NaN, or no finite element.

    Notes
    -----
    Top-p: Holtzman et al. 2019, https://arxiv.org/abs/1904.09751. A beam search ends when no
    beam can become better than the finished one: ``early_stopping="never"`` of transformers.

    Examples
    --------
    >>> from heedful.layers import LanguageModel, generate
    >>> model = LanguageModel(50, d_model=16, num_heads=2, num_layers=1, rng=0)
    >>> [len(tokens) for tokens in generate(model, [[1, 2], [3]], max_length=4)]
    [6, 5]
    """
    prompts = read_prompts(prompts)
    steps, with_prompt = steps_of(model, cache)
    stops = stop_tokens(model, stop)
    max_length = check_room(steps, prompts, max_length)
    if guidance is not None and not with_prompt:
        raise ValueError("guidance needs a model: guide that of Steps by a with guidance.steer()")
    if not prompts:
        return []
    if size("num_beams", num_beams) > 1:
        if temperature or top_k is not None or top_p is not None:
            raise ValueError("num_beams above 1 cannot be combined with drawing tokens")
        penalty = finite("length_penalty", length_penalty)
        with guided(guidance, model):
            continuations = beam_search(steps, prompts, stops, max_length, int(num_beams), penalty)
    else:
        sampler = sampler_of(temperature, top_k, top_p, rng)
        with guided(guidance, model):
            continuations = _sample(steps, prompts, stops, max_length, sampler)
    if not with_prompt:
        return continuations
    return [np.concatenate(pair) for pair in zip(prompts, continuations, strict=True)]


def sampler_of(
    temperature: float | None, top_k: int | None, top_p: float | None, rng: Rng
) -> Sampler:
    """From the arguments of `generate`."""
    if temperature is None:
        temperature = 0 if top_k is None and top_p is None else 1
    return Sampler(
        0.0 if temperature == 0 else positive("temperature", temperature),
        None if top_k is None else size("top_k", top_k),
        None if top_p is None else _top_p(top_p),
        generator(rng),
    )


def check_room(steps: Steps, prompts: list[Array], max_length: Any) -> int:
    """Require as many positions as the texts may get; returns max_length."""
    checked = size("max_length", max_length)
    longest = max((len(prompt) for prompt in prompts), default=0) + checked
    # the last new token is not read
    if steps.longest is not None and longest - 1 > steps.longest:
        raise ValueError(
            f"prompt and max_length must not be longer than the model's {steps.longest} "
            f"positions together: got {longest - 1}"
        )
    return checked


def _top_p(top_p: Any) -> float:
    if not probability("top_p", top_p):
        raise ValueError(f"top_p must be above 0 and at most 1: got {named(top_p)}")
    return float(top_p)


def steps_of(model: Any, example: Any) -> tuple[Steps, bool]:
    """The steps of a model, and whether results include the prompt; `example` is a cache."""
    cache = check_example(example)
    if hasattr(model, "generation_steps"):
        generative: Generative = model
        steps = generative.generation_steps() if cache is None else model.generation_steps(cache)
        return steps, True
    if cache is not None:
        raise ValueError("cache needs a model that makes its own steps: Steps have their caches")
    if not all(hasattr(model, name) for name in ("start", "step", "reorder", "longest")):
        raise TypeError(f"model must be a generative model: got {named(model)}")
    own: Steps = model
    return own, False


def _sample(
    steps: Steps, prompts: list[Array], stops: Array, max_length: int, sampler: Sampler
) -> list[Array]:
    continuations: list[list[int]] = [[] for _ in prompts]
    active = np.arange(len(prompts))  # the sequence of each row of the model
    with batch_items(active):
        scores = steps.start(prompts)
    for length in range(1, max_length + 1):
        tokens = sampler(scores, active)
        kept = ~np.isin(tokens, stops)
        for row in np.flatnonzero(kept):
            continuations[active[row]].append(int(tokens[row]))
        if not kept.any() or length == max_length:
            break
        if not kept.all():
            steps.reorder(np.flatnonzero(kept))
            active, tokens = active[kept], tokens[kept]
        with batch_items(active):
            scores = steps.step(tokens)
    return [np.array(tokens, np.int64) for tokens in continuations]
