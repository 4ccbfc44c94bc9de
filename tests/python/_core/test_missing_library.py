"""An error of the operating system's loader is shown with its message and a remedy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from copied_package import copy_package

from heedful import _core
from heedful._core._explain import explain

pytestmark = [pytest.mark.once, pytest.mark.slow]

MODULE = Path(_core.native.__file__).name


def said_without(library: str, tmp_path: Path) -> str:
    """What the import says when heedful asks for a version of `library` that is not there."""
    module = copy_package(tmp_path) / "_core" / MODULE
    damaged, count = re.subn(
        rb"\0(" + re.escape(library.encode()) + rb"\.so\.)\d",
        rb"\0\1?",  # of the same length: offsets do not change
        module.read_bytes(),
    )
    if count == 0 or list(tmp_path.glob(f"heedful.libs/{library}*")):
        pytest.skip(f"the module does not link the {library} of the system")
    module.write_bytes(damaged)
    done = subprocess.run(
        [sys.executable, "-c", "import heedful"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="sonames of Linux")
@pytest.mark.parametrize(
    ("library", "packages"),
    [
        ("libgomp", ("apt install libgomp1", "dnf install libgomp", "conda install libgomp")),
        ("libstdc++", ("apt install libstdc++6", "dnf install libstdc++")),
    ],
)
def test_a_missing_library_is_named_with_the_packages_that_bring_it(
    tmp_path: Path, library: str, packages: tuple[str, ...]
) -> None:
    said = said_without(library, tmp_path)
    last = said[said.rindex("ImportError: heedful") :]
    assert re.search(rf"reason: {re.escape(library)}.*: cannot open shared object file", last)
    for package in packages:
        assert package in last
    assert "force-reinstall" not in last  # it would not help


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("libgomp.so.1: cannot open shared object file: No such file", "apt install libgomp1"),
        ("libgomp-a34b3233.so.1.0.0: cannot open shared object file: No", "--force-reinstall"),
        ("libmvec.so.1: cannot open shared object file: No such file", "that has libmvec.so.1"),
        (
            "/lib/libm.so.6: version `GLIBC_2.38' not found (required by x.so)",
            "--no-binary heedful",
        ),
        ("version `GLIBCXX_3.4.30' not found (required by x.so)", "--no-binary heedful"),
        ("libgomp.so.1: cannot allocate memory in static TLS block", "import heedful first"),
        ("x.so: failed to map segment from shared object", "noexec"),
        ("x.so: undefined symbol: omp_get_places", "--force-reinstall"),
        ("x.so: invalid ELF header", "--force-reinstall"),
        ("/there/libgomp.so.1: file too short", "/there/libgomp.so.1 is damaged"),
        ("/there/libgomp.so.1: invalid ELF header", "apt install libgomp1"),
        ("dlopen(x.so): Library not loaded: @rpath/libomp.dylib", "brew install libomp"),
        ("", "--force-reinstall"),
    ],
)
def test_each_reason_has_its_remedy(reason: str, remedy: str) -> None:
    said = explain("heedful._core._native_v3", ["/nowhere"], ImportError(reason))
    assert f"reason: {reason or 'ImportError'}" in said
    said_remedy = said.partition("remedy: ")[2]
    assert remedy in said_remedy
    assert "\n" not in said_remedy


@pytest.mark.parametrize("folders", [[], [""], ["\0"], ["/nowhere/at/all"], [__file__]])
def test_the_explanation_never_fails_itself(folders: list[str]) -> None:
    said = explain("heedful._core._cpu_probe", folders, ImportError("no such module"))
    assert "heedful cannot load its compiled module heedful._core._cpu_probe" in said
    assert "platform: " in said
