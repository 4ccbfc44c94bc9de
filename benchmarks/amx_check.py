"""bfloat16 on AMX's tiles: tests on the instructions, their model's bits, and the speed.

`python benchmarks/amx_check.py` on a processor with AMX: the tests of bfloat16 in this way and of
int8, a comparison of the instructions with their software model, and the time of forward, and of
forward and backward, beside torch and own float32. `--quick` does the same anywhere, on the model,
with small arrays: a test of this script. `--cpp FOLDER`: also the C++ tests of that build folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heedful.benchmark.shapes import Case

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
PYTHON_TESTS = (
    "python/functional/test_bfloat16.py", "python/functional/test_bfloat16_gradients.py",
    "python/_core/test_bfloat16_ways.py", "python/_core/test_int8.py",
)  # fmt: skip
CPP_TESTS = (
    "tiles", "tile_kernel", "tile_panels", "bfloat16_ways", "forward_16_bits", "rounded_dscores",
    "int8_forward",
)  # fmt: skip
SHAPES = ("sq4096_d128", "gpt2_1k", "vit_b")
BACKWARD_SHAPES = ("gpt2_1k", "vit_b")
BACKWARD_THREADS = (1, 16)
GOAL = 1.2  # times as fast as torch
LENGTHS = ((49, 97), (193, 385), (97, 1025), (200, 31))
DEPTHS = (5, 16, 40, 64, 97, 128)


def succeeds(*words: str | Path) -> bool:
    print("$", *words, flush=True)
    return subprocess.run([str(word) for word in words], cwd=ROOT, check=False).returncode == 0


def passes_tests(quick: bool, cpp: Path | None) -> bool:
    files = [TESTS / name for name in (PYTHON_TESTS[:2] if quick else PYTHON_TESTS)]
    chosen = ("-k", "depth or hidden") if quick else ()
    right = succeeds(sys.executable, "-m", "pytest", "-q", *files, *chosen)
    for name in CPP_TESTS if cpp else ():
        for program in sorted((cpp or ROOT).rglob(f"test_{name}_v?")):
            right &= succeeds(program)
    return right


def print_digest() -> None:
    """Of random calls in the way of this process."""
    import ml_dtypes
    import numpy as np

    import heedful

    found = hashlib.sha256()
    rng = np.random.default_rng(8)
    for queries, keys in LENGTHS:
        for depth in DEPTHS:
            for options in ({}, {"causal": True}, {"window": (37, 9)}):
                arrays = (rng.standard_normal((2, 3, n, depth)) for n in (queries, keys, keys))
                query, key, value = (array.astype(ml_dtypes.bfloat16) for array in arrays)
                arguments: dict[str, Any] = {"align": "lower_right", **options}
                found.update(heedful.attention(query, key, value, **arguments).tobytes())
                _, pullback = heedful.attention_vjp(query, key, value, **arguments)
                for gradient in pullback(query)[:3]:
                    found.update(gradient.tobytes())
    print(found.hexdigest())


def has_the_bits_of_the_model() -> bool:
    digests = [
        subprocess.run(
            [sys.executable, __file__, "--digest"], env={**os.environ, "HEEDFUL_BFLOAT16": way},
            stdout=subprocess.PIPE, text=True, check=True,
        ).stdout
        for way in (os.environ["HEEDFUL_BFLOAT16"], "tiles-model")
    ]  # fmt: skip
    same = digests[0] == digests[1]
    print("tiles and their model:", "the same bits" if same else "DIFFERENT BITS", flush=True)
    return same


def cases(quick: bool, threads: tuple[int, ...]) -> list[tuple[Case, tuple[int, ...]]]:
    """What is measured, in bfloat16, and with how many threads."""
    from heedful.benchmark.shapes import SHAPES as NAMED
    from heedful.benchmark.shapes import Case, Shape

    if quick:
        shape = Shape("quick", 1, 2, 2, 97, 97, 64)
        return [(Case(shape, "bfloat16", backward), threads) for backward in (False, True)]
    smaller = Shape("sq1024_d128", 1, 8, 8, 1024, 1024, 128)
    with_gradients = [*(NAMED[name] for name in BACKWARD_SHAPES), smaller]
    few = tuple(count for count in threads if count in BACKWARD_THREADS) or threads[:1]
    return [
        *((Case(NAMED[name], "bfloat16"), threads) for name in SHAPES),
        *((Case(shape, "bfloat16", True), few) for shape in with_gradients),
    ]


def measure(quick: bool, threads: tuple[int, ...]) -> bool:
    """Print one line a case and number of threads; whether all results and bits are right."""
    from heedful.benchmark.harness import Harness
    from heedful.benchmark.race import Entry

    right = True
    rounds, seconds = (2, 0.05) if quick else (7, 0.2)
    with Harness(["heedful", "torch"], max(threads), rounds, seconds) as harness:
        for case, counts in cases(quick, threads):
            wide = dataclasses.replace(case, dtype="float32")
            same = harness.same_bits([case], counts)
            print(f"\n{case}: {'same' if same else 'DIFFERENT'} bits with {counts} threads")
            right &= same
            for count in counts:
                own, torch = Entry(case, "heedful", count), Entry(case, "torch", count)
                float32 = Entry(wide, "heedful", count)
                race = harness.race([own, torch, float32])
                for entry, reason in {**race.left_out, **race.wrong}.items():
                    print(f"  {entry.library}, {entry.case.dtype}: {reason}")
                right &= own not in race.wrong
                rates = [
                    f"{entry.library} {entry.case.dtype} {case.rate(min(runner.seconds)):.0f}"
                    for entry, runner in race.runners.items()
                ]
                ratios = [
                    f"{ratio:.2f} x {name}{f' (goal {GOAL})' if name == 'torch' else ''}"
                    for name, other in (("torch", torch), ("own float32", float32))
                    if (ratio := race.ratio(own, other))
                ]
                print(f"  {count} threads: GFLOP/s {', '.join(rates)}; {', '.join(ratios)}")
    return right


def main() -> int:
    parser = argparse.ArgumentParser(prog="amx_check", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="on the model, with small arrays")
    parser.add_argument("--cpp", type=Path, help="a build folder with the C++ tests")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--digest", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.digest:
        print_digest()
        return 0
    os.environ["HEEDFUL_BFLOAT16"] = "tiles-model" if given.quick else "tiles"
    import heedful  # an ImportError where there is no AMX

    config = heedful.show_config(mode="dicts")
    print(f"heedful {config['heedful']}, level {config['level']}, bfloat16 {config['bfloat16']}")
    # speed first: a lent machine may be taken back
    right = measure(given.quick, (1, 2) if given.quick else tuple(given.threads))
    right &= has_the_bits_of_the_model()
    right &= passes_tests(given.quick, given.cpp)
    print("\nall right" if right else "\nNOT RIGHT")
    return 0 if right else 1


if __name__ == "__main__":
    raise SystemExit(main())
