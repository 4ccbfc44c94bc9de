"""Memory in MiniGrid: look at an object, walk to where two lie, go to the same, by reward alone.

In MiniGrid's memory environment lies a key or a ball in a room, and a hallway leads from there to a
key and a ball. Only to go to the same object is a success. The agent starts anywhere in the room
or the hallway, its back to the object: most of the time it must turn round first, and look. It is
told nothing: MiniGrid's reward, at the end of a success, is all that it gets.

The agent attends to what it has seen: the keys are where an object lay in its view, the values are
what lay there. It learns by proximal policy optimisation, written as a layer.

    pip install minigrid
    python memory_in_minigrid.py                  three agents with memory and three without
    python memory_in_minigrid.py --seeds 0        one of each, in four minutes
    python memory_in_minigrid.py --environment MiniGrid-MemoryS9-v0 --view 5
    python memory_in_minigrid.py --picture FILE   and a picture: to what it attends at the last turn
    python memory_in_minigrid.py --small          a few walks, as the tests run it
"""

# %% The environment, and what the agent sees of it
import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heedful.layers import Layer, Linear, MultiHeadAttention, steps
from heedful.training import Adam, LinearAnnealing

try:
    import gymnasium
    import minigrid  # registers its environments
except ModuleNotFoundError:
    sys.exit("minigrid is missing: pip install minigrid")

LONGER = "MiniGrid-MemoryS13-v0"  # the hallway in which an agent was never trained
MOST_STEPS = 64  # of MiniGrid's 605, in training as in the test
FORWARD = 2  # after left and right; the other actions of MiniGrid are not needed
KINDS = [minigrid.core.constants.OBJECT_TO_IDX[kind] for kind in ("empty", "wall", "key", "ball")]


def sight(seen: dict[str, Any]) -> np.ndarray:
    """(4 + 4 · cells,): a one-hot direction, then which cells are empty, walls, keys, balls."""
    kinds = [seen["image"][..., 0].ravel() == kind for kind in KINDS]
    return np.concatenate([np.arange(4) == seen["direction"], *kinds])


class Grid:
    """A MiniGrid environment, with a word on what is in view that the agent is not told."""

    def __init__(self, name: str, view: int) -> None:
        made = gymnasium.make(name, agent_view_size=view, disable_env_checker=True)
        self.env: Any = made.unwrapped

    def objects(self) -> tuple[tuple[int, int], ...]:
        """Places: of the object in the room, and of the two at the ends of the hallway."""
        right, middle = self.env.success_pos[0], self.env.height // 2
        return (1, middle - 1), (right, middle - 2), (right, middle + 2)

    def shows(self, seen: dict[str, Any]) -> list[bool]:
        """Which of the objects are in view."""
        places = [self.env.relative_coords(*place) for place in self.objects()]
        return [place is not None and seen["image"][(*place, 0)] in KINDS[2:] for place in places]

    def views_of_both(self, resets: int = 40) -> tuple[int, int]:
        """How many views show the room's object and one at an end, and how many views there are.

        From every free cell in every direction, after each of the resets: were it not 0, an agent
        could decide without memory.
        """
        both = views = 0
        for seed in range(resets):
            self.env.reset(seed=seed)
            for cell in np.ndindex(self.env.width, self.env.height):
                free = self.env.grid.get(*cell) is None
                if free and cell not in (self.env.success_pos, self.env.failure_pos):
                    self.env.agent_pos = np.array(cell)
                    for self.env.agent_dir in range(4):
                        room, *ends = self.shows(self.env.gen_obs())
                        both, views = both + (room and any(ends)), views + 1
        return both, views


# %% The agent: attention over what it has seen
class Agent(Layer):
    """Sights (N, T, 4 + 4 · cells) → scores of actions (N, T, 3) and expected rewards (N, T)."""

    def __init__(self, view: int, memory: bool, seed: int, width: int = 64) -> None:
        rng = np.random.default_rng(seed)
        self.memory, self.cells = memory, view**2
        self.see = Linear(4 + 4 * self.cells, width, activation="relu", rng=rng)
        self.where = Linear(self.cells, width, activation="relu", rng=rng)
        self.what = Linear(2 * self.cells, width, bias=False, rng=rng)  # nothing seen: 0
        self.what.weight *= 5  # one or two of its inputs are 1: else they count for little
        self.recall = MultiHeadAttention(width, 1, rng=rng)
        self.hidden = Linear(3 * width, width, activation="relu", rng=rng)
        self.act, self.value = Linear(width, 3, rng=rng), Linear(width, 1, rng=rng)
        self.act.weight *= 0.1  # all actions are about equally likely at first

    def call(self, *, x: np.ndarray) -> Any:
        return self.decided(x)[:2]

    def decided(self, x: np.ndarray, return_weights: bool = False) -> tuple[Any, Any, Any]:
        x = x.astype(np.float32)
        keys, balls = x[..., -2 * self.cells : -self.cells], x[..., -self.cells :]
        now, what = self.see(x), self.what(np.concatenate([keys, balls], -1))
        recalled, weights = what * 0, None
        if self.memory:  # of the steps before: a step does not attend to itself
            recalled = self.recall(
                now, self.where(keys + balls), what, causal=True, exclude_self=True,
                return_weights=return_weights,
            )  # fmt: skip
            if return_weights:
                recalled, weights = recalled
        same = what * recalled  # large where what is in view is what is recalled
        hidden = self.hidden(steps.concatenate([now, recalled, same], -1))
        return self.act(hidden), self.value(hidden)[..., 0], weights

    def weights(self, x: np.ndarray) -> np.ndarray:
        """(N, T, T): how much each step attends to each before."""
        return self.decided(x, return_weights=True)[2][:, 0]


