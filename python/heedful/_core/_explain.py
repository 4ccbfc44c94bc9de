"""Why a compiled module cannot be loaded, and the remedy.

Frozen applications and zip files have no folder to list: nothing here relies on one, because an
explanation that fails hides the fault it is meant to explain.
"""

import os
import platform
import re
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES

_SUFFIXES = (".so", ".pyd", ".dylib")

# packages that contain a library, by the beginning of its file name
_PACKAGES = {
    "libgomp.": "apt install libgomp1, dnf install libgomp, or conda install libgomp",
    "libstdc++.": "apt install libstdc++6, dnf install libstdc++, or conda install libstdcxx",
    "libgcc_s.": "apt install libgcc-s1, dnf install libgcc, or conda install libgcc",
    "libomp.": "apt install libomp5, dnf install libomp, or brew install libomp",
}

_REINSTALL = (
    "pip install --force-reinstall --no-cache-dir heedful "
    "(from its source: pip install --force-reinstall . , then run Python outside of python/)"
)
_FROM_SOURCE = (
    "the module was compiled on a newer system than this one: compile it here, "
    "pip install --force-reinstall --no-binary heedful heedful (needs g++)"
)


def explain(module: str, folders: Sequence[str], reason: ImportError) -> str:
    """What was looked for in which folders, the loader's reason, and the remedy."""
    name = module.rpartition(".")[2] + EXTENSION_SUFFIXES[0]
    folder = folders[0] if folders else ""
    return (
        f"heedful cannot load its compiled module {module}\n"
        f"  reason: {str(reason).partition(chr(10))[0] or type(reason).__name__}\n"
        f"  looked for: {os.path.join(folder, name)}\n"
        f"  found there: {', '.join(_modules_in(folder)) or 'no compiled module'}\n"
        f"  platform: {platform.platform()}, {platform.python_implementation()} "
        f"{platform.python_version()}\n"
        f"  remedy: {_remedy(str(reason), folder)}"
    )


def _modules_in(folder: str) -> list[str]:
    try:
        return sorted(file for file in os.listdir(folder or "?") if file.endswith(_SUFFIXES))
    except (OSError, ValueError):  # not a folder, or not a valid name of one
        return []


def _remedy(reason: str, folder: str) -> str:
    archive = _archive_of(folder)
    if archive:
        return (
            f"no compiled module can be loaded from inside the archive {archive}: "
            "pip install --target FOLDER heedful, and put FOLDER on the path instead"
        )
    if getattr(sys, "frozen", False) and not _modules_in(folder):
        return (
            "the application was frozen without heedful's compiled modules; PyInstaller finds "
            "them by heedful's hook where heedful is installed by pip, otherwise with "
            "--collect-submodules heedful --collect-data heedful"
        )
    missing = re.search(r"([^\s/:]+): cannot open shared object", reason) or re.search(
        r"Library not loaded: (?:\S*/)?(\S+)", reason
    )
    if missing:
        return _install(missing[1])
    damaged = re.match(
        r"(\S*\blib[^\s/:]+): (file too short|invalid ELF|wrong ELF|cannot read)", reason
    )
    if damaged:
        return f"{damaged[1]} is damaged or for another processor: {_install(damaged[1])}"
    if re.search(r"version [`'](GLIBC|GLIBCXX|CXXABI|GCC|G?OMP)_", reason):
        return _FROM_SOURCE
    if "static TLS" in reason:
        return (
            "import heedful first, before the libraries that have used the space up, or set "
            "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=8192 in the environment"
        )
    if "failed to map segment" in reason:
        return "install heedful where files may be executed: this folder is mounted noexec"
    return _REINSTALL


def _install(file: str) -> str:
    """How to install a library that is missing or damaged."""
    library = os.path.basename(file)
    for start, packages in _PACKAGES.items():
        if library.startswith(start):
            return packages
    if re.search(r"-[0-9a-f]{8}\.", library):  # it is part of the wheel, in heedful.libs
        return _REINSTALL
    return f"install the package of your system that has {library}"


def _archive_of(path: str) -> str:
    """The file that `path` leads through, "" if it leads through none."""
    try:
        while path and not os.path.exists(path):
            path, gone = os.path.split(path)
            if not gone:
                return ""
        return path if os.path.isfile(path) else ""
    except ValueError:  # not a valid file name
        return ""
