"""Integrations with other packages, each imported on first access."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heedful.integrations import (
        arrays,
        autograd,
        dask,
        jax,
        keras,
        mpi,
        onnx,
        sentences,
        sklearn,
        torch,
        transformers,
    )

__all__ = [
    "arrays",
    "autograd",
    "dask",
    "jax",
    "keras",
    "mpi",
    "onnx",
    "sentences",
    "sklearn",
    "torch",
    "transformers",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "Any"})
