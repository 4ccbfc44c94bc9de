"""The application that reads sentiment from words: its parts, and the whole on made-up reviews."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

APPLICATION = Path(__file__).parents[1] / "examples/word_sentiment"
LEXICON = {"lovely": 0.75, "awful": -0.75, "fine": 0.25}
GOOD, BAD = ("lovely", "flattering", "soft", "perfect"), ("awful", "itchy", "returned", "torn")
PLAIN = ("bought", "this", "dress", "blue", "and", "wore", "it", "day", "may", "with", "shoes")


@pytest.fixture
def parts() -> Iterator[None]:
    """The folder of the application, whose modules import each other by name."""
    before = set(sys.modules)
    sys.path.insert(0, str(APPLICATION))
    yield
    sys.path.remove(str(APPLICATION))
    for name in set(sys.modules) - before:
        if (APPLICATION / f"{name}.py").exists():
            del sys.modules[name]


def made_up_reviews(count: int) -> Any:
    from reviews import Reviews

    rng, texts = np.random.default_rng(5), []
    liked = rng.integers(0, 2, count)
    for good in liked:
        words = [str(word) for word in rng.choice(PLAIN, rng.integers(8, 13))]
        words[rng.integers(len(words))] = str(rng.choice(GOOD if good else BAD))
        texts.append(words)
    return Reviews(texts, liked)


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max())
    return e / e.sum()


def test_a_score_is_the_sum_of_what_words_add(parts: None) -> None:
    from reader import Reader, Vocabulary

    texts = [["so", "lovely"], ["so", "lovely"], ["awful", "so", "lovely", "fit"], ["awful"]]
    vocabulary = Vocabulary(texts)
    model = Reader(len(vocabulary), strength=2.0, width=5, rng=3)
    tokens, ratings = vocabulary.encode(texts), vocabulary.ratings(texts, LEXICON)
    weights, added = model.read(tokens, ratings)
    logits = model(tokens, ratings)[:, 0]
    np.testing.assert_allclose(added.sum(1) + model.head.bias, logits, atol=1e-5)

    # the equations of the module, for the third text, in float64
    numbers = {"so": 2, "lovely": 3, "awful": 4, ("so", "lovely"): 5}  # as they come
    table = model.embedding.weight.astype(np.float64)
    rated = np.array([-0.75, 0, 0.75, 0])
    rows = [table[numbers.get(word, 1)] for word in texts[2]]
    rows[2] = rows[2] + table[numbers["so", "lovely"]]
    x = np.array(rows) + rated[:, None] * model.rating.weight[:, 0]
    heads = model.head.weight.reshape(4, 5).astype(np.float64)
    query = model.pooling.query.astype(np.float64)
    each = [softmax(x @ row + 2 * np.abs(rated)) for row in query]
    np.testing.assert_allclose(weights[2, :4], np.mean(each, 0), atol=1e-6)
    expected = sum(a @ x @ head for a, head in zip(each, heads, strict=True)) + model.head.bias[0]
    np.testing.assert_allclose(logits[2], expected, atol=1e-5)


def test_words_and_pairs_of_a_single_text_are_unknown(parts: None) -> None:
    from reader import NOTHING, UNKNOWN, Vocabulary

    vocabulary = Vocabulary([["a", "b"], ["a", "b", "c"]])
    assert set(vocabulary.numbers) == {"a", "b", ("a", "b")}
    tokens = vocabulary.encode([["c", "a", "b"]])[0]
    assert tokens[0].tolist() == [UNKNOWN, NOTHING]
    assert tokens[2].tolist() == [vocabulary.numbers["b"], vocabulary.numbers["a", "b"]]


def test_a_forgotten_word_takes_its_pairs_along(parts: None) -> None:
    from reader import NOTHING, UNKNOWN, forgotten

    tokens = np.arange(2, 2 + 2 * 300).reshape(1, 300, 2)
    found, _ = forgotten(tokens, np.zeros((1, 300), np.float32), np.random.default_rng(0))
    gone = np.flatnonzero(found[0, :, 0] == UNKNOWN)
    assert 10 < len(gone) < 60
    without_pair = set(np.flatnonzero(found[0, :, 1] == NOTHING))
    assert without_pair == {*gone, *(place + 1 for place in gone if place < 299)}


def test_ratings_are_those_of_guide(parts: None) -> None:
    from reader import Vocabulary
    from reviews import words_of

    from heedful.explain import guide

    words = words_of("Lovely. It's fine, not AWFUL!")
    ratings = Vocabulary([words]).ratings([words], LEXICON)[0]
    np.testing.assert_array_equal(ratings, guide(words, attract=LEXICON).bias.astype(np.float32))


def test_lists_and_headlines_are_balanced(parts: None) -> None:
    from headlines import BAD, GOOD, HEADLINES, RISES

    assert not set(GOOD.split()) & set(BAD.split())
    assert len(set(HEADLINES)) == len(RISES) == 40
    assert sum(RISES) == 20


def test_no_review_is_in_two_parts(parts: None) -> None:
    from reviews import Reviews, split

    found = split(Reviews([[str(number)] for number in range(47)], np.arange(47)), seed=1)
    assert [len(part.words) for part in found] == [35, 4, 8]
    assert sorted(np.concatenate([part.liked for part in found])) == list(range(47))
    assert all(part.words == [[str(number)] for number in part.liked] for part in found)


def test_texts_rated_differently_are_read_once(parts: None, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from pyarrow import table
    from reviews import load_lexicon, load_reviews

    texts = ["Nice fit", None, "Torn", "Nice fit", " "]
    rows = table({"Review Text": texts, "Rating": [4, 5, 3, 1, 1]})
    parquet.write_table(rows, tmp_path / "reviews.parquet", compression="brotli")
    reviews = load_reviews(tmp_path / "reviews.parquet")
    assert reviews.words == [["nice", "fit"], ["torn"]]
    assert reviews.liked.tolist() == [1, 0]
    (tmp_path / "lexicon.txt").write_text("good\t1.9\t0.9\t[2]\nbad\t-2.5\t0.6\t[-3]\n")
    assert load_lexicon(tmp_path / "lexicon.txt") == {"good": 0.475, "bad": -0.625}


@pytest.mark.slow
def test_the_words_that_decide_have_the_weight(parts: None) -> None:
    pytest.importorskip("sklearn")
    from figures import counted, reads_headlines, study
    from headlines import OWN

    (words, _), results = study(made_up_reviews(900), LEXICON, seed=0, epochs=8)
    assert words["accuracy"] > 0.95
    for result in results:
        assert result.figures["accuracy"] > 0.95
        assert result.figures["heaviest away"] > 2 * result.figures["random away"]
    assert results[1].figures["on rated"] > results[0].figures["on rated"]
    assert 0 <= reads_headlines(results[1], OWN) <= 1
    assert 0.5 < counted(OWN) < 1


def test_the_fall_is_that_without_the_words_of_the_largest_weights(parts: None) -> None:
    from figures import loss_without

    def encode(texts: list[list[str]]) -> np.ndarray:
        return np.array([[*map(int, text), *[0] * (9 - len(text))] for text in texts])

    vocabulary = SimpleNamespace(length=9, encode=encode, ratings=lambda *_: None)
    model = SimpleNamespace(
        read=lambda tokens, _: (tokens, None),
        predict=lambda inputs, batch_size: -inputs[0].sum(1, keepdims=True),
    )
    test = SimpleNamespace(words=[list("1928374"), list("555")])  # the second is too short
    rng = np.random.default_rng(0)
    heaviest, drawn = loss_without(model, vocabulary, {}, test, rng)  # type: ignore[arg-type]
    assert heaviest == 9 + 8 + 7
    assert drawn < heaviest
