"""Input: where an array enters a functional model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, is_integer, named, size
from heedful.base._types import Array
from heedful.functional._dtypes import finite_cast
from heedful.layers.models.composition._node import Node, Symbol


def Input(
    shape: int | tuple[int | None, ...] | None = None, *, dtype: DTypeLike | None = None,
    name: str | None = None,
) -> Symbol:  # fmt: skip
    """An input of a functional :class:`Model`: layers that are called on it are recorded, not run.

    Parameters
    ----------
    shape : tuple of int and None, optional
        Of one example: without the axis of the batch, as in Keras. None is any length; no shape is
        any number of axes. ``()`` is one number for each example, such as its length.
    dtype : dtype, optional
        Integers, booleans or a floating type: arrays are converted from one floating type to
        another, and refused where they are of another kind. None takes any.
    name : str, optional
        Under which the model takes this input by name, and errors and `summary` show it.

    Returns
    -------
    Symbol
        With the operators and methods of an array: +, −, \\*, /, @, indices, reshape, transpose,
        mean and others, and for :mod:`heedful.layers.steps`.

    Raises
    ------
    ValueError, TypeError
        A length that is not an integer from 1 on, or a dtype that is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Embedding, GlobalAveragePooling, Input, Linear, Model
    >>> tokens = Input((None,), dtype=int)
    >>> h = GlobalAveragePooling()(Embedding(10, 4, rng=0)(tokens))
    >>> model = Model(tokens, Linear(4, 2, rng=0)(h))
    >>> model(np.array([[1, 2, 3], [4, 5, 6]])).shape
    (2, 2)
    """
    if name is not None and not str(name).isidentifier():
        raise ValueError(f"name must be a Python identifier: got {named(name)}")
    return Symbol(Node("input", InputSpec(shape, dtype, name)))


class InputSpec:
    """What an input takes: shape, type, name."""

    def __init__(self, shape: Any, dtype: Any, name: str | None) -> None:
        lengths = (shape,) if is_integer(shape) else shape
        if lengths is not None and not isinstance(lengths, (tuple, list)):
            raise TypeError(f"shape must be a tuple of integers and None: got {named(shape)}")
        self.shape: tuple[int | None, ...] | None = None
        if lengths is not None:
            self.shape = tuple(None if n is None else size("shape", n) for n in lengths)
        try:
            self.dtype = None if dtype is None else np.dtype(dtype)
        except TypeError:
            raise TypeError(f"dtype must be a NumPy type: got {named(dtype)}") from None
        if self.dtype is not None and self.dtype.kind not in "iubf":
            raise TypeError(f"dtype must be integers, booleans or floating: got {self.dtype}")
        self.name = name

    def checked(self, name: str, given: Any) -> Array:
        """The argument as an array of this shape and type."""
        array = as_array(name, given)
        if self.shape is not None:
            fits = array.ndim == 1 + len(self.shape) and all(
                wanted in (None, found)
                for wanted, found in zip(self.shape, array.shape[1:], strict=True)
            )
            if not fits:
                wanted = ", ".join(["batch", *(str(n or "any") for n in self.shape)])
                raise ValueError(f"{name} must have shape ({wanted}): got {array.shape}")
        if self.dtype is None:
            return array
        kinds = {"i": "iu", "u": "iu", "b": "b", "f": "fV"}[self.dtype.kind]
        if array.dtype.kind not in kinds and array.size:
            integral = self.dtype.kind in "iu" and array.dtype.kind == "f"
            if not (self.dtype.kind == "f" and array.dtype.kind in "iub"):
                hint = ": write x.astype(int)" if integral else ""
                raise TypeError(f"{name} must be of {self.dtype}: got {array.dtype}{hint}")
        if self.dtype.kind == "f" and array.dtype != self.dtype:
            return finite_cast(array, self.dtype)
        return array

    def __str__(self) -> str:
        lengths = [] if self.shape is None else ["any" if n is None else str(n) for n in self.shape]
        shown = "any shape" if self.shape is None else f"({', '.join(['batch', *lengths])})"
        return f"Input {shown}" + ("" if self.dtype is None else f" {self.dtype}")
