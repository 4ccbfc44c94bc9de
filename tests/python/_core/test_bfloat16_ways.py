"""How bfloat16 is multiplied: chosen by the processor, forced by HEEDFUL_BFLOAT16, or refused.

Each case imports heedful in an interpreter of its own: a process keeps its way.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import heedful
from heedful import _core

pytestmark = pytest.mark.slow

WAYS = ("tiles", "tiles-model", "pairs", "widened")
TESTS = Path(__file__).parents[2]

SHOWN = "print(heedful.show_config(mode='dicts')['bfloat16'])"
REASON = "print(heedful.show_config(mode='dicts')['bfloat16_reason'])"


def run(code: str, way: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, at the level of this one."""
    environment = {name: text for name, text in os.environ.items() if name != "HEEDFUL_BFLOAT16"}
    if way is not None:
        environment["HEEDFUL_BFLOAT16"] = way
    if _core.level != "native":
        environment["HEEDFUL_ISA"] = _core.level
    environment["PYTHONPATH"] = os.pathsep.join((str(Path(heedful.__path__[0]).parent), str(TESTS)))
    return subprocess.run(
        [sys.executable, "-c", f"import heedful\n{code}"],
        env=environment, capture_output=True, text=True, timeout=3600,  # the model of tiles is slow
    )  # fmt: skip


def printed(code: str, way: str | None = None) -> str:
    done = run(code, way)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def refusal(way: str) -> str:
    """The last line of the ImportError that the import ends with."""
    done = run("", way)
    assert done.returncode == 1, done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: "), done.stderr
    return last.removeprefix("ImportError: ")


def why_not(way: str) -> str:
    """Why this processor and level cannot, or ""."""
    return "" if run("", way).returncode == 0 else refusal(way).partition(": ")[2]


def flags() -> set[str]:
    """What Linux says that the processor has."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("only Linux has /proc/cpuinfo to compare with")
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return set(next(lines, "").partition(":")[2].split())


@pytest.mark.parametrize("way", WAYS)
def test_a_forced_way_is_taken_or_refused(way: str) -> None:
    reason = why_not(way)
    if reason:
        assert refusal(way) == f"HEEDFUL_BFLOAT16={way} is not possible here: {reason}"
    else:
        assert printed(SHOWN, way) == way
        assert printed(REASON, way) == "forced by HEEDFUL_BFLOAT16"


def test_what_is_refused_is_what_the_processor_or_the_level_lacks() -> None:
    has = flags()
    assert not why_not("widened")
    assert not why_not("tiles-model")
    assert bool(why_not("pairs")) == (_core.level != "v4" or "avx512_bf16" not in has)
    if "amx_bf16" not in has:
        assert why_not("tiles") in (
            "this processor has no AMX-BF16", "this module was compiled without AMX",
        )  # fmt: skip


@pytest.mark.parametrize("way", ["Pairs", "tile", " widened", "v4", "auto"])
def test_an_unknown_way_is_refused(way: str) -> None:
    assert refusal(way) == (
        f"HEEDFUL_BFLOAT16 must be one of tiles, tiles-model, pairs, widened: got {way!r}"
    )


def test_an_empty_value_is_the_default() -> None:
    assert printed(f"{SHOWN}; {REASON}", "") == printed(f"{SHOWN}; {REASON}")


def test_the_default_depends_on_the_processor_alone() -> None:
    has = flags()
    cpuinfo = Path("/proc/cpuinfo").read_text()
    way, reason = printed(f"{SHOWN}; {REASON}").splitlines()
    if not why_not("tiles"):
        assert way == "tiles"
    elif _core.level == "v4" and "avx512_bf16" in has:
        fast = "AuthenticAMD" in cpuinfo
        assert way == ("pairs" if fast else "widened")
        assert reason == (
            "AVX512-BF16 is fast on this processor" if fast
            else "in pairs it is slower than float32 on Intel's processors"
        )  # fmt: skip
    else:
        assert way == "widened"


@pytest.mark.parametrize("way", WAYS)
def test_every_way_passes_the_tests_of_attention_in_bfloat16(way: str) -> None:
    reason = why_not(way)
    if reason:
        pytest.skip(reason)
    places = sorted(map(str, (TESTS / "python" / "functional").glob("test_bfloat16*.py")))
    arguments = ["-q", "-p", "no:cacheprovider", *places]
    done = run(f"import pytest; raise SystemExit(pytest.main({arguments}))", way)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
