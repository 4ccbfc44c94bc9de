"""Which state the machine was in, and which rounds count."""

from __future__ import annotations

import pytest

from heedful.benchmark import processor, state
from heedful.benchmark.peak import MachinePeak
from heedful.benchmark.state import State, choose_rounds, is_undisturbed, worse

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("nops", "word", "rounds"),
    [
        ([5.9, 6.0, 5.8], "undisturbed", [0, 1, 2]),
        ([5.9, 4.0, 5.8], "undisturbed", [0, 2]),
        ([5.9, 4.0, 4.1], "shared", [1, 2]),
        ([4.0, 4.2, 3.9], "shared", [0, 1, 2]),
        ([4.0, 6.0], "undisturbed", [1]),
        ([4.0, 6.0, 6.0, 4.0, 6.0, 4.0, 4.0], "undisturbed", [1, 2, 4]),
        ([4.0, 6.0, 6.0, 4.0, 4.0, 4.0, 4.0], "shared", [0, 3, 4, 5, 6]),
        ([None, None], "unknown", [0, 1]),
        ([], "unknown", []),
    ],
)
def test_rounds_of_the_better_state_count_if_there_are_enough(
    nops: list[float | None], word: str, rounds: list[int]
) -> None:
    found, kept = choose_rounds(nops, best=6.0)
    assert (found.word, kept) == (word, rounds)
    assert (found.kept, found.rounds) == (len(rounds), len(nops))


def test_a_state_says_what_it_is_derived_from() -> None:
    found, _ = choose_rounds([6.0, 5.0, 5.9, 6.0], 6.0)
    assert str(found) == "undisturbed: 6.0 of 6.0 instructions a cycle, 3 of 4 rounds"
    found, _ = choose_rounds([6.0, 4.0, 4.5, 4.4], 6.0)
    assert str(found) == (
        "shared: 4.4 of 6.0 instructions a cycle, 3 of 4 rounds, too few are undisturbed"
    )
    assert str(State()) == "state of the machine unknown"


def test_what_is_unknown_is_taken_as_undisturbed() -> None:
    assert is_undisturbed(None, 6.0)
    assert is_undisturbed(5.5, 6.0)
    assert not is_undisturbed(5.0, 6.0)
    assert worse(5.0, 4.0) == worse(4.0, 5.0) == 4.0
    assert worse(None, 4.0) is worse(4.0, None) is None


def test_processors_with_a_measurement_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"vendor_id": "GenuineIntel", "cpu family": "6", "model": "207"}
    monkeypatch.setattr(processor, "fields", lambda: named)
    assert state.known_best() == 5.66
    monkeypatch.setattr(processor, "fields", lambda: {**named, "model": "1"})
    assert state.known_best() == 0.0
    monkeypatch.setattr(processor, "fields", dict)
    assert state.known_best() == 0.0


def test_the_machine_is_measured() -> None:
    peak = MachinePeak()
    try:
        nops = peak.nops(1)
        if nops is None:
            pytest.skip("no compiler, or a processor whose instructions are not known")
        assert 0 < nops < 12.0  # no core is known that issues twelve
        assert peak.best_nops >= nops
        # of four threads a core each has a quarter of the time
        assert peak.nops(4 * processor.cores()) < 0.6 * peak.best_nops
    finally:
        peak.close()
