"""What block masks and min_weight save, against dense attention and torch's FlexAttention.

Nine of ten blocks of 128 × 128 are empty, at random, and the same for all libraries: 8,192 tokens,
8 heads of depth 64, float32. FlexAttention is compiled for this processor; it has no gradients on
processors. min_weight is tried where it can drop nothing, on normally distributed inputs, which
shows what looking for small blocks costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptWorker, Turns, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

LENGTH, HEADS, DEPTH, BLOCK, KEPT = 8192, 8, 64, 128, 0.1
AGAINST_DENSE, AGAINST_FLEX, MIN_WEIGHT_COST = 7.0, 1.5, 1.03  # goals
ROWS = slice(None, None, 509)  # that are compared with float64
BACKWARD = "forward + backward"


def existing() -> NDArray[np.bool_]:
    """Which blocks exist: in each row of blocks as many, that on the diagonal among them."""
    rng, count = np.random.default_rng(0), LENGTH // BLOCK
    blocks = np.eye(count, dtype=bool)
    for row in range(count):
        others = np.delete(np.arange(count), row)
        blocks[row, rng.choice(others, round(KEPT * count) - 1, replace=False)] = True
    return blocks


def inputs() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    shape = (1, HEADS, LENGTH, DEPTH)
    return [rng.standard_normal(shape, dtype=np.float32) for _ in range(3)]


def error(out: NDArray[Any]) -> float:
    """The largest difference from float64, in some rows of the last head."""
    query, key, value = (array[0, -1].astype(np.float64) for array in inputs())
    scores = query[ROWS] @ key.T / np.sqrt(DEPTH)
    scores[~existing().repeat(BLOCK, 0).repeat(BLOCK, 1)[ROWS]] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    exact = weights @ value / weights.sum(-1, keepdims=True)
    return float(np.abs(out[0, -1][ROWS] - exact).max())


class Worker(ScriptWorker):
    def __init__(self, library: str, threads: int) -> None:
        super().__init__(library, threads)
        getattr(self, f"_prepare_{library}")()

    def _prepare_heedful(self) -> None:
        query, key, value = inputs()
        mask = heedful.BlockMask(existing(), BLOCK)
        dout = np.ones_like(query)

        def with_gradients(**options: Any) -> object:
            return heedful.attention_vjp(query, key, value, **options)[1](dout)

        self.calls = {
            "blocks": partial(heedful.attention, query, key, value, block_mask=mask),
            "dense": partial(heedful.attention, query, key, value),
            "min_weight": partial(heedful.attention, query, key, value, min_weight=1e-4),
            f"blocks {BACKWARD}": partial(with_gradients, block_mask=mask),
            f"dense {BACKWARD}": with_gradients,
        }

    def _prepare_torch(self) -> None:
        import torch
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        query, key, value = map(torch.from_numpy, inputs())
        blocks = torch.from_numpy(existing())
        mask = create_block_mask(
            lambda b, h, i, j: blocks[i // BLOCK, j // BLOCK], None, None, LENGTH, LENGTH,
            device="cpu", BLOCK_SIZE=BLOCK,
        )  # fmt: skip
        compiled = torch.compile(flex_attention)

        def call() -> Any:
            with torch.no_grad():
                return compiled(query, key, value, block_mask=mask)

        self.calls = {"blocks": call}

    def check(self) -> Answer:
        return {"error": error(np.asarray(self.calls["blocks"]()))}


def line(turns: Turns, what: str, name: str, other: str, goal: float) -> Line:
    ratio = turns.ratio(name, other)
    figure = "–" if ratio is None else f"{ratio:.2f} x {other}"
    holds = None if ratio is None else ratio >= goal
    found = Line(what, f"≥ {goal:.3g} x {other}", figure, holds, str(turns))
    return found.seen_in(turns.state)


def sparse_lines(harness: Harness) -> Iterator[Line]:
    shape = f"(1, {HEADS}, {LENGTH}x{LENGTH}, {DEPTH})"
    with script_processes(__file__, harness, ["heedful", "torch"]) as processes:
        for name, process in processes.items():
            found = process.ask("check")["error"]
            if found > 1e-4:
                raise RuntimeError(f"{name}: wrong by {found:.2g}")
        own = partial(partial, processes["heedful"].turn)

        def race(*names: str) -> Turns:
            ways = {name: own(way=name) for name in names}
            if "torch" in processes and "blocks" in names:
                ways["FlexAttention"] = partial(processes["torch"].turn, way="blocks")
            return take_turns(harness, ways)

        forward = race("blocks", "dense")
        density = f"{1 - KEPT:.0%} of the blocks of {BLOCK} empty"
        yield line(forward, f"{shape}, {density}, forward", "blocks", "dense", AGAINST_DENSE)
        yield line(forward, f"{shape}, {density}, forward", "blocks", "FlexAttention", AGAINST_FLEX)
        yield line(
            race(f"blocks {BACKWARD}", f"dense {BACKWARD}"),
            f"{shape}, {density}, {BACKWARD}",
            f"blocks {BACKWARD}", f"dense {BACKWARD}", AGAINST_DENSE,
        )  # fmt: skip
        yield line(
            race("min_weight", "dense"), f"{shape}, min_weight=1e-4, normal inputs, forward",
            "min_weight", "dense", 1 / MIN_WEIGHT_COST,
        )  # fmt: skip


TOPIC = Topic("sparse", __doc__, other=sparse_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
