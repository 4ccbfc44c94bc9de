"""Block masks of 65,536 tokens: the time and the memory that building each of them takes.

Each is built in a process of its own, as often as there are rounds; peak memory is that of the
first time and includes the mask, not the arrays that it is made from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np

import heedful
from heedful import BlockMask
from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.memory import highest
from heedful.benchmark.script import ScriptProcess
from heedful.benchmark.topic import Topic, main

LENGTH = 65_536
SECONDS, BYTES = 2.0, 64e6  # goals


def documents(length: int) -> np.ndarray[Any, Any]:
    """Ids of packed documents of 20 to 2,000 tokens, most of them short."""
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.uniform(np.log(20), np.log(2000), length // 20)).astype(int)
    return np.repeat(np.arange(len(sizes)), sizes)[:length]


def builders(length: int) -> dict[str, Callable[[], BlockMask]]:
    """Of masks of this length; what they are made from exists before they are called."""
    ids = documents(length)
    causal, window = BlockMask.causal(length), BlockMask.window(length, 2000, 2000)
    return {
        "causal": lambda: BlockMask.causal(length),
        "window": lambda: BlockMask.window(length, 1000, 0),
        "window_and_global": lambda: BlockMask.window_and_global(length, 256, 256, range(100)),
        "dilated": lambda: BlockMask.dilated(length, 256, 256, 7),
        "strided": lambda: BlockMask.strided(length, 257),
        "bigbird": lambda: BlockMask.bigbird(length, 3, 2, 3, rng=0),
        "documents": lambda: BlockMask.documents(ids),
        "documents & causal": lambda: BlockMask.documents(ids) & causal,
        "~window": lambda: ~window,
        "from_function": lambda: BlockMask.from_function(
            lambda b, h, i, j: (j <= i) & (i - j < 1000) | (j < 100), length
        ),
        "from_function, looking up ids": lambda: BlockMask.from_function(
            lambda b, h, i, j: ids[i] == ids[j], length
        ),
        "from_function, looking up ids, large blocks": lambda: BlockMask.from_function(
            lambda b, h, i, j: ids[i] == ids[j], length, block_size=256
        ),
        "from_function, looking up ids, the largest blocks": lambda: BlockMask.from_function(
            lambda b, h, i, j: ids[i] == ids[j], length, block_size=512
        ),
    }


class Worker:
    """Builds one kind of mask."""

    version = heedful.__version__

    def __init__(self, name: str, threads: int) -> None:
        heedful.set_num_threads(threads)
        builders(1024)[name]()  # loads code
        self.build = builders(LENGTH)[name]

    def memory(self) -> Answer:
        made: list[BlockMask] = []
        extra = highest(lambda: made.append(self.build()))
        mask = made[0]
        return {"extra": extra, "size": mask.blocks.nbytes + mask.patterns.nbytes,
                "density": mask.density}  # fmt: skip

    def seconds(self) -> Answer:
        start = time.perf_counter(), time.process_time()
        self.build()
        return {"wall": time.perf_counter() - start[0], "own": time.process_time() - start[1]}


def block_mask_lines(harness: Harness) -> Iterator[Line]:
    for name in builders(1024):
        what = f"{name}, {LENGTH} tokens"
        goal = f"≤ {SECONDS:g} s, < {BYTES / 1e6:.0f} MB"
        with closing(ScriptProcess(__file__, name, harness.threads)) as process:
            memory = process.ask("memory")
            seconds = [process.ask("seconds") for _ in range(harness.rounds)]
        wall, own = (float(np.median([one[kind] for one in seconds])) for kind in ("wall", "own"))
        extra = memory["extra"]
        yield Line(
            what,
            goal,
            f"{wall:.2f} s, {extra / 1e6:.1f} MB",
            wall <= SECONDS and extra < BYTES,
            f"{own:.2f} s of processor time, the mask itself {memory['size'] / 1e6:.1f} MB, "
            f"density {memory['density']:.3f}",
        )


TOPIC = Topic("block_masks", __doc__, other=block_mask_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
