"""The test mixin for models of the transformers library, which it keeps in its source archive.

TRANSFORMERS_SOURCE names the unpacked archive of the version that is installed; `nox -s
transformers` fetches it. The mixin imports two neighbours that the archive leaves out, tests of
exporters and of generation: empty classes take their place.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "transformers_tests"
LEFT_OUT = {"exporters.test_export": "ExportTesterMixin",
            "generation.test_utils": "GenerationTesterMixin"}  # fmt: skip


def source() -> Path | None:
    """The folder tests/ of the archive; None where it was not fetched."""
    given = os.environ.get("TRANSFORMERS_SOURCE")
    return Path(given, "tests") if given else None


def mixin(tests: Path) -> Any:
    """ModelTesterMixin."""
    package = _module(PACKAGE)
    package.__path__ = [str(tests)]
    for name, left_out in LEFT_OUT.items():
        if not (tests / name.replace(".", "/")).with_suffix(".py").exists():
            _module(f"{PACKAGE}.{name.partition('.')[0]}")
            setattr(_module(f"{PACKAGE}.{name}"), left_out, type(left_out, (), {}))
    return importlib.import_module(f"{PACKAGE}.test_modeling_common").ModelTesterMixin


def _module(name: str) -> ModuleType:
    return sys.modules.setdefault(name, ModuleType(name))
