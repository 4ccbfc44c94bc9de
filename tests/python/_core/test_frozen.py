"""heedful without files of its own: in a zip file, and in a frozen application."""

from __future__ import annotations

import importlib.machinery
import os
import pkgutil
import runpy
import subprocess
import sys
import textwrap
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful import _pyinstaller

pytestmark = [pytest.mark.once, pytest.mark.slow]

ROOT = Path(heedful.__path__[0])

# An importer such as frozen applications have: __file__ and __path__ name what does not exist.
FROZEN = f"""
import importlib.util, sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

class Loader(SourceFileLoader):
    def get_resource_reader(self, name):
        return None

class Frozen:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "heedful":
            return None
        place = Path({str(ROOT.parent)!r}, *name.split("."))
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                loader = Loader(name, str(file))
                spec = importlib.util.spec_from_loader(name, loader)
                spec.origin, spec.has_location = f"/nowhere/{{file.name}}", True
                if file.name == "__init__.py":
                    spec.submodule_search_locations = [f"/nowhere/{{name}}"]
                return spec
        return None

sys.meta_path.insert(0, Frozen())
sys.frozen = True
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The package in a zip file, compiled modules included."""
    path = tmp_path / "application.zip"
    with zipfile.ZipFile(path, "w") as file:
        for entry in ROOT.rglob("*"):
            if entry.is_file() and "__pycache__" not in entry.parts:
                file.write(entry, Path("heedful") / entry.relative_to(ROOT))
    return path


def test_a_zip_file_is_named_as_what_cannot_hold_a_compiled_module(archive: Path) -> None:
    done = run("import heedful", PYTHONPATH=str(archive))
    assert done.returncode == 1
    last = done.stderr[done.stderr.rindex("\nImportError: heedful cannot load") :]
    assert f"from inside the archive {archive}" in last
    assert "pip install --target" in last
    assert "NotADirectoryError" not in done.stderr


def test_a_frozen_application_without_the_modules_names_the_remedy() -> None:
    done = run(FROZEN + "import heedful")
    assert done.returncode == 1
    last = done.stderr[done.stderr.rindex("\nImportError: heedful cannot load") :]
    assert "frozen without heedful's compiled modules" in last
    assert "--collect-submodules heedful" in last
    assert "FileNotFoundError" not in done.stderr


def test_data_that_were_left_out_are_explained(tmp_path: Path) -> None:
    code = f"""
import importlib.util, sys, types
package = types.ModuleType("heedful")
package.__path__ = [{str(tmp_path / "heedful")!r}]
sys.modules["heedful"] = package
from heedful.data import load_digits
load_digits()
"""
    data = tmp_path / "heedful" / "data"
    data.mkdir(parents=True)
    for name in ("__init__.py", "_digits.py"):
        (data / name).write_bytes((ROOT / "data" / name).read_bytes())
    for frozen, remedy in (("False", "pip install"), ("True", "--collect-data heedful")):
        done = run(f"import sys; sys.frozen = {frozen}\n{code}")
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("FileNotFoundError: [Errno 2] heedful's data "), done.stderr
        assert remedy in last
        assert str(data / "digits.npz") in last


def test_what_an_archive_holds_beside_compiled_modules_can_be_read(archive: Path) -> None:
    """The data, from a zip file: only the compiled modules need a folder."""
    code = f"""
import sys, types
package = types.ModuleType("heedful")
package.__path__ = [{str(archive / "heedful")!r}]
sys.modules["heedful"] = package
from heedful.data import load_digits
print(load_digits()[0].shape)
"""
    done = run(code)
    assert done.stdout == "(1797, 8, 8)\n", done.stderr


