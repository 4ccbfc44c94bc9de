"""Random calls with all options jointly, against the float64 reference.

HEEDFUL_FUZZ_CASES says how many, HEEDFUL_FUZZ_SEED which ones; a failure prints the seed, and the
smallest case that fails, as a program. ``nox -s fuzz -- COUNT`` runs many.
"""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis")
pytest.importorskip("ml_dtypes")
from draw_calls import random_caches, random_calls, random_packed, random_pieces
from fuzz_settings import drawn
from random_cache import RandomCache
from random_call import RandomCall
from random_packed import RandomPacked
from random_pieces import RandomPieces


@drawn(random_calls())
def test_a_call_and_its_gradients_are_those_of_the_reference(case: RandomCall) -> None:
    case.check()


@drawn(random_pieces(), share=0.3)
def test_pieces_of_the_keys_merge_into_the_whole(case: RandomPieces) -> None:
    case.check()


@drawn(random_packed(), share=0.3)
def test_packed_sequences_are_what_each_is_alone(case: RandomPacked) -> None:
    case.check()


@drawn(random_caches(), share=0.3)
def test_a_cache_holds_what_was_put_into_it(case: RandomCache) -> None:
    case.check()
