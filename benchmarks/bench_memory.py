"""Peak memory beyond inputs and outputs for one long sequence, each library in a fresh process."""

import argparse
import json
import sys
from pathlib import Path

from heedful.benchmark import peers, report
from heedful.benchmark.harness import Harness
from heedful.benchmark.shapes import Case, Shape

GOAL = 64e6  # bytes
MATERIALISING = ("jax", "numpy")  # hold several matrices of length x length


def available_memory() -> float:
    """Bytes that can be taken without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=32_768)
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument(
        "--libraries", nargs="+", choices=list(peers.MODULES), default=list(peers.MODULES)
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    where = report.machine()
    length = arguments.length
    shape = Shape(f"memory_{length}", 1, 1, 1, length, length, arguments.depth)
    found: dict[str, dict[str, object]] = {}
    missed = False
    libraries = list(arguments.libraries)
    if 5 * 4.0 * length**2 > available_memory():
        for name in MATERIALISING:
            if name in libraries:
                libraries.remove(name)
                print(f"{name}: left out, too little memory for matrices of {length} x {length}")
    with Harness(libraries, arguments.threads) as harness:
        print(report.introduction(harness, where))
        for case in (Case(shape), Case(shape, backward=True)):
            print(f"\n{case}: peak memory beyond inputs and outputs")
            answers = found[str(case)] = dict(harness.memory(case))
            for name, answer in answers.items():
                assert isinstance(answer, dict)
                if "extra" not in answer:
                    print(f"  {name:<12} {answer.get('unsupported') or answer.get('failed')}")
                    continue
                verdict = ""
                if name == "heedful":
                    good = answer["extra"] < GOAL
                    missed |= not good
                    verdict = f"  goal {'reached' if good else 'MISSED'}: under {GOAL / 1e6:.0f} MB"
                print(f"  {name:<12} {answer['extra'] / 1e6:10.1f} MB{verdict}")
        if arguments.json is not None:
            written = {
                **report.as_json(harness, where, "python benchmarks/bench_memory.py", []),
                "memory": found,
            }
            arguments.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return int(arguments.strict and missed)


if __name__ == "__main__":
    sys.exit(main())
