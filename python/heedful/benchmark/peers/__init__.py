"""The libraries that are compared, one file each."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from heedful.benchmark.peers._library import Library, Unsupported, Way

__all__ = ["MODULES", "Library", "Unsupported", "Way", "load", "missing"]

# The modules that each needs; heedful first, the others in the order of the tables.
MODULES: dict[str, tuple[str, ...]] = {
    "heedful": (),
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino",),
    "jax": ("jax",),
    "numpy": (),
}


def missing(name: str) -> list[str]:
    """The modules without which the library cannot be measured here."""
    return [module for module in MODULES[name] if find_spec(module) is None]


def load(name: str, threads: int) -> Library:
    """Import the library and set its number of threads."""
    create: Callable[[int], Library] = import_module(f"heedful.benchmark.peers._{name}").create
    return create(threads)
