"""Random cases by the thousand: `python tests/fuzz.py COUNT [SEED]`, or `nox -s fuzz -- COUNT`.

The cases of test_random_calls.py, and where PyTorch is installed those of test_random_layers.py, in
rounds of some thousand, each from a seed of its own, one process a core. Each failure is shown as
the tests show it, with the smallest case that fails and the seed that repeats it.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

PLACE = Path(__file__).parent / "python"
WORTH_SHOWING = re.compile("E  |FAILED|ERROR")
ROUND = 4000  # cases: hypothesis keeps what it has drawn, so that a round slows down with time


def run_round(seed: int, cases: int, files: list[str]) -> tuple[int, str, bool]:
    """The seed, what pytest printed, and whether all cases passed."""
    environment = dict(
        os.environ, HEEDFUL_FUZZ_SEED=str(seed), HEEDFUL_FUZZ_CASES=str(cases), OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
    )  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    return seed, found.stdout + found.stderr, found.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int, help="cases in all")
    parser.add_argument("seed", type=int, nargs="?", help="of the first round; drawn without it")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no round later")
    parser.add_argument("--layers", action="store_true", help="beside PyTorch's; takes longer")
    given = parser.parse_args()
    first = secrets.randbelow(2**32) if given.seed is None else given.seed
    files = [str(PLACE / "functional/test_random_calls.py")]
    if given.layers:
        if find_spec("torch") is None:
            parser.error("--layers needs PyTorch")
        files = [str(PLACE / "layers/test_random_layers.py")]
    started, done, failed = time.monotonic(), 0, []
    sizes = [min(ROUND, given.count - begin) for begin in range(0, given.count, ROUND)]
    print(f"{given.count} cases, seeds {first} to {first + len(sizes) - 1}", flush=True)

    def one(index: int) -> tuple[int, str, bool] | None:
        if time.monotonic() - started > given.seconds:
            return None
        return run_round(first + index, sizes[index], files)

    with ThreadPoolExecutor(given.processes) as pool:
        for index, outcome in enumerate(pool.map(one, range(len(sizes)))):
            if outcome is None:
                continue
            seed, output, passed = outcome
            done += sizes[index]
            if not passed:
                failed.append(seed)
                print(f"\n== HEEDFUL_FUZZ_SEED={seed} HEEDFUL_FUZZ_CASES={sizes[index]}")
                shown = [
                    line for line in output.splitlines() if re.match(r"E  |FAILED|ERROR", line)
                ]
                print("\n".join(shown) or output, flush=True)
    spent = time.monotonic() - started
    print(f"{done} cases in {spent:.0f} s, {len(failed)} rounds failed: seeds {failed or 'none'}")
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main())
