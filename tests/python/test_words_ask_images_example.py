"""The example of words and images: its words, its questions and its attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.layers import Dropout, MultiHeadAttention

pytestmark = [pytest.mark.once]

pytest.importorskip("num2words")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import words_ask_images

    return words_ask_images


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(10), 9))


def scores_that_know(example: Any, numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (example.DIGITS[numbers][:, :, None] == labels).astype(float)


def test_each_language_spells_each_number(example: Any) -> None:
    told = example.words()
    assert len(told.spelled) == 500
    by_name = dict(zip(told.spelled, told.numbers, strict=True))
    names = "twenty-four", "vierundzwanzig", "vingt-quatre", "veinticuatro", "ventiquattro"
    assert [by_name[name] for name in names] == [24] * 5
    assert ((told.tokens > 0).sum(axis=1) == told.lengths).all()


def test_scores_that_know_the_digits_answer_every_question(
    example: Any, labels: np.ndarray
) -> None:
    numbers = example.words().numbers
    found = example.ask(scores_that_know(example, numbers, labels), numbers, labels, np.arange(100))
    assert found == (1, 1, 1, 1)


def test_exchanged_tens_and_units_find_only_numbers_with_two_equal_digits(
    example: Any, labels: np.ndarray
) -> None:
    numbers = example.words().numbers
    exchanged = scores_that_know(example, numbers, labels)[:, ::-1]
    found = example.ask(exchanged, numbers, labels, np.arange(100))
    np.testing.assert_allclose(found, 0.1)


def test_questions_about_some_numbers_count_these_alone(example: Any, labels: np.ndarray) -> None:
    numbers = example.words().numbers
    scores = scores_that_know(example, numbers, labels)
    wrong = np.isin(numbers, (25, 71))
    scores[wrong] = scores[wrong][:, ::-1]
    assert example.ask(scores, numbers, labels, np.array([30, 44, 68])).picture == 1
    assert example.ask(scores, numbers, labels, np.array([25, 71])).picture == 0


def test_the_gradient_of_the_loss_is_that_of_finite_differences(example: Any) -> None:
    rng = np.random.default_rng(0)
    fits = rng.random((7, 5)) < 0.4
    fits[2] = False  # a word without an image, and an image without a word
    fits[:, 3] = False
    scores = rng.standard_normal(fits.shape)

    def loss(scores: np.ndarray) -> float:
        """In plain loops: −log of the share of each answer, the mean over its answers."""
        total = 0.0
        for logits, targets in ((scores, fits), (scores.T, fits.T)):
            asked = [row for row in range(len(logits)) if targets[row].any()]
            for row in asked:
                log_shares = logits[row] - np.log(np.exp(logits[row]).sum())
                total -= log_shares[targets[row]].mean() / len(asked)
        return total

    found, gradient = example.two_way_loss(scores, fits)
    assert found == pytest.approx(loss(scores), rel=1e-12)
    for index in np.ndindex(scores.shape):
        nudge = np.zeros_like(scores)
        nudge[index] = 1e-6
        derivative = (loss(scores + nudge) - loss(scores - nudge)) / 2e-6
        assert gradient[index] == pytest.approx(derivative, rel=1e-6, abs=1e-9), index


def test_the_gradient_reaches_every_parameter(example: Any) -> None:
    """Along a random direction of all parameters: the scores' change by finite differences."""
    told, rng = example.words(), np.random.default_rng(0)
    model = example.WordsAskImages(int(told.tokens.max()) + 1, rng)
    inputs = told.tokens[:3], told.lengths[:3], rng.random((4, 16, 16), np.float32)
    dy = rng.standard_normal((3, 2, 4), dtype=np.float32)
    model.zero_grad()
    for _, layer in model.named_layers():
        if isinstance(layer, Dropout):
            layer.rate = 0.0
        elif isinstance(layer, MultiHeadAttention):
            layer.dropout = 0.0
    _, backward = model.forward(*inputs)
    backward(dy)
    held = {name: array.copy() for name, array in model.parameters().items()}
    ways = {name: np.sign(array) for name, array in model.grads.items()}
    assert ways.keys() == held.keys()
    expected = sum(float((model.grads[name] * way).sum()) for name, way in ways.items())

    def moved(step: float) -> float:
        for name, array in model.parameters().items():
            array[...] = held[name] + np.float32(step) * ways[name]
        return float((model(*inputs).astype(np.float64) * dy).sum())

    found = (moved(1e-5) - moved(-1e-5)) / 2e-5
    assert found == pytest.approx(expected, rel=2e-3)


def test_letters_after_the_end_of_a_word_change_nothing(example: Any) -> None:
    told = example.words()
    model = example.WordsAskImages(int(told.tokens.max()) + 1, np.random.default_rng(0))
    row = told.spelled.index("quattro")
    images = np.random.default_rng(1).random((3, 16, 16), np.float32)
    padded = model(told.tokens[row][None], told.lengths[row][None], images)
    alone = model(told.tokens[row][None, : told.lengths[row]], told.lengths[row][None], images)
    np.testing.assert_allclose(padded, alone, atol=1e-5)
    weights = example.letter_weights(model, told.tokens[row], told.lengths[row])
    assert weights.shape == (2, len("quattro"))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)


def test_moved_images_keep_their_ink_unless_it_leaves(example: Any) -> None:
    pixels = np.zeros((40, 8, 8), np.float32)
    pixels[:, 3, 4] = 1
    moved = example.moved(pixels, np.random.default_rng(0))
    np.testing.assert_array_equal(moved.sum(axis=(1, 2)), 1)
    rows, columns = np.nonzero(moved)[1:]
    assert set(rows) == {2, 3, 4}
    assert set(columns) == {3, 4, 5}


def test_training_sees_neither_new_numbers_nor_images_of_the_test(
    example: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, asked = [], []
    ask = example.ask

    def train(
        _: Any, told: Any, seen: np.ndarray, ink: np.ndarray, labels: np.ndarray, *others: Any
    ) -> None:
        trained.append(({int(n) for n in told.numbers[seen]}, ink, labels))

    def noted(scores: Any, numbers: Any, labels: np.ndarray, chosen: np.ndarray) -> Any:
        asked.append((set(chosen.tolist()), labels))
        return ask(scores, numbers, labels, chosen)

    monkeypatch.setattr(example, "train", train)
    monkeypatch.setattr(example, "ask", noted)
    monkeypatch.setattr("sys.argv", ["words_ask_images.py", "--small"])
    example.main()
    line = capsys.readouterr().out.split("new numbers: ")[1].splitlines()[0]
    [(numbers, ink, labels)], [(known, test_labels), (new, _)] = trained, asked
    assert new == set(map(int, line.split()))
    assert len(new) == 20
    assert numbers == known == set(range(100)) - new
    pixels, every = example.load_digits()
    np.testing.assert_array_equal(ink, pixels[::2].astype(np.float32) / 16)
    np.testing.assert_array_equal(labels, every[::2])
    np.testing.assert_array_equal(test_labels, every[1::2])
