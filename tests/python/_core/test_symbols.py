"""What the compiled modules export, and which registers each level uses."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heedful import _core

pytestmark = [pytest.mark.once, pytest.mark.slow]

FOLDER = Path(_core.native.__file__).parent
MODULES = sorted(FOLDER.glob("*.so"))
INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t(?P<name>\S+)(?P<operands>.*)$")

needs_nm = pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) is not installed")
needs_objdump = pytest.mark.skipif(
    shutil.which("objdump") is None, reason="objdump (binutils) is not installed"
)
on_x86_64 = pytest.mark.skipif(_core.level == "native", reason="the levels are those of x86-64")


def module(name: str) -> Path:
    found = [file for file in MODULES if file.name.startswith(name + ".")]
    assert len(found) == 1, f"one {name} among {MODULES}"
    return found[0]


def instructions(file: Path) -> Iterator[tuple[str, str]]:
    """Name and operands of every instruction."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := INSTRUCTION.match(line):
                yield found["name"], found["operands"]
    assert process.returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sonames of Linux")
@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.name.partition(".")[0])
def test_each_module_names_its_c_library(file: Path) -> None:
    """auditwheel cannot tell glibc from musl by a module that names none."""
    assert re.search(rb"\0(libc\.so\.6|libc\.musl-\w+\.so\.1)\0", file.read_bytes())


def test_there_are_modules_to_inspect() -> None:
    names = {file.name.partition(".")[0] for file in MODULES}
    if _core.level == "native":
        assert names == {"_native"}
    else:
        assert names == {"_cpu_probe", "_native_v2", "_native_v3", "_native_v4"}


@needs_nm
@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.name.partition(".")[0])
def test_a_module_exports_its_entry_point_alone(file: Path) -> None:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(file)], capture_output=True, text=True, check=True
    ).stdout
    symbols = [line.split()[-1] for line in listing.splitlines()]
    assert symbols == [f"PyInit_{file.name.partition('.')[0]}"]


@on_x86_64
@needs_objdump
@pytest.mark.parametrize("name", ["_cpu_probe", "_native_v2"])
def test_a_baseline_module_has_no_avx_instruction(name: str) -> None:
    count = 0
    for mnemonic, operands in instructions(module(name)):
        count += 1
        assert not mnemonic.startswith("v"), f"{mnemonic} {operands}"
        assert "%ymm" not in operands, f"{mnemonic} {operands}"
        assert "%zmm" not in operands, f"{mnemonic} {operands}"
    assert count > 50


@on_x86_64
@needs_objdump
def test_every_level_computes_in_its_own_registers() -> None:
    widest = {}
    for level in ("v2", "v3", "v4"):
        seen = set()
        for _, operands in instructions(module(f"_native_{level}")):
            seen.update(kind for kind in ("%xmm", "%ymm", "%zmm") if kind in operands)
        widest[level] = max(seen)
    assert widest == {"v2": "%xmm", "v3": "%ymm", "v4": "%zmm"}
