"""Several processes or machines: training on one batch, and attention over one sequence.

Needs the package mpi4py and an MPI; a script is started as

    mpiexec -n 4 python -m mpi4py script.py

where `-m mpi4py` ends all processes when one of them fails, instead of letting the others wait.
"""

from heedful.integrations.mpi._data_parallel import data_parallel, share
from heedful.integrations.mpi._positions import ring_share
from heedful.integrations.mpi._ring_attention import ring_attention, ring_attention_vjp

__all__ = ["data_parallel", "ring_attention", "ring_attention_vjp", "ring_share", "share"]
