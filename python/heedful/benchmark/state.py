"""Whether another program ran on the same core, and the rounds that saw the same.

A busy neighbour on the other hardware thread of a core leaves the peak of multiply-adds in
registers as it is, while real kernels lose 10 to 25 %. Instructions a cycle of a loop that could
fill the whole core show it (machine_peak.cpp), and fall as well where threads wait for the core.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from heedful.benchmark import processor

Word = Literal["undisturbed", "shared", "unknown"]
UNDISTURBED = 0.9  # of the instructions of a core of its own; a neighbour leaves 0.5 to 0.85
ENOUGH = 3  # undisturbed rounds, if that many were requested, make the others superfluous

# Instructions a step of the chain on a core of its own, by vendor, family and model, measured by
# machine_peak.cpp. Others are judged by the most that a run has seen.
KNOWN = {("GenuineIntel", "6", "207"): 5.66}


def known_best() -> float:
    """Instructions a step of this processor; 0 if unknown."""
    named = processor.fields()
    model = tuple(named.get(name, "") for name in ("vendor_id", "cpu family", "model"))
    return next((best for known, best in KNOWN.items() if known == model), 0.0)


@dataclass(frozen=True)
class State:
    """What the rounds saw that are kept."""

    word: Word = "unknown"
    nops: float | None = None  # instructions a step, the median over the rounds that are kept
    best: float = 0.0  # of a core of its own
    kept: int = 0
    rounds: int = 0

    def __str__(self) -> str:
        if self.nops is None:
            return "state of the machine unknown"
        counted = f"{self.kept} of {self.rounds} rounds"
        if self.word == "shared" and self.kept < self.rounds:
            counted += ", too few are undisturbed"
        return f"{self.word}: {self.nops:.1f} of {self.best:.1f} instructions a cycle, {counted}"


UNKNOWN = State()


def is_undisturbed(nops: float | None, best: float) -> bool:
    """True as well where it is unknown."""
    return nops is None or nops >= UNDISTURBED * best


def worse(before: float | None, after: float | None) -> float | None:
    """What counts for a round: a neighbour may have come or gone during it."""
    return None if before is None or after is None else min(before, after)


def choose_rounds(nops: Sequence[float | None], best: float) -> tuple[State, list[int]]:
    """The rounds to keep: the undisturbed ones if there are enough of them, else the others."""
    count = len(nops)
    known = [one for one in nops if one is not None]
    if len(known) < count or not known:
        return State(kept=count, rounds=count), list(range(count))
    good = [turn for turn in range(count) if is_undisturbed(known[turn], best)]
    enough = len(good) >= min(ENOUGH, (count + 1) // 2)
    kept = good if enough else [turn for turn in range(count) if turn not in good]
    word: Word = "undisturbed" if enough else "shared"
    median = statistics.median(known[turn] for turn in kept)
    return State(word, median, best, len(kept), count), kept
