"""How many random cases a test draws, and from which seed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck
from hypothesis import strategies as st

CASES = int(os.environ.get("HEEDFUL_FUZZ_CASES", "150"))
SEED = int(os.environ.get("HEEDFUL_FUZZ_SEED") or secrets.randbits(32))


def drawn(strategy: st.SearchStrategy[Any], share: float = 1.0) -> Callable[[Any], Any]:
    """Runs a test on CASES · share random cases; a failure names the seed that repeats it."""

    def decorate(test: Callable[[Any], None]) -> Any:
        def run(case: Any) -> None:
            hypothesis.note(f"HEEDFUL_FUZZ_SEED={SEED} HEEDFUL_FUZZ_CASES={CASES} repeats this")
            test(case)

        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(run, name, getattr(test, name))
        settings = hypothesis.settings(
            max_examples=max(1, round(CASES * share)), database=None, deadline=None,
            suppress_health_check=list(HealthCheck), print_blob=False,
        )  # fmt: skip
        return hypothesis.seed(SEED)(settings(hypothesis.given(case=strategy)(run)))

    return decorate
