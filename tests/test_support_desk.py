"""The application that answers from known questions: its parts, and the whole on made-up ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

APPLICATION = Path(__file__).parents[1] / "examples/support_desk"
WIDTH = 24


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


def made_up_questions() -> Any:
    """Topics are directions of the vectors, and each question is near that of its topic."""
    from questions import Questions

    sizes = {"billing": 30, "delivery": 31, "returns": 29, "cooking": 7, "music": 7, "travel": 7,
             "weather": 7}  # fmt: skip
    rng = np.random.default_rng(2)
    centres = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]
    topics = np.repeat(list(sizes), list(sizes.values()))
    vectors = centres[np.unique(topics, return_inverse=True)[1]]
    vectors = vectors + 0.12 * rng.standard_normal(vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"question {number} on {topic}" for number, topic in enumerate(topics)]
    return Questions(texts, [f"answer to {text}" for text in texts], topics,
                     vectors.astype(np.float32))  # fmt: skip


def test_each_wording_is_read_once_under_its_topic(parts: None, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    from questions import read

    (tmp_path / "a.yml").write_text(
        "categories:\n- parcels\n- post\nconversations:\n- - Where is it?\n  - On its way.\n"
        "  - Thanks\n- - where is it\n  - Lost.\n- - How much?\n  - 5\n"
    )
    (tmp_path / "b.yml").write_text("categories:\n- bills\nconversations:\n- - Why?\n  - So.\n")
    (tmp_path / "c.yml").write_text(
        "categories:\n- greetings\nconversations:\n- - Good day\n  - Hi.\n"
    )
    assert read(tmp_path) == (
        ["Where is it?", "How much?", "Why?", "Good day"],
        ["On its way.", "5", "So.", "Hi."],
        ["parcels", "parcels", "bills", "conversations"],  # greetings have joined these
    )


def test_probabilities_are_those_of_the_equations(parts: None) -> None:
    from desk import Desk

    rng = np.random.default_rng(1)
    desk = Desk(5, 3, sharpness=7.0, rng=4)
    desk.projection.weight = rng.standard_normal((5, 5))
    questions = rng.standard_normal((2, 5)).astype(np.float32)
    known = rng.standard_normal((11, 5)).astype(np.float32)
    topics = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 11)]

    w = desk.projection.weight.astype(np.float64).T
    scores = np.exp((questions @ w) @ (known @ w).T)
    weights = scores / (scores.sum(1, keepdims=True) + np.exp(0.6 * 7))
    keys = desk.topic_keys.weight.astype(np.float64)
    of_keys = np.exp(questions @ keys.T + desk.topic_keys.bias)
    of_keys /= of_keys.sum(1, keepdims=True)
    np.testing.assert_allclose(desk.weights(questions, known), weights, atol=1e-5)
    np.testing.assert_allclose(
        desk.probabilities(questions, known, topics),
        (weights @ topics + of_keys[:, :3]) / 2, atol=1e-5,
    )  # fmt: skip


def test_a_question_is_trained_without_itself_and_by_the_gradient_of_its_loss(parts: None) -> None:
    from desk import Desk, train

    steps: list[Any] = []

    class Recorded(Desk):
        def forward(self, x: Any, known: Any, topics: Any, mask: Any, **options: Any) -> Any:
            p, backward = super().forward(x, known, topics, mask, **options)

            def recorded(dp: np.ndarray) -> Any:
                steps.append((p.astype(float), mask, dp))
                return backward(dp)

            return p, recorded

    rng = np.random.default_rng(3)
    known, in_vain = (rng.standard_normal((n, 5)).astype(np.float32) / 3 for n in (9, 4))
    topic = np.arange(9) % 3
    train(Recorded(5, 3, sharpness=1.0, rng=0), known, topic, in_vain, 1, rng)
    (p, mask, dp), rows = steps[0], np.arange(9)
    assert not mask[rows, rows].any()
    assert mask.sum() == 13 * 9 - 9

    def loss(p: np.ndarray) -> float:
        return float(-(np.log(p[rows, topic]).sum() + np.log(1 - p[9:].sum(1)).sum()) / 13)

    for place in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[place] = 1e-6
        slope = (loss(p + step) - loss(p - step)) / 2e-6
        assert dp[place] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_refused_are_those_less_probable_than_nine_of_ten_of_the_asked(parts: None) -> None:
    pytest.importorskip("sklearn")
    from trial import Trial

    trial = Trial(made_up_questions(), seed=0, half=0, count=1)
    asked, left_out = (np.zeros((len(part), 3)) for part in (trial.asked, trial.left_out))
    asked[:, 0] = 0.9 * (1 + np.arange(len(asked))) / len(asked)
    left_out[:, 1] = np.where(np.arange(len(left_out)) % 3 == 0, 0.01, 0.2)
    expected = np.mean(left_out[:, 1] == 0.01)
    assert trial.figures(asked, left_out)["refused"] == pytest.approx(expected)


def test_no_question_is_in_two_parts(parts: None) -> None:
    from trial import Trial

    questions = made_up_questions()
    trials = [Trial(questions, seed=0, half=half, count=1) for half in (0, 1)]
    for trial in trials:
        drawn = [trial.known, trial.asked, trial.in_vain, trial.left_out]
        assert sorted(np.concatenate(drawn)) == list(range(len(questions.texts)))
        assert not set(questions.topics[trial.left_out]) & set(questions.topics[trial.in_vain])
    np.testing.assert_array_equal(np.sort(trials[0].in_vain), np.sort(trials[1].left_out))


@pytest.mark.slow
def test_topics_of_the_desk_are_answered_and_others_refused(parts: None) -> None:
    pytest.importorskip("sklearn")
    from trial import Trial

    questions = made_up_questions()
    trial = Trial(questions, seed=0, half=0, count=20)
    found, regression = trial.figures_of_desk(), trial.figures_of_regression()
    assert found["topic"] > 0.95
    assert found["refusal AUC"] > 0.95
    assert found["first"] > 0.95
    assert regression["MiniLM"]["topic"] > 0.9
    own = trial.answer("own", trial.x(trial.asked)[0])
    topic = str(questions.topics[trial.asked[0]])
    assert topic in own.splitlines()[1]
    assert f"answer to question {own.split('question ')[1].split()[0]}" in own
    foreign = trial.answer("foreign", trial.x(trial.left_out)[0])
    assert "I do not know" in foreign
