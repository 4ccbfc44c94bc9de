"""Which processor level is loaded, and how one that is not available is refused.

Each case imports heedful._core in an interpreter of its own: a process keeps its level.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from copied_package import copy_package

import heedful
from heedful import _core

pytestmark = [pytest.mark.once, pytest.mark.slow]

LEVELS = _core.available_levels()
on_x86_64 = pytest.mark.skipif(LEVELS == ("native",), reason="the levels are those of x86-64")

# the flags of /proc/cpuinfo for what the x86-64 psABI requires of each level
FLAGS = {
    "v2": {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
    "v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


def run(
    code: str, isa: str | None = None, package: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, with HEEDFUL_ISA=isa and the heedful in `package`."""
    environment = {name: text for name, text in os.environ.items() if name != "HEEDFUL_ISA"}
    if isa is not None:
        environment["HEEDFUL_ISA"] = isa
    environment["PYTHONPATH"] = str(package or Path(heedful.__path__[0]).parent)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )


def loaded(
    isa: str | None = None, package: Path | None = None, before: str = ""
) -> tuple[str, str]:
    """The level that is loaded and the name of its module."""
    code = f"{before}\nfrom heedful import _core; print(_core.level, _core.native.__name__)"
    done = run(code, isa, package)
    assert done.returncode == 0, done.stderr
    level, name = done.stdout.split()
    return level, name


def refusal(isa: str | None = None, package: Path | None = None, before: str = "") -> str:
    """The last line of the ImportError that the import ends with."""
    done = run(f"{before}\nimport heedful._core", isa, package)
    assert done.returncode == 1, done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: "), done.stderr
    return last.removeprefix("ImportError: ")


def probe_of(level: str) -> str:
    """Code that replaces the probe by that of another processor."""
    return (
        "import sys, types; probe = types.ModuleType('heedful._core._cpu_probe')\n"
        f"probe.best_level = lambda: {level!r}; probe.features = lambda: []\n"
        "sys.modules[probe.__name__] = probe"
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of heedful that a test may damage."""
    copy_package(tmp_path)
    return tmp_path


def remove(package: Path, level: str) -> None:
    for file in (package / "heedful" / "_core").glob(f"_native_{level}.*.so"):
        file.unlink()


@on_x86_64
def test_the_probe_agrees_with_what_linux_says_about_the_processor() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("only Linux has /proc/cpuinfo to compare with")
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    flags = set(next(lines).partition(":")[2].split())
    expected, needed = "v1", set()
    for level, new in FLAGS.items():
        needed |= new
        if needed <= flags:
            expected = level
    from heedful._core import _cpu_probe

    assert _cpu_probe.best_level() == expected
    known = {"sse4_2", "avx", "avx2", "fma", "f16c", "avx512_vnni", "avx512_bf16"}
    assert known & set(_cpu_probe.features()) == known & flags


def test_by_default_the_best_level_is_loaded() -> None:
    name = "_native" if LEVELS == ("native",) else f"_native_{LEVELS[-1]}"
    assert loaded() == (LEVELS[-1], f"heedful._core.{name}")


@on_x86_64
def test_an_empty_value_is_the_default() -> None:
    assert loaded(isa="") == loaded()


@on_x86_64
@pytest.mark.parametrize("level", LEVELS)
def test_a_forced_level_is_loaded(level: str) -> None:
    assert loaded(isa=level) == (level, f"heedful._core._native_{level}")


@on_x86_64
@pytest.mark.parametrize("level", LEVELS)
def test_a_lower_processor_gets_a_lower_level(level: str) -> None:
    assert loaded(before=probe_of(level))[0] == level


@on_x86_64
@pytest.mark.parametrize("value", ["v1", "v5", "V3", "avx2", " v3"])
def test_an_unknown_level_is_refused(value: str) -> None:
    assert refusal(isa=value) == f"HEEDFUL_ISA must be one of v2, v3, v4: got {value!r}"


@on_x86_64
def test_a_level_that_the_processor_lacks_is_refused() -> None:
    assert refusal(isa="v4", before=probe_of("v3")) == (
        "HEEDFUL_ISA=v4 is more than this processor runs: its best level is v3"
    )


@on_x86_64
def test_a_processor_below_every_level_is_refused() -> None:
    assert refusal(before=probe_of("v1")) == (
        "heedful needs a processor of level x86-64-v2 (SSE4.2) or better"
    )


@on_x86_64
def test_a_level_that_is_not_installed_is_refused(package: Path) -> None:
    best, others = LEVELS[-1], LEVELS[:-1]
    remove(package, best)
    assert refusal(isa=best, package=package) == (
        f"HEEDFUL_ISA={best} is not installed: installed are {', '.join(others) or 'no levels'}"
    )


@on_x86_64
def test_a_level_that_is_not_installed_is_passed_over(package: Path) -> None:
    if len(LEVELS) < 2:
        pytest.skip("this processor runs one level only")
    remove(package, LEVELS[-1])
    assert loaded(package=package)[0] == LEVELS[-2]


def test_other_processors_have_no_levels() -> None:
    elsewhere = "import platform; platform.machine = lambda: 'riscv64'"
    assert refusal(isa="v3", before=elsewhere) == (
        "HEEDFUL_ISA chooses among the levels of x86-64: got 'v3' on riscv64"
    )


def test_this_process_has_the_level_of_the_environment() -> None:
    value = os.environ.get("HEEDFUL_ISA")
    assert _core.level == (value or LEVELS[-1])
    assert (_core.level == "native") == (platform.machine().lower() not in ("x86_64", "amd64"))
