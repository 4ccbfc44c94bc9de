"""heedful's functions on arrays of other libraries, whose results are of the caller's kind."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["same_kind"]


def same_kind(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of heedful that returns arrays of the kind that it is given.

    ::

        attention = same_kind(heedful.attention)
        out = attention(query, key, value)        # torch.Tensor, jax.Array, … as query is

    Parameters
    ----------
    function : callable
        Any function of heedful: attention, attention_vjp, merge_attention, …

    Returns
    -------
    callable
        With the same arguments. Arrays among them, and in lists, may be tensors of PyTorch, arrays
        of JAX, or of any library that follows the array API standard; NumPy's may be among them.
        Arrays in the results, and those of a pullback, are of that kind.

    Raises
    ------
    TypeError
        When it is called: arrays of two other libraries; an array that NumPy cannot read, because
        it is traced, on another device, sparse or without data; a tensor that requires a gradient.
        Each in one sentence with the argument's name.

    Notes
    -----
    Nothing is copied on the way in where a library shares its memory; PyTorch's results share
    heedful's, other libraries may copy them. Tensors of bfloat16 are read and returned as such,
    which needs the package ml_dtypes. Results that are no arrays are returned as they are.

    Gradients are not recorded: for functions that frameworks differentiate and compile see
    heedful.integrations.torch and heedful.integrations.jax.

    The standard: https://data-apis.org/array-api.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> from heedful.integrations.arrays import same_kind
    >>> attention = same_kind(heedful.attention)
    >>> attention(np.eye(2), np.eye(2), np.eye(2), causal=True).round(2)
    array([[1.  , 0.  ],
           [0.33, 0.67]])
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def converting(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        kind = _Kind(None, "")
        for name, value in given.arguments.items():
            kind = _kind_of(name, value, kind)
        if kind.library is None:
            return function(*args, **kwargs)
        for name, value in given.arguments.items():
            given.arguments[name] = _to_numpy(name, value)
        return _back(function(*given.args, **given.kwargs), kind.library)

    return converting


class _Kind(NamedTuple):
    library: Any  # the module that makes its arrays; None for NumPy
    name: str  # of the argument that decided


def _library(value: Any) -> Any:
    """The namespace of an array that is not NumPy's; None for everything else."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return torch
    if isinstance(value, (np.ndarray, np.generic)) or not hasattr(value, "__array_namespace__"):
        return None
    return value.__array_namespace__()


def _kind_of(name: str, value: Any, kind: _Kind) -> _Kind:
    if isinstance(value, dict):  # of further keyword arguments
        for inner, one in value.items():
            kind = _kind_of(inner, one, kind)
        return kind
    for one in value if isinstance(value, (list, tuple)) else (value,):
        library = _library(one)
        if library is None:
            continue
        if kind.library not in (None, library):
            raise TypeError(
                f"{name} must be an array of the same library as {kind.name}: "
                f"got {library.__name__}, {kind.name} is of {kind.library.__name__}"
            )
        kind = _Kind(library, kind.name or name)
    return kind


def _to_numpy(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _to_numpy(inner, one) for inner, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_numpy(name, one) for one in value)
    library = _library(value)
    if library is None:
        return value
    try:
        return _from_torch(value) if library.__name__ == "torch" else np.asarray(value)
    except ImportError:  # of ml_dtypes
        raise
    except Exception as error:  # each library raises its own
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        raise TypeError(f"{name} must be an array that NumPy can read: {reason}") from None


def _from_torch(tensor: Any) -> np.ndarray[Any, Any]:
    torch = sys.modules["torch"]
    if tensor.requires_grad:
        raise TypeError("it requires a gradient, which would be lost, pass its detach()")
    # NumPy would read the memory of a negated view, without the sign
    tensor = tensor.resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        from ml_dtypes import bfloat16

        halves: np.ndarray[Any, Any] = tensor.view(torch.int16).numpy().view(bfloat16)
        return halves
    array: np.ndarray[Any, Any] = tensor.numpy()
    return array


def _back(result: Any, library: Any) -> Any:
    if isinstance(result, (np.ndarray, np.generic)):
        if library.__name__ != "torch":
            return library.asarray(result)
        if result.dtype.name == "bfloat16":
            return library.from_numpy(result.view(np.int16)).view(library.bfloat16)
        return library.from_numpy(np.asarray(result))
    if isinstance(result, tuple):
        inside = (_back(one, library) for one in result)
        return type(result)(*inside) if hasattr(result, "_fields") else tuple(inside)
    return same_kind(result) if callable(result) else result