# %% Walks
class Walks(NamedTuple):
    x: np.ndarray  # (N, T, 4 + 4 · cells) what was seen
    actions: np.ndarray  # (N, T)
    log_p: np.ndarray  # (N, T) of the actions
    values: np.ndarray  # (N, T) the rewards that the agent expected
    rewards: np.ndarray  # (N, T)
    walking: np.ndarray  # (N, T) False after the end
    signal: np.ndarray  # (N, T) True where the object of the room was in view

    def successes(self) -> np.ndarray:
        return (self.rewards > 0).any(1)

    def last_turns(self) -> np.ndarray:
        """(N,): the step at which an agent turned last, to one of the ends."""
        turns = (self.actions != FORWARD) & self.walking
        return np.where(turns.any(1), turns.shape[1] - 1 - turns[:, ::-1].argmax(1), 0)

    def weight_of_signal(self, agent: Agent) -> float:
        """At the last turn, of all steps with the room's object in view: the mean over walks."""
        weights = agent.weights(self.x)[np.arange(len(self.x)), self.last_turns()]
        return float((weights * self.signal).sum(1).mean())


def walk(agent: Agent, grids: list[Grid], rng: np.random.Generator, best: bool = False) -> Walks:
    """One walk in each of the grids; actions are drawn, or the best ones taken."""
    seen = [grid.env.reset(seed=int(rng.integers(2**31)))[0] for grid in grids]
    shape = len(grids), MOST_STEPS
    kinds = (int, np.float32, np.float32, np.float32, bool, bool)
    sights = np.zeros((*shape, agent.see.in_features), bool)
    walks = Walks(sights, *(np.zeros(shape, kind) for kind in kinds))
    walking = np.arange(len(grids))
    for step in range(MOST_STEPS):
        for row in walking:
            walks.x[row, step] = sight(seen[row])
            walks.signal[row, step] = grids[row].shows(seen[row])[0]
        scores, values = (y[:, -1] for y in agent(x=walks.x[walking, : step + 1]))
        log_p = steps.log_softmax(scores)
        noise = 0 if best else rng.gumbel(size=scores.shape)  # draws from the softmax
        actions = (scores + noise).argmax(-1)
        walks.actions[walking, step], walks.values[walking, step] = actions, values
        walks.log_p[walking, step] = np.take_along_axis(log_p, actions[:, None], 1)[:, 0]
        walks.walking[walking, step] = True
        ended = []
        for row, action in zip(walking, actions, strict=True):
            seen[row], reward, over, _, _ = grids[row].env.step(int(action))
            walks.rewards[row, step] = reward
            ended.append(over)
        walking = walking[~np.array(ended)]
        if not len(walking):
            break
    return Walks(*(array[:, : step + 1] for array in walks))


