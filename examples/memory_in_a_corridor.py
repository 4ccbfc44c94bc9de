"""Memory in a corridor: a walker learns by reward alone to recall the first thing that it saw.

A mark on the left or on the right wall is the signal. Then come 6 to 12 steps of a corridor whose
walls show other marks, the same two among them, and at the junction the walker must turn to the
side of the signal. Nothing tells it so: it gets 1 for the right turn, −1 for the wrong one and −0.1
for each bump, and learns by policy gradient. What it saw is its memory, to which it attends: the
keys are where something was seen, the values what it was.

    pip install gymnasium
    python memory_in_a_corridor.py                  what is printed below, in half a minute
    python memory_in_a_corridor.py --seeds 0        one walker with memory, one without
    python memory_in_a_corridor.py --picture FILE   and a picture: to what it attends at each step
    python memory_in_a_corridor.py --small          one short training, as the tests run it
"""

# %% The corridor, with gymnasium's interface
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heedful.layers import Embedding, Layer, LearnedPositions, Linear, MultiHeadAttention, steps
from heedful.training import Adam

try:
    import gymnasium
except ModuleNotFoundError:
    sys.exit("gymnasium is missing: pip install gymnasium")

MARKS, JUNCTION = 8, 8  # marks 0 (left) and 1 (right) are signals in the first step alone
FORWARD, LEFT, RIGHT = range(3)
SHORTEST, LONGEST = 6, 12
MOST_STEPS = 2 * LONGEST


class Corridor(gymnasium.Env[int, int]):
    observation_space = gymnasium.spaces.Discrete(MARKS + 1)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.length = int(self.np_random.integers(SHORTEST, LONGEST + 1))
        self.signal = int(self.np_random.integers(2))
        self.place = self.taken = 0
        return self.signal, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.taken += 1
        at_junction, reward, over = self.place == self.length, -0.1, False
        if action != FORWARD and at_junction:
            reward, over = (1.0 if action - LEFT == self.signal else -1.0), True
        elif action == FORWARD and not at_junction:
            self.place, reward = self.place + 1, 0.0
        seen = int(self.np_random.integers(MARKS)) if self.place < self.length else JUNCTION
        return seen, reward, over, self.taken >= MOST_STEPS, {}


# %% The walker: attention over what it has seen
class Walker(Layer):
    """What was seen (N, T) → scores of the three actions and the expected reward, (N, T, 4)."""

    def __init__(self, memory: bool, seed: int, width: int = 32) -> None:
        rng = np.random.default_rng(seed)
        self.memory = memory
        self.sight = Embedding(MARKS + 1, width, rng=rng)
        self.place = LearnedPositions(MOST_STEPS, width, rng=rng)
        self.recall = MultiHeadAttention(width, 1, rng=rng)
        self.hidden = Linear(2 * width, width, activation="tanh", rng=rng)
        self.act = Linear(width, 4, rng=rng)

    def call(self, seen: Any) -> Any:
        return self.decided(seen)[0]

    def decided(self, seen: Any, return_weights: bool = False) -> tuple[Any, Any]:
        what = self.sight(seen)
        where = self.place(what * 0)
        recalled, weights = what * 0, None
        if self.memory:  # of the steps before: a step does not attend to itself
            recalled = self.recall(
                what + where, where, what, causal=True, exclude_self=True,
                return_weights=return_weights,
            )  # fmt: skip
            if return_weights:
                recalled, weights = recalled
        return self.act(self.hidden(steps.concatenate([what, recalled], -1))), weights

    def weights(self, seen: np.ndarray) -> np.ndarray:
        """(N, T, T): how much each step attends to each before."""
        return self.decided(seen, return_weights=True)[1][:, 0]


# %% Walks
class Walks(NamedTuple):
    seen: np.ndarray  # (N, T)
    actions: np.ndarray  # (N, T)
    rewards: np.ndarray  # (N, T)
    walking: np.ndarray  # (N, T) False after the end

    def successes(self) -> np.ndarray:
        return (self.rewards > 0.5).any(1)

    def weight_of_signal(self, walker: Walker) -> float:
        """Of the first step, where the walker turns: the mean over the walks."""
        last = self.walking.sum(1) - 1
        return float(walker.weights(self.seen)[np.arange(len(last)), last, 0].mean())


