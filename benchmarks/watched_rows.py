"""What it costs to watch selected rows of a long text: memory, and time beside the model itself.

    python benchmarks/watched_rows.py            L = 16,384, a layer as wide as MiniLM's

Memory is the peak during a call minus what was there before, as the kernel counts it (VmHWM).
"""

import argparse
import time
from contextlib import nullcontext

import numpy as np

from heedful.benchmark.memory import highest
from heedful.explain import attention_map, watch
from heedful.layers import Encoder

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("length", type=int, nargs="?", default=16_384, help="of the text")
LENGTH = parser.parse_args().length
WIDTH, HEADS = 384, 12
ROWS = np.linspace(0, LENGTH - 1, 8).astype(int).tolist()
CASES = {
    "8 rows, each head": {"rows": ROWS},
    "8 rows, mean of the heads": {"rows": ROWS, "average_heads": True},
    "8 rows of one head": {"rows": ROWS, "heads": 3},
}

model = Encoder(1, WIDTH, HEADS, 4 * WIDTH, rng=0)
x = np.random.default_rng(0).standard_normal((1, LENGTH, WIDTH), np.float32)
for short in ({}, *CASES.values()):
    attention_map(model, x[:, :64], **{**short, "rows": [0]})  # starts threads, loads code

alone = highest(lambda: model(x))
print(
    f"L = {LENGTH:,}, {HEADS} heads, width {WIDTH}; all weights: {4e-6 * HEADS * LENGTH**2:,.0f} MB"
)
print(f"the layer alone: {alone / 1e6:.0f} MB")
for name, options in CASES.items():
    with_map = highest(lambda options=options: attention_map(model, x, **options))
    print(f"{name}: {(with_map - alone) / 1e6:+.0f} MB")
times: dict[bool, list[float]] = {False: [], True: []}
for watched in (True, False, False, True):  # in turns
    begin = time.process_time()
    with watch(model, rows=ROWS) if watched else nullcontext():
        model(x)
    times[watched].append(time.process_time() - begin)
print(f"processor time with 8 rows of each head: × {sum(times[True]) / sum(times[False]):.3f}")
