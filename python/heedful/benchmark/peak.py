"""The peak performance of the machine, measured between the rounds of the libraries."""

import os
import shutil
import subprocess
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

import heedful
from heedful.benchmark.process import interpreter
from heedful.benchmark.state import known_best

SECONDS = 0.08  # of each measurement
GLANCE = 0.03  # of one of the machine's state

# The peak of a level: that of the vector instructions that heedful can use at it.
VECTORS = {"v2": "SSE", "v3": "AVX2 FMA", "v4": "AVX-512 FMA", "native": "FMA"}


def _level() -> str:
    return str(heedful.show_config(mode="dicts")["level"])


class MachinePeak:
    """float32 multiply-adds and memory reads per second, and the machine's state.

    They are measured by a small program compiled on demand.

    Without a C++ compiler, NumPy's fastest product of large matrices replaces the first.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="heedful-peak-")
        self._program = _build(Path(self._folder.name))
        self.best_nops: float = known_best()  # instructions a cycle of a core of its own
        self.meaning: str = (
            f"{VECTORS[_level()]} peak"
            if self._program
            else "NumPy product (no C++ compiler: no FMA peak)"
        )

    def close(self) -> None:
        self._folder.cleanup()

    def gflops(self, threads: int) -> float:
        """float32 operations per second, in 1e9."""
        if self._program is None:
            return self._run(threads, interpreter(), "-c", _MATRIX_PRODUCT)
        return self._run(threads, str(self._program), "fma", str(threads), str(SECONDS))

    def bandwidth(self, threads: int) -> float | None:
        """Bytes read per second, in 1e9; None without a compiler."""
        if self._program is None:
            return None
        return self._run(threads, str(self._program), "read", str(threads), str(SECONDS))

    def nops(self, threads: int) -> float | None:
        """Instructions a cycle that the most disturbed core has left; None if unknown."""
        if self._program is None:
            return None
        found = self._run(threads, str(self._program), "state", str(threads), str(GLANCE))
        self.best_nops = max(self.best_nops, found)
        return found or None

    def _run(self, threads: int, *command: str) -> float:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60, env=environment
        )
        return float(done.stdout)


_MATRIX_PRODUCT = """
import time
import numpy as np
matrix = np.ones((2048, 2048), dtype=np.float32)
times = []
for _ in range(5):
    start = time.perf_counter()
    matrix @ matrix
    times.append(time.perf_counter() - start)
print(2 * 2048**3 / min(times) * 1e-9)
"""


def _build(folder: Path) -> Path | None:
    """Compile the program for heedful's level; None if that fails."""
    level = _level()
    architecture = level if level == "native" else f"x86-64-{level}"
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return None
    program = folder / "machine_peak"
    command = [*compiler.split(), "-std=c++17", "-O3", f"-march={architecture}", "-pthread"]
    try:
        with as_file(files("heedful.benchmark") / "machine_peak.cpp") as source:
            subprocess.run(
                [*command, str(source), "-o", str(program)],
                check=True,
                capture_output=True,
                timeout=60,
            )
    except (OSError, subprocess.SubprocessError):
        return None
    return program
