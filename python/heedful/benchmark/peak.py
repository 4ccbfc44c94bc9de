"""What the machine can do at most, measured between the turns of the libraries."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

SECONDS = 0.08  # of each measurement


class MachinePeak:
    """float32 multiply-adds and memory reads a second, by a small program compiled on the spot.

    Without a C++ compiler, NumPy's best product of large matrices stands in for the first.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._folder = tempfile.TemporaryDirectory(prefix="heedful-peak-")
        self._program = _build(Path(self._folder.name))
        self.meaning = (
            "FMA peak" if self._program else "NumPy product (no C++ compiler: no FMA peak)"
        )

    def close(self) -> None:
        self._folder.cleanup()

    def gflops(self) -> float:
        """float32 operations a second, in 1e9."""
        if self._program is None:
            return self._run(sys.executable, "-c", _MATRIX_PRODUCT)
        return self._run(str(self._program), "fma", str(self._threads), str(SECONDS))

    def bandwidth(self) -> float | None:
        """Bytes read a second, in 1e9; None without a compiler."""
        if self._program is None:
            return None
        return self._run(str(self._program), "read", str(self._threads), str(SECONDS))

    def _run(self, *command: str) -> float:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(self._threads))}
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
    """Compile the program for exactly this processor, or return None when that cannot be done."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return None
    program = folder / "machine_peak"
    with as_file(files("heedful.benchmark") / "machine_peak.cpp") as source:
        command = [*compiler.split(), "-std=c++17", "-O3", "-march=native", "-pthread"]
        try:
            subprocess.run(
                [*command, str(source), "-o", str(program)],
                check=True,
                capture_output=True,
                timeout=60,
            )
        except (OSError, subprocess.SubprocessError):
            return None
    return program
