"""show_config reports what runs, and prints one line per entry."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful import _core


@pytest.fixture(scope="module")
def config() -> dict[str, object]:
    return heedful.show_config(mode="dicts")


def test_it_names_the_versions(config: dict[str, object]) -> None:
    assert config["heedful"] == heedful.__version__
    assert config["numpy"] == np.__version__
    assert config["python"] == f"{platform.python_implementation()} {platform.python_version()}"


def test_it_names_the_level_in_use_among_those_that_run(config: dict[str, object]) -> None:
    assert config["level"] == _core.level
    assert config["levels"] == list(_core.available_levels())
    assert config["level"] in _core.available_levels()


def test_it_names_the_module_in_use(config: dict[str, object]) -> None:
    suffix = "" if _core.level == "native" else f"_{_core.level}"
    assert Path(str(config["module"])).name.startswith(f"_native{suffix}.")


def test_a_module_without_a_file_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Applications may link it in."""
    monkeypatch.delattr(_core.native, "__file__")
    assert heedful.show_config(mode="dicts")["module"] == "linked into the application"


def test_it_says_how_the_module_was_compiled(config: dict[str, object]) -> None:
    assert {"compiler", "eigen"} <= set(config)
    assert str(config["eigen"]).startswith("3.4")


def test_it_says_how_bfloat16_is_multiplied(config: dict[str, object]) -> None:
    assert config["bfloat16"] in ("tiles", "tiles-model", "pairs", "widened")
    if "avx512_bf16" not in _core.features() or _core.level != "v4":
        assert config["bfloat16"] != "pairs"
    assert config["bfloat16_reason"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="read from /proc/self/maps")
def test_it_finds_the_openmp_library_that_is_loaded(config: dict[str, object]) -> None:
    runtimes = config["openmp_runtimes"]
    assert isinstance(runtimes, list)
    assert runtimes
    assert all(os.path.exists(file) for file in runtimes)


def test_it_counts_threads_and_cores(config: dict[str, object]) -> None:
    assert config["threads"] == _core.native.default_num_threads()
    assert config["quota"] == _core.native.cpu_quota()
    assert isinstance(config["cores"], int)
    assert 1 <= config["cores"] <= (os.cpu_count() or 1)


def test_it_prints_one_line_an_entry(config: dict[str, object]) -> None:
    lines = str(config).splitlines()
    assert [line.split()[0] for line in lines] == list(config)
    assert f"  {heedful.__version__}" in lines[0]
    assert ", ".join(_core.available_levels()) in str(config)


@pytest.mark.parametrize("options", [{}, {"mode": "stdout"}])
def test_it_is_printed_once_and_nothing_is_returned(
    config: dict[str, object], options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert heedful.show_config(**options) is None
    assert capsys.readouterr() == (f"{config}\n", "")


def test_as_a_dictionary_it_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(heedful.show_config(mode="dicts"), dict)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("mode", "kind"), [("dict", ValueError), (None, TypeError)])
def test_another_mode_is_refused(mode: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^mode must be 'stdout' or 'dicts': got"):
        heedful.show_config(mode=mode)


def test_it_changes_nothing(config: dict[str, object]) -> None:
    assert heedful.show_config(mode="dicts") == config