def test_bench_says_that_it_needs_a_python() -> None:
    for missing in ("sys.frozen = True", "sys.executable = ''", "sys.executable = None"):
        code = f"import sys; from heedful.__main__ import main; {missing}\n"
        done = run(code + "sys.exit(main(['bench', '--shapes', 'overhead']))")
        assert done.returncode == 1
        assert "start Python processes of their own" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the hook collects, with stand-ins for the functions of PyInstaller that list files."""

    def collect_submodules(package: str, filter: Any) -> list[str]:
        walked = pkgutil.walk_packages([str(ROOT)], f"{package}.", onerror=lambda name: None)
        return [name for name in (package, *(part.name for part in walked)) if filter(name)]

    def collect_data_files(package: str, includes: list[str]) -> list[tuple[str, str]]:
        found = [file for pattern in includes for file in ROOT.glob(pattern)]
        return [(str(file), str(file.parent.relative_to(ROOT.parent))) for file in found]

    hooks: Any = types.ModuleType("PyInstaller.utils.hooks")
    hooks.collect_submodules, hooks.collect_data_files = collect_submodules, collect_data_files
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "PyInstaller.utils.hooks", hooks)
    (folder,) = _pyinstaller.hook_dirs()
    return runpy.run_path(str(Path(folder) / "hook-heedful.py"))


def test_the_hook_collects_what_is_loaded_by_name(collected: dict[str, Any]) -> None:
    modules = set(collected["hiddenimports"])
    parts = {f"heedful.{name}" for name in heedful._PARTS - {"benchmark"}}
    assert parts <= modules
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    compiled = [file.name for file in (ROOT / "_core").iterdir() if file.name.endswith(suffixes)]
    assert compiled
    assert {f"heedful._core.{name.partition('.')[0]}" for name in compiled} <= modules
    assert {"heedful.integrations.sentences", "heedful.integrations.mpi"} <= modules


def test_the_hook_leaves_out_what_brings_other_frameworks(collected: dict[str, Any]) -> None:
    left_out = (
        "heedful.benchmark", "heedful._command", "heedful.__main__", "heedful._pyinstaller",
        "heedful.integrations.torch", "heedful.integrations.keras", "heedful.integrations.jax",
        "heedful.integrations.sklearn",
    )  # fmt: skip
    assert not [name for name in collected["hiddenimports"] if name.startswith(left_out)]


def test_the_hook_collects_the_data_with_their_licence(collected: dict[str, Any]) -> None:
    names = {(Path(file).name, folder) for file, folder in collected["datas"]}
    folder, assets = (
        str(Path("heedful", *parts)) for parts in (("data",), ("explain", "html", "assets"))
    )
    pages = {(file.name, assets) for file in (ROOT / "explain" / "html" / "assets").iterdir()}
    assert names == {("digits.npz", folder), ("digits.LICENSE.md", folder)} | pages


@pytest.mark.slow
def test_pyinstaller_freezes_an_application_that_starts(tmp_path: Path) -> None:
    pytest.importorskip("PyInstaller")
    application = tmp_path / "application.py"
    application.write_text(
        textwrap.dedent("""
        import numpy as np
        import heedful
        images, labels = heedful.data.load_digits()
        x = images[:5].reshape(1, 5, 64).astype(np.float32)
        level = heedful.show_config(mode="dicts")["level"]
        print(heedful.attention(x, x, x).shape, len(labels), level)
        model = heedful.layers.Sequential(heedful.layers.Linear(64, 3, rng=0))
        optimizer = heedful.training.Adam(model)
        y, backward = model.forward(x)
        backward(np.ones_like(y)); optimizer.step()
        print(y.shape)
        """),
        encoding="utf-8",
    )
    (hooks,) = _pyinstaller.hook_dirs()
    subprocess.run(
        [sys.executable, "-m", "PyInstaller", "--onedir", "--noconfirm", "--log-level", "ERROR",
         "--additional-hooks-dir", hooks, "--paths", str(ROOT.parent), str(application)],
        cwd=tmp_path, check=True, timeout=600,
    )  # fmt: skip
    done = subprocess.run(
        [str(tmp_path / "dist" / "application" / "application")],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
    )
    printed = f"(1, 5, 64) 1797 {heedful._core.level}\n(1, 5, 3)\n"
    assert done.stdout == printed, done.stderr