# %% Proximal policy optimisation, by composition: its backward pass is derived
class Objective(Layer):
    """Schulman et al. 2017, with ½ (value − return)² and less and less entropy."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def call(self, *, walks: Walks, advantages: Any, returns: Any, entropy: float) -> Any:
        scores, values = self.agent(x=walks.x)
        log_p = steps.log_softmax(scores)
        chosen = (log_p * np.eye(3, dtype=np.float32)[walks.actions]).sum(-1)
        ratio = steps.exp(chosen - walks.log_p)
        limited = steps.minimum(steps.maximum(ratio, 0.8), 1.2)
        gain = steps.minimum(ratio * advantages, limited * advantages)
        gain = gain - entropy * (steps.exp(log_p) * log_p).sum(-1)
        loss = 0.5 * (values - returns) ** 2 - gain
        return (loss * walks.walking).sum() / walks.walking.sum()


def advantages_of(walks: Walks, discount: float = 0.99, decay: float = 0.95) -> np.ndarray:
    """Σ (discount · decay)^k · (r[t + k] + discount · v[t + k + 1] − v[t + k]), Schulman 2016."""
    after = np.zeros_like(walks.values)
    after[:, :-1] = walks.values[:, 1:]  # 0 past the end
    found = walks.rewards + discount * after - walks.values
    for step in range(found.shape[1] - 1, 0, -1):
        found[:, step - 1] += discount * decay * found[:, step]
    return found * walks.walking


def learn(agent: Agent, grids: list[Grid], updates: int, seed: int) -> None:
    rng, objective = np.random.default_rng(seed), Objective(agent)
    optimizer = Adam(objective, lr=LinearAnnealing(1e-3, 1e-4, 12 * updates))
    for update in range(updates):
        walks = walk(agent, grids, rng)
        advantages = advantages_of(walks)
        returns = advantages + walks.values
        counted = advantages[walks.walking]
        advantages = (advantages - counted.mean()) / (counted.std() + 1e-6)
        for rows in [part for _ in range(3) for part in np.split(rng.permutation(len(grids)), 4)]:
            _, backward = objective.forward(
                walks=Walks(*(array[rows] for array in walks)), advantages=advantages[rows],
                returns=returns[rows], entropy=0.002 + 0.05 * (1 - update / updates),
            )  # fmt: skip
            objective.zero_grad()
            backward(np.float32(1))
            optimizer.step()


def tested(agent: Agent, grids: list[Grid], seed: int, rounds: int) -> tuple[float, float]:
    """Success in new walks, with the best actions, and the weight of the signal."""
    rng = np.random.default_rng(1000 + seed)
    tests = [walk(agent, grids, rng, best=True) for _ in range(rounds)]
    weight = np.mean([test.weight_of_signal(agent) for test in tests]) if agent.memory else 0
    return float(np.mean([test.successes() for test in tests])), float(weight)


# %% Where it looks
def draw(agent: Agent, grid: Grid, file: Path) -> None:
    """What was seen in two walks, and below how much the last turn attends to it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    names = ["left", "right", "forward"]
    wanted = ("key", "left"), ("ball", "right")
    for part, (kind, side) in zip(figure.subfigures(2, 1), wanted, strict=True):
        for seed in range(40):  # until a walk is so, and the object was not in view at first
            walks = walk(agent, [grid], np.random.default_rng(seed), best=True)
            last = walks.last_turns()[0]
            grid.env.reset(seed=int(np.random.default_rng(seed).integers(2**31)))  # the same again
            in_room = grid.env.grid.get(*grid.objects()[0]).type
            if (in_room, names[walks.actions[0, last]], walks.signal[0, 0]) == (kind, side, False):
                break
        weights = agent.weights(walks.x)[0, last]
        for step, ax in enumerate(part.subplots(1, last + 1, squeeze=False)[0]):
            ax.imshow(grid.env.get_frame(agent_pov=True, tile_size=16))
            ax.set_title(names[walks.actions[0, step]], fontsize=8)
            ax.set_xlabel(f"{weights[step]:.2f}" if step < last else "turns", fontsize=8)
            ax.set(xticks=[], yticks=[])
            grid.env.step(int(walks.actions[0, step]))
    figure.savefig(file, dpi=100)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--environment", default="MiniGrid-MemoryS11-v0")
    options.add_argument("--view", type=int, default=7, help="the agent sees view × view cells")
    options.add_argument("--picture", type=Path)
    options.add_argument("--small", action="store_true")
    given = options.parse_args()
    grids = [Grid(given.environment, given.view) for _ in range(8 if given.small else 256)]
    longer = [Grid(LONGER, given.view) for _ in grids]
    both, views = grids[0].views_of_both(2 if given.small else 40)
    print(f"{given.environment}: {both} of {views:,} views show the room's object and another")
    results: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
    kept = None
    for seed in given.seeds[: 1 if given.small else None]:
        for memory in results:
            agent = Agent(given.view, memory, seed)
            learn(agent, grids, 2 if given.small else 120, seed)
            success, weight = tested(agent, grids, seed, 1 if given.small else 4)
            farther, _ = tested(agent, longer, seed, 1 if given.small else 4)
            results[memory].append((success, farther, weight))
            kept = kept or agent
            line = f"seed {seed}, {'with memory' if memory else 'without'}: success {success:.3f}, "
            line += f"in the longer hallway {farther:.3f}"
            line += f", weight of the signal at the last turn {weight:.3f}" if memory else ""
            print(line, flush=True)
    for memory, rows in results.items():
        parts = [f"{np.mean(row):.3f} ± {np.std(row):.3f}" for row in zip(*rows, strict=True)]
        print(f"{'with memory' if memory else 'without'}: success {parts[0]}, longer {parts[1]}"
              + (f", weight of the signal {parts[2]}" if memory else ""))  # fmt: skip
    if not given.small:
        assert both == 0
        assert min(success for success, _, _ in results[True]) >= 0.95
        assert min(weight for _, _, weight in results[True]) >= 0.7
    if given.picture:
        draw(kept, grids[0], given.picture)


if __name__ == "__main__":
    main()
