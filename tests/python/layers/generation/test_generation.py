"""Generation: the cached model writes what the uncached one would, by every way of choosing."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from heedful.layers import LanguageModel, SegmentRecurrentLM, Transformer, generate

PROMPTS = [[1, 2, 3], [7], [9, 8, 7, 6, 5]]
STOP = 4


def sharp(model: Any, factor: float = 3.0) -> Any:
    """Weights so large that scores differ clearly."""
    for parameter in model.parameters().values():
        parameter *= factor
    return model


def language_models() -> dict[str, Any]:
    shared = {"d_model": 16, "num_heads": 4, "num_layers": 2, "rng": 1}
    return {
        "learned": LanguageModel(31, **shared),
        "sinusoidal": LanguageModel(31, positions="sinusoidal", **shared),
        "rotary": LanguageModel(31, positions="rotary", num_kv_heads=2, **shared),
        "window": LanguageModel(31, window=4, **shared),
        "linear": LanguageModel(31, mixer="linear", num_kv_heads=2, **shared),
        "gating": LanguageModel(31, max_length=64, mixer="gating", **shared),
        "segments": SegmentRecurrentLM(31, memory_length=64, **shared),
    }


def one_after_another(model: Any, prompt: list[int], count: int) -> list[int]:
    """Greedy, everything recomputed for each token."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + count:
        best = int(model([tokens])[0, -1].argmax())
        if best == STOP:
            break
        tokens.append(best)
    return tokens


@pytest.mark.parametrize("name", language_models())
def test_caches_change_nothing(name: str) -> None:
    model = sharp(language_models()[name])
    written = model.generate(PROMPTS, stop=STOP, max_length=20)
    for prompt, tokens in zip(PROMPTS, written, strict=True):
        assert tokens.tolist() == one_after_another(model, prompt, 20)


def test_a_transformer_s_caches_change_nothing() -> None:
    model = sharp(Transformer(12, 13, 16, 4, 2, 32, padding_idx=0, rng=2), 2.0)
    source = np.array([[3, 5, 7, 1], [2, 9, 0, 0]])
    written = model.generate(source, start=1, stop=2, max_length=15)
    for row, tokens in zip(source, written, strict=True):
        target = [1]
        while len(target) <= 15:
            best = int(model(row[None], [target])[0, -1].argmax())
            if best == 2:
                break
            target.append(best)
        assert tokens.tolist() == target[1:]


def test_padding_at_the_end_of_a_source_changes_nothing() -> None:
    model = Transformer(12, 13, 16, 4, 1, 32, padding_idx=0, rng=2)
    target = [[1, 2, 3]]
    np.testing.assert_allclose(
        model([[3, 5, 0, 0]], target), model([[3, 5]], target), rtol=1e-5, atol=1e-6
    )


def test_low_temperatures_choose_the_best() -> None:
    model = sharp(language_models()["learned"])
    best = model.generate(PROMPTS, max_length=8)
    for options in ({"temperature": 1e-4}, {"temperature": 5.0, "top_k": 1},
                    {"temperature": 5.0, "top_p": 1e-9}):  # fmt: skip
        drawn = model.generate(PROMPTS, max_length=8, rng=0, **options)
        assert [t.tolist() for t in drawn] == [t.tolist() for t in best]


@pytest.mark.slow
def test_draws_follow_the_probabilities() -> None:
    scores = np.log(np.array([0.5, 0.3, 0.15, 0.05]))

    class Fixed:
        longest = None

        def start(self, prompts: list[Any]) -> Any:
            return np.tile(scores, (len(prompts), 1))

    def drawn(**options: Any) -> Any:
        written = generate(_complete(Fixed()), [[0]] * 20000, max_length=1, rng=0, **options)
        return np.bincount(np.concatenate(written), minlength=4) / 20000

    np.testing.assert_allclose(drawn(temperature=1.0), [0.5, 0.3, 0.15, 0.05], atol=0.01)
    np.testing.assert_allclose(drawn(temperature=1.0, top_k=2), [0.625, 0.375, 0, 0], atol=0.01)
    np.testing.assert_allclose(drawn(temperature=1.0, top_p=0.7), [0.625, 0.375, 0, 0], atol=0.01)
    flat = np.sqrt([0.5, 0.3, 0.15, 0.05])
    np.testing.assert_allclose(drawn(temperature=2.0), flat / flat.sum(), atol=0.01)


def _complete(steps: Any) -> Any:
    steps.step = steps.reorder = None
    return steps


def test_several_tokens_may_stop() -> None:
    model = sharp(language_models()["learned"])
    whole = [tokens.tolist() for tokens in model.generate(PROMPTS, max_length=12)]
    stops = {whole[0][5], whole[1][3], 30}
    expected = []
    for prompt, tokens in zip(PROMPTS, whole, strict=True):
        ends = [i for i in range(len(prompt), len(tokens)) if tokens[i] in stops]
        expected.append(tokens[: ends[0]] if ends else tokens)
    assert expected != whole
    written = model.generate(PROMPTS, stop=sorted(stops), max_length=12)
    assert [tokens.tolist() for tokens in written] == expected


