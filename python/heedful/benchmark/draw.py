"""Random shapes, the same ones on every machine."""

import math

import numpy as np

from heedful.benchmark.layout import LAYOUTS
from heedful.benchmark.shapes import Case, Shape

SEED = 20_261_121
COUNT = 60
WORK = 50e9  # operations, masks ignored: some tenths of a second on two cores
SCORES = 1e9  # bytes of a whole matrix of scores, which some libraries store
ARRAYS = 4e8  # bytes of query, key, value and output together
RESTRICTIONS = ("", "padding", "mask")


def drawn_cases(count: int = COUNT, seed: int = SEED) -> list[Case]:
    """float32 forward on random shapes in random layouts."""
    rng = np.random.default_rng(seed)
    of_layouts = np.random.default_rng([seed, 1])  # its own: the shapes do not depend on it
    cases = [Case(_draw(rng, f"drawn_{number:02d}")) for number in range(count)]
    layouts = [LAYOUTS[of_layouts.integers(len(LAYOUTS))] for _ in cases]
    # a single head has one layout
    return [
        next(iter(case.laid_out([layout])), case)
        for case, layout in zip(cases, layouts, strict=True)
    ]


def _draw(rng: np.random.Generator, name: str) -> Shape:
    """Lengths, depth and restrictions first, then as many heads as time and memory allow."""
    length = _length(rng)
    depth = int(rng.integers(8, 257))
    causal = bool(rng.random() < 0.5)
    # cross-attention: causal would need an alignment of the two sequences
    keys = length if causal or rng.random() < 0.7 else _length(rng)
    restriction = RESTRICTIONS[rng.choice(3, p=[0.5, 0.25, 0.25])]
    grouped = bool(rng.random() < 0.5)
    while True:
        batch, heads = _logarithmic(rng, 64), _logarithmic(rng, 32)
        groups = [group for group in range(1, 9) if heads % group == 0]
        shape = Shape(
            name,
            *(batch, heads, heads // int(rng.choice(groups)) if grouped else heads),
            *(length, keys, depth),
            causal=causal,
            mask=restriction == "mask",
            padding=(max(1, keys // 4), keys) if restriction == "padding" else None,
        )
        if _fits(shape):
            return shape


def _fits(shape: Shape) -> bool:
    pairs = shape.B * shape.H * shape.Lq * shape.Lk
    rows = 2 * shape.B * (shape.H * shape.Lq + shape.Hkv * shape.Lk)
    work, scores, arrays = 4.0 * pairs * shape.D, 4 * pairs, 4 * rows * shape.D
    return work <= WORK and scores <= SCORES and arrays <= ARRAYS


def _length(rng: np.random.Generator) -> int:
    """From 1 to 5000: half of them uniform, half log-uniform."""
    return int(rng.integers(1, 5001)) if rng.random() < 0.5 else _logarithmic(rng, 5000)


def _logarithmic(rng: np.random.Generator, high: int) -> int:
    """A log-uniform integer from 1 to high."""
    return int(math.exp(rng.uniform(0, math.log(high + 1))))
