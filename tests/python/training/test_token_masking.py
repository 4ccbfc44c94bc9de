"""mask_tokens draws what BERT's authors drew, and says so in its targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.training import SparseCategoricalCrossEntropy, mask_tokens

MASK, SPECIAL, VOCABULARY = 3, [0, 1, 2], 50


@pytest.fixture
def tokens(rng: np.random.Generator) -> Any:
    found = rng.integers(4, VOCABULARY, (400, 100))
    found[:, 0], found[:, -3:] = 1, 0
    return found


def test_the_fractions_are_those_that_were_asked_for(tokens: Any) -> None:
    before = tokens.copy()
    x, y = mask_tokens(tokens, MASK, VOCABULARY, special=SPECIAL, rng=0)
    np.testing.assert_array_equal(tokens, before)
    chosen = y != -100
    np.testing.assert_array_equal(y[chosen], tokens[chosen])
    np.testing.assert_array_equal(x[~chosen], tokens[~chosen])
    assert not chosen[np.isin(tokens, SPECIAL)].any()
    # 38,400 draws: four standard deviations
    assert abs(chosen[:, 1:-3].mean() - 0.15) < 0.0073
    hidden = (x[chosen] == MASK).mean()
    kept = (x[chosen] == tokens[chosen]).mean()
    assert abs(hidden - 0.8) < 0.022
    assert abs(kept - 0.1 - 0.1 / 46) < 0.017
    swapped = x[chosen & (x != MASK) & (x != tokens)]
    assert set(swapped) == set(range(4, VOCABULARY))


def test_the_seed_decides(tokens: Any) -> None:
    one, same, other = (
        mask_tokens(tokens, MASK, VOCABULARY, special=SPECIAL, rng=seed) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one[0], same[0])
    np.testing.assert_array_equal(one[1], same[1])
    assert (one[1] != other[1]).any()
    rng = np.random.default_rng(0)
    first, second = (mask_tokens(tokens, MASK, VOCABULARY, rng=rng)[1] for _ in range(2))
    assert (first != second).any()


def test_words_are_chosen_as_a_whole(tokens: Any, rng: np.random.Generator) -> None:
    words = np.cumsum(rng.random(tokens.shape) < 0.4, axis=-1)
    words[:, 50:] = words[:, 50:].max(-1, keepdims=True) - words[:, :50]  # not in order
    words[:, 0] = -1
    _, y = mask_tokens(tokens, MASK, VOCABULARY, rate=0.3, words=words, rng=0)
    for row, own, labels in zip(tokens, words, y, strict=True):
        for word in np.unique(own):
            chosen = labels[own == word] != -100
            assert chosen.all() or not chosen.any()
            assert word >= 0 or not chosen.any()
        assert (labels[labels != -100] == row[labels != -100]).all()
    share = (y != -100).mean()
    assert 0.25 < share < 0.35


def test_lengths_and_extremes(tokens: Any) -> None:
    lengths = np.arange(400) % 100
    x, y = mask_tokens(
        tokens, MASK, VOCABULARY, rate=1.0, lengths=lengths, masked=1.0, replaced=0.0, rng=0
    )
    within = np.arange(100) < lengths[:, None]
    assert (x[within] == MASK).all()
    np.testing.assert_array_equal(y, np.where(within, tokens, -100))
    x, y = mask_tokens(tokens, MASK, VOCABULARY, rate=0, rng=0)
    np.testing.assert_array_equal(x, tokens)
    assert (y == -100).all()
    _, y = mask_tokens(tokens, MASK, VOCABULARY, masked=0.0, replaced=0.0, ignore_index=-1, rng=0)
    assert y.min() == -1


def test_the_loss_is_over_chosen_tokens_alone(tokens: Any, rng: np.random.Generator) -> None:
    _, y = mask_tokens(tokens[:4], MASK, VOCABULARY, special=SPECIAL, rng=0)
    logits = rng.standard_normal((4, 100, VOCABULARY))
    loss, gradient = SparseCategoricalCrossEntropy(ignore_index=-100)(y, logits)
    chosen = y != -100
    p = np.exp(logits[chosen])
    p /= p.sum(-1, keepdims=True)
    assert loss == pytest.approx(-np.log(p[np.arange(chosen.sum()), y[chosen]]).mean())
    assert not gradient[~chosen].any()


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"tokens": [[50]]}, ValueError, r"tokens must lie in \[0, 50\): got 50"),
        ({"tokens": [[0.5]]}, TypeError, "tokens must be integers"),
        ({"tokens": 3}, ValueError, "tokens must have one axis"),
        ({"mask_token": 50}, ValueError, r"mask_token must lie in \[0, 50\): got 50"),
        ({"mask_token": "a"}, TypeError, "mask_token must be an integer"),
        ({"vocabulary": 0}, ValueError, "vocabulary must be at least 1"),
        ({"rate": 1.5}, ValueError, "rate must lie between 0 and 1"),
        ({"special": [-1]}, ValueError, r"special must lie in \[0, 50\): got -1"),
        ({"lengths": [6]}, ValueError, "lengths must lie between 0 and 5"),
        ({"words": [[1, 2]]}, ValueError, r"words must have shape \(1, 5\)"),
        ({"words": [[1, 2, -2, 1, 0]]}, ValueError, "words must be −1 or counted from 0: got -2"),
        ({"masked": 0.8, "replaced": 0.3}, ValueError, r"masked \+ replaced must be at most 1"),
        ({"ignore_index": 7}, ValueError, "ignore_index must be an integer that is no token"),
        ({"ignore_index": None}, TypeError, "ignore_index must be an integer that is no token"),
        ({"special": range(50)}, ValueError, "vocabulary must have a token that is not special"),
        ({"rng": "a"}, TypeError, "rng must be None, an integer"),
    ],
)
def test_wrong_arguments_are_named(
    wrong: dict[str, Any], kind: type[Exception], message: str
) -> None:
    given = {"tokens": [[1, 7, 8, 9, 2]], "mask_token": 3, "vocabulary": 50, **wrong}
    with pytest.raises(kind, match=rf"\A{message}"):
        mask_tokens(**given)
