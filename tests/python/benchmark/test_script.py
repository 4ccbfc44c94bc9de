"""Scripts whose worker computes cases other than attention."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heedful.benchmark.process import WorkerDied
from heedful.benchmark.script import ScriptProcess, Turns

pytestmark = [pytest.mark.once, pytest.mark.slow]

SCRIPT = """
from heedful.benchmark.script import ScriptWorker
from heedful.benchmark.topic import Topic, main


class Worker(ScriptWorker):
    def prepare(self, numbers):
        print("a library's remark")
        self.calls = {"sum": lambda: sum(numbers)}
        return {"result": self.calls["sum"]()}


main(Topic("sums", "Sums."), Worker)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ScriptProcess]:
    script = tmp_path / "sums.py"
    script.write_text(SCRIPT)
    process = ScriptProcess(str(script), "heedful", 1)
    yield process
    process.close()


def test_a_script_prepares_and_is_timed(process: ScriptProcess) -> None:
    assert process.ask("prepare", numbers=[1, 2, 3])["result"] == 6
    times = process.turn(0.01, "sum")
    assert sum(times) >= 0.01
    assert min(times) > 0


def test_a_worker_reports_failures(process: ScriptProcess) -> None:
    with pytest.raises(WorkerDied, match=r"heedful: TypeError: 'int' object is not iterable"):
        process.ask("prepare", numbers=1)
    with pytest.raises(WorkerDied, match="heedful: KeyError: 'product'"):
        process.turn(0.01, "product")
    assert process.ask("prepare", numbers=[4])["result"] == 4


def test_libraries_are_compared_round_by_round() -> None:
    # the machine halves its speed in the second round: neither ratio nor fraction may change
    turns = Turns({"own": [1.0, 2.0, 1.0], "other": [3.0, 6.0, 3.0]}, [8.0, 4.0, 8.0])
    assert turns.ratio("own", "other") == 3
    assert turns.ratio("own", "nobody") is None
    assert turns.fraction("own", 4e9) == 0.5
    assert str(turns) == "own 1000 ms, other 3000 ms"
