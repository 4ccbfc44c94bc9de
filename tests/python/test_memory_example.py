"""The example of memory: its corridor, its returns and its objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.once]

pytest.importorskip("gymnasium")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import memory_in_a_corridor

    return memory_in_a_corridor


@pytest.mark.filterwarnings("ignore:.*render:UserWarning")
def test_the_corridor_is_an_environment_by_gymnasiums_own_check(example: Any) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(example.Corridor(), skip_render_check=True)


@pytest.mark.parametrize("seed", range(8))
def test_a_walker_that_knows_the_signal_is_rewarded(example: Any, seed: int) -> None:
    corridor = example.Corridor()
    signal, _ = corridor.reset(seed=seed)
    rewards, over, seen = [], False, signal
    while seen != example.JUNCTION:
        seen, reward, over, late, _ = corridor.step(example.FORWARD)
        rewards.append(reward)
        assert not over
        assert not late
    assert example.SHORTEST <= len(rewards) <= example.LONGEST
    assert not any(rewards)
    _, reward, over, _, _ = corridor.step(example.LEFT + signal)
    assert (reward, over) == (1.0, True)


def test_bumps_and_wrong_turns_are_penalised(example: Any) -> None:
    corridor = example.Corridor()
    signal, _ = corridor.reset(seed=0)
    assert corridor.step(example.LEFT)[1:3] == (-0.1, False)
    while corridor.step(example.FORWARD)[0] != example.JUNCTION:
        pass
    assert corridor.step(example.FORWARD)[1:3] == (-0.1, False)
    assert corridor.step(example.RIGHT - signal)[1:3] == (-1.0, True)


def test_who_never_turns_is_stopped(example: Any) -> None:
    corridor = example.Corridor()
    corridor.reset(seed=0)
    late = [corridor.step(example.FORWARD)[3] for _ in range(example.MOST_STEPS)]
    assert late == [False] * (example.MOST_STEPS - 1) + [True]


def test_returns_are_discounted_sums(example: Any) -> None:
    rewards = np.random.default_rng(0).standard_normal((3, 7))
    expected = [
        [sum(0.9 ** (later - step) * row[later] for later in range(step, 7)) for step in range(7)]
        for row in rewards
    ]
    np.testing.assert_allclose(example.discounted(rewards, 0.9), expected)


def test_the_objective_is_the_formula_and_its_gradient_that_of_differences(example: Any) -> None:
    walker = example.Walker(memory=True, seed=0, width=6)
    walks = example.walk(walker, 5, np.random.default_rng(1))
    returns = example.discounted(walks.rewards)
    objective = example.Objective(walker)

    def by_hand(advantage: np.ndarray) -> float:
        decided = walker(walks.seen).astype(np.float64)
        scores, value = decided[..., :3], decided[..., 3]
        log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        total = 0.0
        for row, step in zip(*np.nonzero(walks.walking), strict=True):
            one = log_p[row, step]
            total += 0.5 * (value[row, step] - returns[row, step]) ** 2
            total -= one[walks.actions[row, step]] * advantage[row, step]
            total += 0.02 * (np.exp(one) * one).sum()
        return total / walks.walking.sum()

    advantage = returns - walker(walks.seen)[..., 3]
    advantage = advantage / advantage[walks.walking].std()
    loss, backward = objective.forward(walks.seen, walks=walks, returns=returns)
    np.testing.assert_allclose(loss, by_hand(advantage), rtol=1e-5)
    objective.zero_grad()
    backward(np.float32(1))
    entries = {"recall.in_proj_weight": (1, 2), "recall.out_proj.weight": (0, 3),
               "act.weight": (3, 1), "place.weight": (0, 1), "sight.weight": (8, 2)}  # fmt: skip
    for name, at in entries.items():
        values = walker.parameters()[name]
        before, found = values[at], []
        for move in (0.01, -0.01):
            values[at] = before + move
            found.append(by_hand(advantage))
        values[at] = before
        expected = (found[0] - found[1]) / 0.02
        np.testing.assert_allclose(walker.grads[name][at], expected, rtol=0.02, atol=2e-5)


def test_a_walker_attends_to_earlier_steps_alone(example: Any) -> None:
    weights = example.Walker(memory=True, seed=0).weights(np.arange(12).reshape(2, 6) % 9)
    assert not np.triu(weights).any()
    np.testing.assert_allclose(weights[:, 1:].sum(-1), 1, rtol=1e-6)
