"""stream: the tokens of generate, one at a time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from heedful.layers import CausalLM, LanguageModel, stream

MODELS = (
    LanguageModel(50, 16, 2, 2, max_length=40, rng=0),
    CausalLM(50, 16, 4, 2, 24, num_kv_heads=2, rng=0),
)


@pytest.mark.parametrize("model", MODELS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.9, "rng": 3}, {"top_p": 0.5, "rng": 1}, {"top_k": 3, "rng": 2}],
)
def test_tokens_are_those_of_generate(model: Any, options: dict[str, Any]) -> None:
    whole = model.generate([[1, 2, 3]], max_length=9, **options)[0][3:]
    assert list(stream(model, [1, 2, 3], max_length=9, **options)) == whole.tolist()
    last = int(whole[4])
    first = whole.tolist().index(last)
    ended = list(stream(model, [1, 2, 3], max_length=9, stop=last, **options))
    assert ended == whole[:first].tolist()


def test_the_stop_tokens_of_the_model_end_it() -> None:
    model = CausalLM(50, 16, 4, 2, 24, num_kv_heads=2, stop=range(50), rng=0)
    assert list(stream(model, [1])) == []
    assert len(list(stream(model, [1], stop=(), max_length=5))) == 5


def test_a_token_is_computed_when_it_is_asked_for() -> None:
    calls = []

    class Counting:
        longest = None

        def start(self, prompts: list[Any]) -> Any:
            calls.append(0)
            return np.eye(5)[[1]]

        def step(self, tokens: Any) -> Any:
            calls.append(int(tokens[0]))
            return np.eye(5)[[(int(tokens[0]) + 1) % 5]]

        def reorder(self, items: Any) -> None:
            raise AssertionError

    tokens = stream(Counting(), [3])
    assert calls == []
    assert list(itertools.islice(tokens, 3)) == [1, 2, 3]
    assert calls == [0, 1, 2]


def test_wrong_arguments_are_refused_at_once() -> None:
    model = MODELS[0]
    for wrong, message in [({"temperature": -1}, "temperature"), ({"max_length": 0}, "max_length"),
                           ({"top_p": 0}, "top_p"), ({"stop": "a"}, "stop")]:  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=message):
            stream(model, [1], **{"max_length": 3, **wrong})
    for wrong_prompt in (3, [], [[1, 2]]):
        with pytest.raises(ValueError, match="prompt must be at least one token in one row"):
            stream(model, wrong_prompt)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prompt must"):
        stream(model, "a")
    with pytest.raises(TypeError, match="max_new_tokens is not supported"):
        stream(model, [1], max_new_tokens=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="positions together"):
        stream(model, [1], max_length=99)
