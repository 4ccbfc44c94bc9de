"""Several processes by mpiexec: with an MPI of pip, of Debian, or none, which skips the test.

The wheels of mpi4py look for libmpi.so.12, as pip's MPICH names its library. Debian names the same
library libmpich.so.12, which is found by a link of the other name. Open MPI is told that there may
be more processes than processors, started by root.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import heedful

DEBIAN = Path("/usr/lib", sysconfig.get_config_var("MULTIARCH") or "", "libmpich.so.12")
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",  # version 4
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # version 5
}


def start(
    program: Path, *arguments: str, processes: int = 0, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a program in that many processes, or in one without MPI."""
    command, environment = [sys.executable], _own_environment()
    if processes:
        found = _find_mpi()
        if isinstance(found, str):
            pytest.skip(found)
        mpiexec, environment = found
        command = [mpiexec, "-n", str(processes), sys.executable, "-m", "mpi4py"]
    return subprocess.run(
        [*command, str(program), *arguments],
        capture_output=True, text=True, timeout=timeout, check=False, env=environment,
    )  # fmt: skip


def _own_environment() -> dict[str, str]:
    """With heedful and what tests share."""
    places = [str(Path(heedful.__file__).parents[1]), str(Path(__file__).parent)]
    path = os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


@functools.cache
def _find_mpi() -> tuple[str, dict[str, str]] | str:
    """mpiexec and the environment in which two processes meet, or why they do not."""
    if find_spec("mpi4py") is None:
        return "mpi4py is not installed"
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=places)
    if mpiexec is None:
        return "there is no mpiexec"
    environment = {**_own_environment(), **OPEN_MPI}
    complaint = _complaint(mpiexec, environment)
    if complaint and DEBIAN.exists():
        folders = [_folder_of(DEBIAN), os.environ.get("LD_LIBRARY_PATH")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
        complaint = _complaint(mpiexec, environment)
    if complaint:
        return f"mpi4py does not work with {mpiexec}: {complaint}"
    return mpiexec, environment


def _complaint(mpiexec: str, environment: dict[str, str]) -> str:
    """Why two processes do not see each other; empty where they do."""
    alone = "from mpi4py import MPI; MPI.COMM_WORLD.size == 2 or exit('each process is alone')"
    done = subprocess.run(
        [mpiexec, "-n", "2", sys.executable, "-c", alone],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    return (done.stderr.strip() or "no message").splitlines()[-1] if done.returncode else ""


def _folder_of(library: Path) -> str:
    """A folder with the library under the name that mpi4py looks for, until the tests end."""
    folder = tempfile.mkdtemp(prefix="libmpi-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Path(folder, "libmpi.so.12").symlink_to(library)
    return folder
