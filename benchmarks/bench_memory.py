"""Peak memory beyond inputs and outputs for long sequences, each library in a fresh process."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.layout import LAYOUTS
from heedful.benchmark.shapes import Case, Shape
from heedful.benchmark.topic import Topic, main

LENGTHS = (8_192, 32_768)
GOAL = 64e6  # bytes at the longest
LINEAR = 1.25  # times as many bytes a token at the longest as at the shortest
MATERIALISING = ("jax", "numpy")  # hold several matrices of length x length
# one head, contiguous; a single head is so in either layout, so the second one has two
CASES = [
    Case(Shape(f"memory_{max(LENGTHS)}", 1, heads, heads, max(LENGTHS), max(LENGTHS), 64),
         backward=backward, layout=layout)
    for backward in (False, True)
    for heads, layout in zip((1, 2), LAYOUTS, strict=True)
]  # fmt: skip


def available_memory() -> float:
    """Bytes that can be taken without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return 0.0


def memory_lines(harness: Harness, longest: Case) -> Iterator[Line]:
    """The memory of the longest sequence, and its growth from the shortest one."""
    own: dict[int, int] = {}
    for length in LENGTHS:
        shape = dataclasses.replace(longest.shape, name=f"memory_{length}", Lq=length, Lk=length)
        case = dataclasses.replace(longest, shape=shape)
        libraries = list(harness.libraries)
        if 5 * 4.0 * shape.H * length**2 > available_memory():
            libraries = [name for name in libraries if name not in MATERIALISING]
        if length < max(LENGTHS):
            libraries = [name for name in libraries if name == "heedful"]
        print(f"\n{case}: peak memory beyond inputs and outputs", flush=True)
        answers = harness.memory(case, libraries)
        for name, answer in answers.items():
            found = answer.get("unsupported") or answer.get("failed")
            print(f"  {name:<12} {found or format(answer['extra'] / 1e6, '10.1f') + ' MB'}")
        if "extra" not in answers.get("heedful", {}):
            reason = str(answers.get("heedful", "not measured"))
            yield Line(str(case), f"< {GOAL / 1e6:.0f} MB", "–", None, reason=reason)
            return
        own[length] = answers["heedful"]["extra"]
    short, long = min(LENGTHS), max(LENGTHS)
    yield Line(str(case), f"< {GOAL / 1e6:.0f} MB", f"{own[long] / 1e6:.1f} MB", own[long] < GOAL)
    growth = max(own[long], 1) / max(own[short], 1)
    yield Line(
        f"{case}, beside {short} tokens",
        f"≤ {LINEAR:g} x as much a token",
        f"{growth * short / long:.2f} x ({own[short] / 1e6:.1f} MB there)",
        growth <= LINEAR * long / short,
    )


TOPIC = Topic("memory", __doc__, cases=CASES, judge=memory_lines)

if __name__ == "__main__":
    main(TOPIC)
