"""mpi4py, imported when it is needed."""

from __future__ import annotations

from typing import Any


def mpi() -> Any:
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            f"heedful.integrations.mpi needs the package mpi4py and an MPI, such as "
            f"pip install mpi4py mpich: {error}"
        ) from None
    return MPI


def world() -> Any:
    return mpi().COMM_WORLD
