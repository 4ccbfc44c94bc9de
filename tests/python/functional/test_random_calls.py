"""Random calls with all options jointly, against the float64 reference.

``HEEDFUL_FUZZ_CASES`` and ``HEEDFUL_FUZZ_SEED`` set the number of cases and their seed;
``nox -s fuzz -- COUNT`` runs many.
"""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis")
pytest.importorskip("ml_dtypes")
from fuzz_campaign import run
from random_calls.draw import (
    random_caches,
    random_calls,
    random_packed,
    random_pieces,
    random_sparse,
)

pytestmark = pytest.mark.slow

# what is drawn, and its fraction of all cases
KINDS = {
    "call": (random_calls, 0.45),
    "sparse": (random_sparse, 0.15),
    "pieces": (random_pieces, 0.1),
    "packed": (random_packed, 0.15),
    "cache": (random_caches, 0.15),
}


@pytest.mark.parametrize("kind", KINDS)
def test_random_calls_agree_with_the_reference(kind: str) -> None:
    cases, fraction = KINDS[kind]
    run(cases(), fraction)