def walk(walker: Walker, count: int, rng: np.random.Generator, best: bool = False) -> Walks:
    """Side by side through corridors of their own; actions are drawn, or the best ones taken."""
    corridors: Sequence[Any] = [Corridor() for _ in range(count)]
    walks = Walks(*(np.zeros((count, MOST_STEPS), kind) for kind in (int, int, np.float32, bool)))
    for row, corridor in enumerate(corridors):
        walks.seen[row, 0] = corridor.reset(seed=int(rng.integers(2**31)))[0]
    walking = np.ones(count, bool)
    for step in range(MOST_STEPS):
        scores = walker(walks.seen[:, : step + 1])[:, -1, :3]
        noise = 0 if best else rng.gumbel(size=scores.shape)  # draws from the softmax
        walks.actions[:, step] = (scores + noise).argmax(-1)
        walks.walking[:, step] = walking
        for row in np.flatnonzero(walking):
            seen, walks.rewards[row, step], over, late, _ = corridors[row].step(
                int(walks.actions[row, step])
            )
            walking[row] = not (over or late)
            if walking[row]:
                walks.seen[row, step + 1] = seen
        if not walking.any():
            break
    return Walks(*(array[:, : step + 1] for array in walks))


# %% Policy gradient, by composition: its backward pass is derived
class Objective(Layer):
    """−Σ log p(action) · advantage + ½ (value − return)² − entropy / 50, a mean over the steps."""

    def __init__(self, walker: Walker) -> None:
        self.walker = walker

    def call(self, seen: Any, *, walks: Walks, returns: np.ndarray) -> Any:
        decided = self.walker(seen)
        scores, value = decided[..., :3], decided[..., 3]
        log_p = steps.log_softmax(scores)
        advantage = returns - steps.stop_gradient(value)
        advantage /= advantage[walks.walking].std() + 1e-6
        chosen = np.eye(3, dtype=np.float32)[walks.actions] * advantage[..., None]
        gain = (log_p * chosen).sum(-1) - 0.02 * (steps.exp(log_p) * log_p).sum(-1)
        loss = 0.5 * (value - returns) ** 2 - gain
        return (loss * walks.walking).sum() / walks.walking.sum()


def discounted(rewards: np.ndarray, factor: float = 0.99) -> np.ndarray:
    """What is still to come at each step: r[t] + factor · r[t + 1] + …"""
    returns = rewards.copy()
    for step in range(rewards.shape[1] - 1, 0, -1):
        returns[:, step - 1] += factor * returns[:, step]
    return returns


def learn(memory: bool, seed: int, updates: int) -> Walker:
    rng, walker = np.random.default_rng(seed), Walker(memory, seed)
    objective = Objective(walker)
    optimizer = Adam(objective, lr=5e-3)
    for _ in range(updates):
        walks = walk(walker, 64, rng)
        _, backward = objective.forward(walks.seen, walks=walks, returns=discounted(walks.rewards))
        objective.zero_grad()
        backward(np.float32(1))
        optimizer.step()
    return walker


# %% Where it looks
def draw(walker: Walker, file: Path) -> None:
    from matplotlib.figure import Figure

    walks = walk(walker, 64, np.random.default_rng(99), best=True)
    rows = [np.flatnonzero((walks.seen[:, 0] == side) & walks.successes())[0] for side in (0, 1)]
    signs = {0: "←", 1: "→", JUNCTION: "⊤"}
    figure = Figure(figsize=(9, 4), layout="constrained")
    for ax, row, side in zip(figure.subplots(1, 2), rows, ("left", "right"), strict=True):
        count = walks.walking[row].sum()
        names = [signs.get(int(seen), "·") for seen in walks.seen[row, :count]]
        ax.imshow(walker.weights(walks.seen)[row, :count, :count], cmap="Oranges", vmin=0, vmax=1)
        ax.set_xticks(range(count), names)
        ax.set_yticks(range(count), names)
        ax.set_xlabel("seen earlier")
        ax.set_ylabel("step, downwards")
        ax.set_title(f"signal {side}, turned {side}", fontsize=10)
    figure.savefig(file, dpi=100)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--picture", type=Path)
    options.add_argument("--small", action="store_true")
    given = options.parse_args()
    results: dict[bool, list[float]] = {True: [], False: []}
    kept, weights = None, []
    for seed in given.seeds[: 1 if given.small else None]:
        for memory in results:
            walker = learn(memory, seed, 20 if given.small else 200)
            test = walk(walker, 1000, np.random.default_rng(1000 + seed), best=True)
            results[memory].append(test.successes().mean())
            line = f"seed {seed}, {'with memory' if memory else 'without'}: "
            line += f"turns right in {results[memory][-1]:.3f} of 1,000 new corridors"
            if memory:
                kept = kept or walker
                weights.append(test.weight_of_signal(walker))
                line += f", weight of the signal at the junction {weights[-1]:.3f}"
            print(line, flush=True)
    print(f"with memory: {np.mean(results[True]):.3f} ± {np.std(results[True]):.3f}, "
          f"without: {np.mean(results[False]):.3f} ± {np.std(results[False]):.3f}, "
          f"weight of the signal: {np.mean(weights):.3f} ± {np.std(weights):.3f}")  # fmt: skip
    if not given.small:
        assert min(results[True]) >= 0.95
        assert min(weights) >= 0.7
    if given.picture:
        draw(kept, given.picture)


if __name__ == "__main__":
    main()
