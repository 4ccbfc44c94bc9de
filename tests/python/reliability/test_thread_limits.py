"""What limits the threads from outside: variables, affinity, other libraries, control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from process import run

from heedful._core import native

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.mark.parametrize("number", [1, 3, 6])
def test_openmp_s_variable_is_honoured(number: int) -> None:
    printed = run("print(heedful.get_num_threads())", env={"OMP_NUM_THREADS": str(number)})
    quota = native.cpu_quota()
    assert int(printed) == (min(number, quota) if quota else number)


def test_the_affinity_at_the_start_is_honoured() -> None:
    core = min(os.sched_getaffinity(0))
    printed = run(
        f"""
import os, subprocess, sys
os.sched_setaffinity(0, [{core}])
program = "import heedful; print(heedful.get_num_threads())"
print(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout)
""",
        preamble=False,
        env={"OMP_NUM_THREADS": None},
    )
    assert int(printed) == 1


def test_limits_of_threadpoolctl_are_honoured() -> None:
    pytest.importorskip("threadpoolctl")
    run(
        """
from threadpoolctl import threadpool_limits
before = heedful.get_num_threads()
with threadpool_limits(1):
    assert heedful.get_num_threads() == 1
    heedful.attention(*arrays(4, 4, 301))
assert heedful.get_num_threads() == before
""",
        env={"OMP_NUM_THREADS": "2"},
    )


FILES_OF_QUOTAS = [
    ("no control group", {}, 0),
    ("version 2", {"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "150000 100000"}, 2),
    ("version 2, no limit", {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 0),
    (
        "version 1",
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/1",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        1,
    ),
]


@pytest.mark.parametrize(
    ("files", "expected"), [row[1:] for row in FILES_OF_QUOTAS], ids=[r[0] for r in FILES_OF_QUOTAS]
)
def test_the_quota_is_read_from_the_control_group(
    files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    for name, contents in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(contents + "\n")
    assert native.cpu_quota(str(tmp_path)) == expected


@pytest.fixture
def group_of_one_processor() -> Iterator[Path]:
    """The list of processes of a control group that may use one processor."""
    base = Path("/sys/fs/cgroup")
    version_2 = (base / "cgroup.controllers").exists()
    group = (base if version_2 else base / "cpu") / f"heedful_test_{os.getpid()}"
    try:
        group.mkdir()
        try:
            if version_2:
                (group / "cpu.max").write_text("100000 100000")
            else:
                (group / "cpu.cfs_quota_us").write_text("100000")
                (group / "cpu.cfs_period_us").write_text("100000")
        except OSError:
            group.rmdir()
            raise
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    yield group / "cgroup.procs"
    group.rmdir()


def test_the_default_never_exceeds_the_container_s_quota(group_of_one_processor: Path) -> None:
    run(
        f"""
open({str(group_of_one_processor)!r}, "w").write(str(os.getpid()))
assert heedful.get_num_threads() == 1
heedful.attention(*arrays(4, 4, 301))
with heedful.num_threads(5):  # what is said is honoured all the same
    assert heedful.get_num_threads() == 5
    assert is_right(heedful.attention(*(x := arrays())), x)
""",
        env={"OMP_NUM_THREADS": "4"},
    )
