"""How many random cases are drawn, from which seed, and how one that fails is reported.

HEEDFUL_FUZZ_CASES    cases of all kinds together, 500 without it
HEEDFUL_FUZZ_SEED     their seed, 0 without it: two runs of the suite test the same; `tests/fuzz.py`
                      draws seeds
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

COUNT = int(os.environ.get("HEEDFUL_FUZZ_CASES") or 500)
SEED = int(os.environ.get("HEEDFUL_FUZZ_SEED") or 0)


@dataclass(frozen=True)
class Case:
    """One random test. `seed` is that of all its arrays."""

    seed: int

    def check(self) -> None:
        raise NotImplementedError

    def generator(self, *more: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *more))


def reproducer(case: Any) -> str:
    """A program, to be run in the folder tests."""
    return f"from {type(case).__module__} import *\n\n{case!r}.check()"


def run(strategy: Any, fraction: float) -> None:
    """Draws this fraction of all cases, checks each, and shrinks the first that fails."""
    from hypothesis import HealthCheck, Phase, given, note, seed, settings

    @seed(SEED)
    @settings(
        max_examples=max(1, round(COUNT * fraction)),
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=False,
    )
    @given(strategy)
    def drawn(case: Any) -> None:
        note(f"drawn with HEEDFUL_FUZZ_SEED={SEED} HEEDFUL_FUZZ_CASES={COUNT}; by itself:\n")
        note(reproducer(case))
        case.check()

    drawn()
