"""The bar: drawn at a terminal and in a notebook, nowhere else."""

from __future__ import annotations

import io
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_training import network, points

from heedful.training._progress import Progress, as_verbose, is_interactive


def shell(config: Any) -> Any:
    return SimpleNamespace(get_ipython=lambda: None if config is None else config)


@pytest.mark.parametrize(
    ("config", "looks"),
    [
        (SimpleNamespace(config={"IPKernelApp": {}}), True),
        (SimpleNamespace(config={"TerminalIPythonApp": {}}), False),
        (None, False),
    ],
    ids=["notebook", "terminal", "script"],
)
def test_a_bar_is_shown_in_notebooks(
    config: Any, looks: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tqdm")
    seen = io.StringIO()
    monkeypatch.setitem(sys.modules, "IPython", shell(config))
    monkeypatch.setattr(sys, "stderr", seen)
    assert is_interactive() is looks
    x, y = points(rng)
    model = network()
    model.fit(x, y)
    assert ("epoch 1/1:" in seen.getvalue()) is looks
    seen.truncate(0)
    model.evaluate(x, y, verbose=True)
    assert ("evaluate:" in seen.getvalue()) is looks


def test_the_bar_of_an_epoch_is_removed_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is the printed line; a bar that stays open would be drawn again by others."""
    pytest.importorskip("tqdm")
    seen = io.StringIO()
    monkeypatch.setitem(sys.modules, "IPython", shell(SimpleNamespace(config={"IPKernelApp": {}})))
    monkeypatch.setattr(sys, "stderr", seen)
    with Progress(2, "epoch 1/1", True) as progress:
        progress.advance({"loss": 1.0})
    assert progress.bar.disable  # as tqdm marks a closed one
    *_, cleared, end = seen.getvalue().split("\r")
    assert (cleared.strip(), end) == ("", "")


@pytest.mark.parametrize(
    ("verbose", "lines", "bar"),
    [(True, True, True), (1, True, True), ("auto", True, True), (2, True, False),
     (False, False, False), (0, False, False)],
)  # fmt: skip
def test_verbose_is_read_as_keras_reads_it(verbose: Any, lines: bool, bar: bool) -> None:
    assert as_verbose(verbose) == (lines, bar)


NOTEBOOK_WITHOUT_WIDGETS = """
import sys, types, warnings
shell = type("ZMQInteractiveShell", (), {"config": {"IPKernelApp": {}}})()
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell)
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
sys.modules["ipywidgets"] = None
from heedful.training._progress import Progress
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    with Progress(2, "epoch 1/1", True) as progress:
        progress.advance({"loss": 1.0})
assert progress.bar is not None
print([str(one.message) for one in seen])
"""


def test_tqdm_does_not_warn_in_a_notebook_without_widgets() -> None:
    """tqdm warns where it is first imported, which is where the first bar is drawn."""
    pytest.importorskip("tqdm")
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK_WITHOUT_WIDGETS],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert "epoch 1/1" in done.stderr
