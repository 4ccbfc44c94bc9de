"""The examples of docs/several_machines.md run: those of one process here, scripts in two."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mpi_processes import start
from page_examples import assert_examples_hold

PAGE = Path(__file__).parents[3] / "docs" / "several_machines.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SCRIPTS = [block for block in BLOCKS if not block.startswith(">>>")]

pytestmark = [pytest.mark.once, pytest.mark.peer]


def test_the_examples_of_one_process_hold() -> None:
    pytest.importorskip("dask.array")
    pytest.importorskip("zarr")
    assert_examples_hold(PAGE, "".join(block for block in BLOCKS if block not in SCRIPTS))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SCRIPTS)))
def test_the_scripts_run_in_two_processes(tmp_path: Path, number: int) -> None:
    program = tmp_path / "script.py"
    program.write_text(SCRIPTS[number], encoding="utf-8")
    done = start(program, processes=2)
    assert done.returncode == 0, done.stderr


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) == 2
