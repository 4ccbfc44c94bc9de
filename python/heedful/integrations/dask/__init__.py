"""Attention over keys that are dask or zarr arrays: larger than memory, or on a cluster.

Needs the package dask: ``pip install "dask[array]"``.
"""

try:
    import dask.array as _array  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        f'heedful.integrations.dask needs the package dask: pip install "dask[array]" ({_error})',
        name="dask",
    ) from None

from heedful.integrations.dask._attention import attention, attention_vjp

__all__ = ["attention", "attention_vjp"]
