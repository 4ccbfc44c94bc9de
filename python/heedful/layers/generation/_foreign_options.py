"""Options of transformers' generate, and what to write instead of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

_SCORES = "wrap the model in Steps of your own that change the scores"
_GENERATION = {
    "max_new_tokens": "write max_length, which does not count the prompt",
    "eos_token_id": "write stop",
    "stop_strings": "write stop, of tokens",
    "stopping_criteria": "write stop, of tokens",
    "pad_token_id": "leave it out, prompts and results have their own lengths",
    "bos_token_id": "put it in front of each prompt",
    "decoder_start_token_id": "write start, of a Transformer",
    "attention_mask": "leave it out, prompts of different lengths are lists without padding",
    "do_sample": "write temperature=1.0 to draw tokens, nothing to take the best",
    "num_return_sequences": "give the prompt as many times: prompts * num_return_sequences",
    "early_stopping": "leave it out, a search ends when no beam can become better",
    "use_cache": "leave it out, caches are always used",
    "input_ids": "write prompts",
    "inputs": "write prompts",
    "generation_config": "write its options one by one",
    "seed": "write rng",
    "min_length": _SCORES,
    "min_new_tokens": _SCORES,
    "repetition_penalty": _SCORES,
    "no_repeat_ngram_size": _SCORES,
    "bad_words_ids": _SCORES,
    "suppress_tokens": _SCORES,
    "logits_processor": _SCORES,
    "min_p": _SCORES,
    "typical_p": _SCORES,
}
Taken = ParamSpec("Taken")
Result = TypeVar("Result")


def with_generation_hints(function: Callable[Taken, Result]) -> Callable[Taken, Result]:
    """A generate whose errors explain options of transformers; Python reports unknown ones."""

    @wraps(function)
    def call(*args: Taken.args, **options: Taken.kwargs) -> Result:
        for name in options:
            if name in _GENERATION:
                raise TypeError(f"generate: {name} is not supported: {_GENERATION[name]}")
        return function(*args, **options)

    return call
