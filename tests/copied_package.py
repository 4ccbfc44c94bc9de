"""A copy of heedful that a test may damage."""

import shutil
from pathlib import Path

import heedful


def copy_package(to: Path) -> Path:
    """Copy heedful without its data into the folder `to`, and the libraries of a wheel."""
    package = Path(heedful.__path__[0])
    ignored = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(package, to / "heedful", ignore=ignored)
    libraries = package.with_name("heedful.libs")
    if libraries.exists():
        shutil.copytree(libraries, to / libraries.name)
    return to / "heedful"
