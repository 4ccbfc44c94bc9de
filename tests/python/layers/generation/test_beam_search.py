"""Beam search against trying all sequences, a plain search written out, and transformers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from heedful.layers import LanguageModel, generate

LENGTH = 4


class Table:
    """A model whose scores for the next token depend on the last one alone."""

    longest = None

    def __init__(self, scores: Any) -> None:
        self.scores = np.asarray(scores, float)  # (last token, next token)
        self.read: list[list[int]] = []  # what each row of the model has read

    def start(self, prompts: Any) -> Any:
        self.read = [list(map(int, prompt)) for prompt in prompts]
        return self._last()

    def step(self, tokens: Any) -> Any:
        assert len(tokens) == len(self.read)
        self.read = [[*row, int(token)] for row, token in zip(self.read, tokens, strict=True)]
        return self._last()

    def reorder(self, items: Any) -> None:
        self.read = [self.read[item] for item in items]

    def _last(self) -> Any:
        return self.scores[[row[-1] for row in self.read]]


def logs_of(scores: Any) -> Any:
    top = scores.max(-1, keepdims=True)
    return scores - top - np.log(np.exp(scores - top).sum(-1, keepdims=True))


def every_sequence(
    scores: Any, first: int, stops: set[int], count: int
) -> dict[tuple[int, ...], float]:
    """Σ log p of all complete sequences, the stop token included."""
    logs, found = logs_of(scores), {}
    for length in range(1, count + 1):
        for tokens in itertools.product(range(len(scores)), repeat=length):
            if stops & set(tokens[:-1]) or (tokens[-1] not in stops and length < count):
                continue
            total = sum(logs[last, to] for last, to in itertools.pairwise((first, *tokens)))
            if total > -math.inf:
                found[tokens] = total
    return found


def plain_search(
    scores: Any, first: int, stops: set[int], count: int, beams: int, penalty: float
) -> list[int]:
    """The definition: sorted lists, nothing ended early."""
    logs = logs_of(scores)
    live, finished = [(0.0, [first])], []
    for length in range(1, count + 1):
        grown = sorted(
            ((total + logs[row[-1], token], [*row, token])
             for total, row in live for token in range(len(scores))),
            key=lambda found: -found[0],
        )  # fmt: skip
        grown = [(total, row) for total, row in grown if total > -math.inf]
        finished += [
            (total / length**penalty, row[1:-1]) for total, row in grown[:beams] if row[-1] in stops
        ]
        live = [found for found in grown if found[1][-1] not in stops][:beams]
    finished += [(total / count**penalty, row[1:]) for total, row in live]
    return max(finished, key=lambda found: found[0], default=(0, []))[1]


def random_scores(rng: np.random.Generator, vocabulary: int, impossible: float) -> Any:
    scores = 2 * rng.standard_normal((vocabulary, vocabulary))
    scores[rng.random(scores.shape) < impossible] = -np.inf
    scores[:, 0] = np.where(np.isinf(scores).all(-1), 0.0, scores[:, 0])
    return scores


def test_live_beams_survive_more_stop_tokens_than_beams() -> None:
    first, then = [0.1, 0.1, 0.2, 0.2, 0.2, 0.2], [0.004, 0.004, 0.98, 0.004, 0.004, 0.004]
    scores = np.log([then] * 5 + [first])
    for beams in (2, 3, 7):
        (found,) = generate(Table(scores), [[5]], stop=[2, 3, 4, 5], num_beams=beams, max_length=3)
        assert found.tolist() == [0]


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("impossible", [0.0, 0.4])
@pytest.mark.parametrize("vocabulary", [2, 3, 5])
def test_with_enough_beams_the_best_of_all_sequences_is_found(
    vocabulary: int, impossible: float, penalty: float
) -> None:
    rng = np.random.default_rng(vocabulary)
    for stop_count in range(vocabulary + 1):
        scores = random_scores(rng, vocabulary, impossible)
        stops = set(rng.permutation(vocabulary)[:stop_count].tolist())
        complete = every_sequence(scores, 1, stops, LENGTH)
        (found,) = generate(
            Table(scores), [[1]], stop=sorted(stops), max_length=LENGTH,
            num_beams=vocabulary**LENGTH, length_penalty=penalty,
        )  # fmt: skip
        if complete:
            best = max(complete, key=lambda tokens: complete[tokens] / len(tokens) ** penalty)
            assert found.tolist() == [token for token in best if token not in stops]
        else:
            assert not found.size


@pytest.mark.parametrize("beams", [2, 3, 11])
@pytest.mark.parametrize("penalty", [-0.5, 0.0, 1.0])
def test_few_beams_are_the_search_that_is_documented(beams: int, penalty: float) -> None:
    rng = np.random.default_rng(beams)
    for vocabulary, stop_count in itertools.product((3, 7), (0, 1, 2, 5)):
        scores = random_scores(rng, vocabulary, 0.2)
        stops = set(rng.permutation(vocabulary)[:stop_count].tolist())
        prompts = [[token] for token in range(vocabulary)]
        expected = [plain_search(scores, token, stops, 6, beams, penalty) for (token,) in prompts]
        options = {"stop": sorted(stops), "max_length": 6, "num_beams": beams}
        # prompts end at different times
        found = generate(Table(scores), prompts, length_penalty=penalty, **options)
        assert [tokens.tolist() for tokens in found] == expected


def test_where_everything_stops_nothing_is_written() -> None:
    for beams in (1, 2, 9):
        found = generate(Table(np.zeros((3, 3))), [[0], [2]], stop=[0, 1, 2], num_beams=beams)
        assert [tokens.tolist() for tokens in found] == [[], []]


def test_a_stop_token_in_a_prompt_stops_nothing() -> None:
    model = LanguageModel(11, 8, 2, 1, rng=0)
    for beams in (1, 3):
        options = {"num_beams": beams, "max_length": 5}
        with_stop = model.generate([[4, 1, 2]], stop=[4, 10], **options)[0]
        assert with_stop[:3].tolist() == [4, 1, 2]
        assert with_stop.size > 3


@pytest.mark.parametrize("penalty", [-1e4, 1e4])
def test_a_penalty_may_be_of_any_size(penalty: float) -> None:
    """length^penalty is beyond every number: with 1e4 the longest wins, with −1e4 the shortest."""
    scores = np.log([[0.5, 0.3, 0.2]] * 3)
    (found,) = generate(
        Table(scores), [[0]], stop=2, num_beams=3, max_length=11, length_penalty=penalty
    )
    assert found.tolist() == ([0] * 11 if penalty > 0 else [])


def test_a_row_that_cannot_continue_is_named_by_its_prompt() -> None:
    scores = np.full((4, 4), -np.inf)  # 0 → 3, which stops; 2 → 1 → nothing
    scores[0, 3] = scores[2, 1] = 0
    for beams in (1, 2):
        with pytest.raises(FloatingPointError, match="token of sequence 1 hold"):
            generate(Table(scores), [[0], [2]], stop=3, num_beams=beams, max_length=3)


@pytest.mark.parametrize(
    "options",
    [{"temperature": 5e-324}, {"temperature": 1e-300}, {"top_k": 1}, {"top_p": 5e-324},
     {"temperature": 1e308, "top_k": 1}, {"temperature": 0.0}],
)  # fmt: skip
def test_the_narrowest_choice_is_the_best_token(options: dict[str, float]) -> None:
    scores = np.array([[1.0, 3.0, 2.0, 3.0], [0.0, -np.inf, 7.0, 7.0], [5.0, -1e4, 5.0, 5.0],
                       [0.0, 0.0, 0.0, -np.inf]])  # fmt: skip
    best = generate(Table(scores), [[0], [1], [2], [3]], max_length=5)
    if options.get("temperature", 0) in (5e-324, 1e-300):
        scores[scores == scores.max(-1, keepdims=True)] -= np.arange(10) * 1e-3  # no ties
        best = generate(Table(scores), [[0], [1], [2], [3]], max_length=5)
    for seed in range(5):
        with np.errstate(all="raise"):
            drawn = generate(Table(scores), [[0], [1], [2], [3]], max_length=5, rng=seed, **options)
        assert [tokens.tolist() for tokens in drawn] == [tokens.tolist() for tokens in best]


@pytest.mark.peer
@pytest.mark.parametrize("stop_count", [1, 2, 4])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_the_sequences_are_those_of_transformers(stop_count: int, penalty: float) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from transformers.modeling_outputs import CausalLMOutput

    class Model(transformers.PreTrainedModel, transformers.GenerationMixin):
        config_class = transformers.PretrainedConfig
        main_input_name = "input_ids"

        def __init__(self, table: Any) -> None:
            super().__init__(transformers.PretrainedConfig(
                vocab_size=len(table), num_hidden_layers=1, is_encoder_decoder=False))  # fmt: skip
            self.table = torch.nn.Parameter(torch.tensor(table))
            self.generation_config = transformers.GenerationConfig()

        def forward(self, input_ids: Any, **_: Any) -> Any:
            return CausalLMOutput(logits=self.table[input_ids])

        def prepare_inputs_for_generation(
            self, input_ids: Any, attention_mask: Any, **_: Any
        ) -> Any:
            return {"input_ids": input_ids}

    rng = np.random.default_rng(stop_count)
    for beams in (2, 3, 5):
        scores = 2 * rng.standard_normal((7, 7))
        stops = rng.permutation(6)[:stop_count].tolist()
        prompts = np.arange(7)[:, None]
        theirs = Model(scores).generate(
            torch.tensor(prompts), num_beams=beams, max_new_tokens=6, eos_token_id=stops,
            pad_token_id=6, do_sample=False, length_penalty=penalty, early_stopping="never",
            use_cache=False, attention_mask=torch.ones(7, 1, dtype=torch.long),
        ).numpy()[:, 1:]  # fmt: skip
        ours = generate(
            Table(scores), prompts, stop=stops, num_beams=beams, max_length=6,
            length_penalty=penalty,
        )  # fmt: skip
        for found, row in zip(ours, theirs, strict=True):
            ends = np.flatnonzero(np.isin(row, stops))
            expected = row[: ends[0]] if ends.size else row
            np.testing.assert_array_equal(found, expected)