def test_a_seed_gives_the_same_text() -> None:
    model = language_models()["learned"]
    first, again, other = (
        [t.tolist() for t in model.generate(PROMPTS, max_length=9, temperature=1.0, rng=seed)]
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_beams_find_the_best_of_all_sequences(penalty: float) -> None:
    """With as many beams as there are beginnings nothing is lost: compared with trying all."""
    model = sharp(LanguageModel(5, 8, 2, 1, rng=3), 2.0)
    prompt, count, stop = [1], 3, 0

    def rating(tokens: tuple[int, ...]) -> float:
        logits = model([[*prompt, *tokens]])[0].astype(float)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return sum(logs[i, token] for i, token in enumerate(tokens)) / len(tokens) ** penalty

    complete = [
        tokens
        for length in range(1, count + 1)
        for tokens in itertools.product(range(5), repeat=length)
        if stop not in tokens[:-1] and (tokens[-1] == stop or length == count)
    ]
    best = max(complete, key=rating)
    expected = [token for token in best if token != stop]
    (found,) = model.generate(
        [prompt], stop=stop, max_length=count, num_beams=125, length_penalty=penalty
    )
    assert found.tolist() == prompt + expected


def test_beams_of_several_prompts_are_those_of_each() -> None:
    model = sharp(language_models()["rotary"])
    options = {"stop": STOP, "max_length": 6, "num_beams": 3}
    together = model.generate(PROMPTS, **options)
    for prompt, tokens in zip(PROMPTS, together, strict=True):
        assert model.generate([prompt], **options)[0].tolist() == tokens.tolist()


def test_a_memory_reaches_further_than_a_segment(rng: np.random.Generator) -> None:
    model = SegmentRecurrentLM(31, 16, 4, 2, memory_length=64, rate=0.0, rng=1, dtype=np.float64)
    tokens = rng.integers(0, 31, (2, 24))
    whole = model(tokens)
    memory, parts = None, []
    for first in range(0, 24, 6):
        logits, memory = model(tokens[:, first : first + 6], memory=memory, return_memory=True)
        parts.append(logits)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-10, atol=1e-12)


def test_no_prompt_gives_no_text() -> None:
    assert language_models()["learned"].generate([]) == []


def test_top_k_and_top_p_draw_without_a_temperature_too() -> None:
    model = LanguageModel(31, 16, 4, 2, rng=1)
    for options in ({"top_k": 9}, {"top_p": 0.8}, {"top_k": 9, "top_p": 0.8}):
        plain = model.generate(PROMPTS, max_length=20, rng=0, **options)
        at_one = model.generate(PROMPTS, max_length=20, rng=0, temperature=1.0, **options)
        for one, other in zip(plain, at_one, strict=True):
            np.testing.assert_array_equal(one, other)
        assert any(
            one.tolist() != other.tolist()
            for one, other in zip(plain, model.generate(PROMPTS, max_length=20), strict=True)
        )
    greedy = model.generate(PROMPTS, max_length=20)
    for one, other in zip(
        greedy, model.generate(PROMPTS, max_length=20, temperature=0), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"num_beams": 3}])
def test_scores_that_are_no_numbers_end_it(number: float, options: dict[str, Any]) -> None:
    model = LanguageModel(31, 16, 4, 1, tied=False, rng=1)
    model.projection.weight[:, 3] = number
    with pytest.raises(FloatingPointError, match="scores for the next token of sequence 0 hold"):
        model.generate(PROMPTS, max_length=3, **options)


@pytest.mark.parametrize("padding", [None, 0])
def test_sources_of_different_lengths_may_be_lists(padding: int | None) -> None:
    model = sharp(Transformer(12, 13, 16, 4, 2, 32, padding_idx=padding, rng=2), 2.0)
    ragged, filled = [[3, 5, 7, 1], [2, 9]], np.array([[3, 5, 7, 1], [2, 9, 0, 0]])
    for options in ({}, {"num_beams": 2}):
        written = model.generate(ragged, start=1, stop=2, max_length=9, **options)
        for row, tokens in zip(ragged, written, strict=True):
            (alone,) = model.generate([row], start=1, stop=2, max_length=9, **options)
            np.testing.assert_array_equal(tokens, alone)
    assert model.generate([], start=1) == []
    target = np.array([[1, 4], [1, 5]])
    np.testing.assert_array_equal(
        model(ragged, target), model(filled, target, source_lengths=[4, 2])
    )
    logits, backward = model.forward(ragged, target)
    backward(np.ones_like(logits))


def test_the_embedding_of_segments_begins_with_a_deviation_of_a_fiftieth() -> None:
    """Not of 1, with which the tied projection's first logits would be of the size of √E."""
    model = SegmentRecurrentLM(500, 64, 4, 1, rng=0)
    assert np.std(model.embedding.weight) == pytest.approx(0.02, rel=0.02)
    assert model.projection.weight is model.embedding.weight
