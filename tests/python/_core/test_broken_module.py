"""A compiled module that is missing or broken explains itself, on top of the original error."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from copied_package import copy_package

from heedful import _core

pytestmark = [pytest.mark.once, pytest.mark.slow]

MODULE = Path(_core.native.__file__).name
CODE = """
try:
    import heedful._core
except ImportError as error:
    print(type(error.__cause__).__name__)
    print(error.__cause__)
    print(error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the compiled modules in a copy of heedful that a test may damage."""
    return copy_package(tmp_path) / "_core"


def what_the_import_says(folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder.parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_damaged_module_shows_the_loader_s_message(folder: Path) -> None:
    (folder / MODULE).write_bytes(b"half a download")
    cause, words, *explanation = what_the_import_says(folder).splitlines()
    assert cause == "ImportError"
    assert MODULE in words
    assert explanation[0] == (f"heedful cannot load its compiled module {_core.native.__name__}")
    text = "\n".join(explanation)
    assert f"looked for: {folder / MODULE}" in text
    assert platform.python_version() in text
    assert platform.machine() in text
    assert "pip install --force-reinstall" in text


def test_an_installation_without_any_module_shows_what_is_there(folder: Path) -> None:
    for module in folder.glob("*.so"):
        module.unlink()
    said = what_the_import_says(folder)
    assert said.startswith("ModuleNotFoundError")
    assert "found there: no compiled module" in said


def test_a_module_for_another_python_is_named(folder: Path) -> None:
    for module in list(folder.glob("*.so")):
        module.rename(module.with_name(module.name.replace(".cpython-", ".cpython-9")))
    said = what_the_import_says(folder)
    assert said.startswith("ModuleNotFoundError")
    assert (
        f"found there: {'_cpu_probe' if _core.level != 'native' else '_native'}.cpython-9" in said
    )
