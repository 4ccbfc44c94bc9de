"""How int8 is multiplied: chosen by the processor, forced by HEEDFUL_INT8, or refused.

Each case imports heedful in an interpreter of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import heedful
from heedful import _core

pytestmark = [pytest.mark.slow, pytest.mark.once]

WAYS = ("tiles", "tiles-model", "vnni", "bytes", "widened")
SHOWN = "print(heedful.show_config(mode='dicts')['int8'])"
DIGEST = """
import hashlib
import numpy as np
from heedful.layers import Linear

rng, digest = np.random.default_rng(0), hashlib.sha256()
for rows, inputs, outputs in ((1, 300, 70), (4, 300, 70), (7, 33, 19), (61, 301, 97)):
    layer = Linear(inputs, outputs, rng=1).quantize()
    digest.update(layer(rng.standard_normal((rows, inputs))).tobytes())
print(digest.hexdigest())
"""


def run(code: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(heedful.__path__[0]).parent)}
    for name in ("HEEDFUL_INT8", "HEEDFUL_ISA"):
        environment.pop(name, None)
    environment.update({name: text for name, text in variables.items() if text is not None})
    return subprocess.run(
        [sys.executable, "-c", f"import heedful\n{code}"],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def printed(code: str, **variables: str | None) -> str:
    done = run(code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("way", WAYS)
def test_a_forced_way_is_taken_or_refused(way: str) -> None:
    done = run(SHOWN, HEEDFUL_INT8=way)
    if done.returncode == 0:
        assert done.stdout.strip() == way
    else:
        assert way in ("tiles", "vnni")
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith(f"ImportError: HEEDFUL_INT8={way} is not possible here: this ")


def test_an_unknown_way_is_refused() -> None:
    done = run("", HEEDFUL_INT8="pairs")
    assert done.stderr.strip().splitlines()[-1] == (
        "ImportError: HEEDFUL_INT8 must be one of tiles, tiles-model, vnni, bytes, widened: "
        "got 'pairs'"
    )


def test_the_default_depends_on_the_processor_and_the_level() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("only Linux has /proc/cpuinfo to compare with")
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    flags = set(next(lines, "").partition(":")[2].split())
    needed = {"v4": "avx512_vnni", "v3": "avx_vnni"}
    for level in _core.available_levels():
        way = printed(SHOWN, HEEDFUL_ISA=None if level == "native" else level)
        if "amx_int8" not in flags:
            assert way == ("vnni" if needed.get(level) in flags else "bytes")


def test_every_level_and_every_way_gives_the_same_bits() -> None:
    """Without an activation, of which the last bits differ between levels."""
    digests = {}
    for level in _core.available_levels():
        for way in WAYS:
            isa = None if level == "native" else level
            done = run(DIGEST, HEEDFUL_ISA=isa, HEEDFUL_INT8=way)
            if done.returncode == 0:
                digests[level, way] = done.stdout
    assert {way for _, way in digests} >= {"widened", "tiles-model"}
    assert len(set(digests.values())) == 1, digests
