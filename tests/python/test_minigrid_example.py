"""The example of MiniGrid: its views, its walks, its advantages and its objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.once]

pytest.importorskip("minigrid")

EXAMPLES = Path(__file__).parents[2] / "examples"
S11 = "MiniGrid-MemoryS11-v0"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import memory_in_minigrid

    return memory_in_minigrid


def test_a_sight_is_one_hot_by_minigrids_numbers(example: Any) -> None:
    numbers = np.array([[0, 1, 2], [5, 6, 1], [2, 2, 5]])  # unseen, empty, wall, key, ball
    seen = {"image": np.stack([numbers, numbers * 0 + 1, numbers * 0], -1), "direction": 2}
    direction, empty, wall, key, ball = np.split(example.sight(seen).astype(int), [4, 13, 22, 31])
    assert direction.tolist() == [0, 0, 1, 0]
    assert empty.tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0]
    assert wall.tolist() == [0, 0, 1, 0, 0, 0, 1, 1, 0]
    assert key.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert ball.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "view"), [(S11, 7), ("MiniGrid-MemoryS13-v0", 7), ("MiniGrid-MemoryS9-v0", 5)]
)
def test_memory_is_needed(example: Any, name: str, view: int) -> None:
    both, views = example.Grid(name, view).views_of_both(4)
    assert both == 0
    assert views > 400


@pytest.mark.parametrize("name", ["MiniGrid-MemoryS7-v0", "MiniGrid-MemoryS9-v0"])
def test_views_of_both_are_found_where_there_are_some(example: Any, name: str) -> None:
    assert example.Grid(name, 7).views_of_both(2)[0] > 0


def test_objects_are_in_view_when_minigrid_says_so(example: Any) -> None:
    grid, rng = example.Grid(S11, 7), np.random.default_rng(0)
    found = []
    for seed in range(10):
        seen, _ = grid.env.reset(seed=seed)
        assert all(grid.env.grid.get(*at).type in ("key", "ball") for at in grid.objects())
        for action in rng.integers(0, 3, 20):
            expected = [bool(grid.env.agent_sees(*place)) for place in grid.objects()]
            found.append(grid.shows(seen))
            assert found[-1] == expected
            seen, _, over, _, _ = grid.env.step(int(action))
            if over:
                break
    assert np.any(found, 0).all()
    assert not np.all(found, 0).any()


@pytest.fixture
def walks(example: Any) -> Any:
    agent = example.Agent(7, memory=True, seed=0, width=8)
    grids = [example.Grid(S11, 7) for _ in range(5)]
    return agent, example.walk(agent, grids, np.random.default_rng(1))


def test_a_walk_repeats_in_minigrid_itself(example: Any, walks: Any) -> None:
    import gymnasium

    _, walked = walks
    env = gymnasium.make(S11)
    seen, _ = env.reset(seed=int(np.random.default_rng(1).integers(2**31)))
    for step in np.flatnonzero(walked.walking[0]):
        np.testing.assert_array_equal(walked.x[0, step], example.sight(seen))
        seen, reward, over, _, _ = env.step(int(walked.actions[0, step]))
        assert walked.rewards[0, step] == np.float32(reward)
    assert over or step == example.MOST_STEPS - 1


def test_decisions_while_walking_are_those_of_the_whole_walk(walks: Any) -> None:
    agent, walked = walks
    scores, values = agent(x=walked.x)
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_p, walked.actions[..., None], -1)[..., 0]
    there = walked.walking
    np.testing.assert_allclose(walked.log_p[there], chosen[there], atol=1e-5)
    np.testing.assert_allclose(walked.values[there], values[there], atol=1e-5)


def test_keys_do_not_tell_keys_from_balls_and_values_do(walks: Any) -> None:
    agent, walked = walks
    swapped = walked.x.copy()
    swapped[..., -98:] = np.concatenate([walked.x[..., -49:], walked.x[..., -98:-49]], -1)
    assert (swapped != walked.x).any()
    assert walked.signal[:, :-1].any()
    now = walked.x[:, -1:]  # the query: the same
    with_now = [np.concatenate([past[:, :-1], now], 1) for past in (walked.x, swapped)]
    weights, same = (agent.weights(x)[:, -1] for x in with_now)
    np.testing.assert_allclose(weights, same, atol=1e-6)
    scores, other = (agent(x=x)[0][:, -1] for x in with_now)
    assert np.abs(scores - other).max() > 1e-4


def test_without_memory_the_past_does_not_matter(example: Any, walks: Any) -> None:
    agent = example.Agent(7, memory=False, seed=0, width=8)
    _, walked = walks
    scores, values = agent(x=walked.x)
    alone, value = agent(x=walked.x[:, -1:])
    np.testing.assert_allclose(scores[:, -1:], alone, atol=1e-6)
    np.testing.assert_allclose(values[:, -1:], value, atol=1e-6)


def test_the_weight_of_the_signal_is_a_sum_over_the_steps_that_saw_it(walks: Any) -> None:
    agent, walked = walks
    weights, total = agent.weights(walked.x), 0.0
    for row in range(5):
        turn = max(
            step for step in range(walked.walking[row].sum()) if walked.actions[row, step] in (0, 1)
        )
        assert walked.last_turns()[row] == turn
        total += sum(weights[row, turn, step] for step in range(turn) if walked.signal[row, step])
    assert total > 0
    np.testing.assert_allclose(walked.weight_of_signal(agent), total / 5, rtol=1e-5)


def test_advantages_are_sums_of_decayed_errors(example: Any, walks: Any) -> None:
    _, walked = walks
    walked.rewards[:, 3] = 0.5
    found = example.advantages_of(walked, 0.9, 0.8)
    for row in range(len(walked.rewards)):
        length = int(walked.walking[row].sum())
        rewards, values = walked.rewards[row], [*walked.values[row, :length], 0.0]
        for step in range(length):
            expected = sum(
                0.72 ** (later - step) * (rewards[later] + 0.9 * values[later + 1] - values[later])
                for later in range(step, length)
            )
            np.testing.assert_allclose(found[row, step], expected, rtol=1e-4, atol=1e-6)
        assert not found[row, length:].any()


def test_the_objective_is_the_formula_and_its_gradient_that_of_differences(
    example: Any, walks: Any
) -> None:
    agent, walked = walks
    rng = np.random.default_rng(2)
    advantages = rng.standard_normal(walked.rewards.shape).astype(np.float32)
    returns = rng.standard_normal(walked.rewards.shape).astype(np.float32)
    # ratios on both sides of the limits and between them, none near: there are no differences
    walked.log_p[:] += np.log(rng.choice([0.6, 1, 1.6], walked.rewards.shape))

    def by_hand() -> float:
        scores, values = agent(x=walked.x)
        scores = scores.astype(np.float64)
        log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        total = 0.0
        for at in zip(*np.nonzero(walked.walking), strict=True):
            ratio = np.exp(log_p[at][walked.actions[at]] - walked.log_p[at])
            limited = min(max(ratio, 0.8), 1.2)
            total -= min(ratio * advantages[at], limited * advantages[at])
            total += 0.1 * (np.exp(log_p[at]) * log_p[at]).sum()
            total += 0.5 * (float(values[at]) - returns[at]) ** 2
        return total / walked.walking.sum()

    objective = example.Objective(agent)
    loss, backward = objective.forward(
        walks=walked, advantages=advantages, returns=returns, entropy=0.1
    )
    np.testing.assert_allclose(loss, by_hand(), rtol=1e-4)
    objective.zero_grad()
    backward(np.float32(1))
    for name in ("act.weight", "act.bias", "value.weight", "recall.out_proj.bias"):
        parameter = agent.parameters()[name]
        at = np.unravel_index(np.abs(agent.grads[name]).argmax(), parameter.shape)
        before, found = parameter[at], []
        for move in (1e-3, -1e-3):
            parameter[at] = before + move
            found.append(by_hand())
        parameter[at] = before
        expected = (found[0] - found[1]) / 2e-3
        np.testing.assert_allclose(agent.grads[name][at], expected, rtol=0.03, atol=1e-4)


def test_the_agent_is_the_attention_that_the_page_names(walks: Any) -> None:
    """By loops over steps, in float64."""
    agent, walked = walks
    v = {name: array.astype(np.float64) for name, array in agent.parameters().items()}
    for part in ("weight", "bias"):
        three = np.split(v[f"recall.in_proj_{part}"], 3)
        v |= {f"recall.{name}.{part}": one for name, one in zip("qkv", three, strict=True)}
    scores, values = agent(x=walked.x)
    weights = agent.weights(walked.x)

    def linear(name: str, x: Any) -> Any:
        return x @ v[f"{name}.weight"].T + v.get(f"{name}.bias", 0)

    for row, x in enumerate(walked.x.astype(np.float64)):
        objects = x[:, -98:]
        now = np.maximum(linear("see", x), 0)
        where = np.maximum(linear("where", objects[:, :49] + objects[:, 49:]), 0)
        key = linear("recall.k", where)
        what = linear("what", objects)
        for t in range(len(x)):
            recalled = v["recall.out_proj.bias"]
            if t:
                score = key[:t] @ linear("recall.q", now[t]) / np.sqrt(8)
                a = np.exp(score - score.max())
                a /= a.sum()
                np.testing.assert_allclose(weights[row, t, :t], a, atol=1e-5)
                recalled = linear("recall.out_proj", a @ linear("recall.v", what[:t]))
            assert not weights[row, t, t:].any()
            together = np.concatenate([now[t], recalled, what[t] * recalled])
            hidden = np.maximum(linear("hidden", together), 0)
            np.testing.assert_allclose(scores[row, t], linear("act", hidden), atol=1e-4)
            np.testing.assert_allclose(values[row, t], linear("value", hidden)[0], atol=1e-4)


def test_an_agent_learns_what_is_rewarded_and_to_expect_it(
    example: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In walks of one step, of which FORWARD alone has a reward."""

    def step(agent: Any, grids: list[Any], rng: np.random.Generator) -> Any:
        x = np.ones((len(grids), 1, 8), bool)
        scores, values = agent(x=x)
        log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        actions = (scores + rng.gumbel(size=scores.shape)).argmax(-1)
        chosen = np.take_along_axis(log_p, actions[..., None], -1)[..., 0]
        rewards = 0.5 * (actions == example.FORWARD).astype(np.float32)
        there = np.ones((len(grids), 1), bool)
        return example.Walks(x, actions, chosen, values, rewards, there, there)

    monkeypatch.setattr(example, "walk", step)
    agent = example.Agent(1, memory=True, seed=0)
    example.learn(agent, [None] * 64, 40, seed=0)
    scores, values = agent(x=np.ones((1, 1, 8), bool))
    p = np.exp(scores[0, 0]) / np.exp(scores[0, 0]).sum()
    assert p[example.FORWARD] > 0.9
    assert values[0, 0] == pytest.approx(0.5, abs=0.1)


def test_a_test_takes_the_best_actions_in_new_walks_and_counts_those_with_a_reward(
    example: Any, walks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, walked = walks
    walked.rewards[:] = 0
    walked.rewards[2, 1] = 0.4
    drawn = []

    def known(_: Any, grids: Any, rng: np.random.Generator, best: bool = False) -> Any:
        assert best
        drawn.append(int(rng.integers(2**31)))
        return walked

    monkeypatch.setattr(example, "walk", known)
    success, weight = example.tested(agent, [], 0, 2)
    assert success == pytest.approx(1 / 5)
    assert weight == pytest.approx(walked.weight_of_signal(agent))
    assert len({*drawn, int(np.random.default_rng(0).integers(2**31))}) == 3  # not as in training


def test_the_best_actions_are_those_of_the_highest_scores(example: Any) -> None:
    agent = example.Agent(7, memory=True, seed=0, width=8)
    walked = example.walk(agent, [example.Grid(S11, 7)], np.random.default_rng(1), best=True)
    assert (walked.actions == agent(x=walked.x)[0].argmax(-1))[walked.walking].all()
