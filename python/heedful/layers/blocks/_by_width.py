"""ByWidth: a layer that takes the width of its parameters from its first x."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Generic, TypeVar

from numpy.typing import DTypeLike

from heedful.base._tree import dotted
from heedful.base._types import Array
from heedful.layers._trainable_layer import Layer
from heedful.layers._typed import Typed

Kind = TypeVar("Kind", bound=Layer)


class _Building:
    """One lock for all layers: a layer with a lock of its own could not be copied."""

    lock = Lock()

    @classmethod
    def renew(cls) -> None:
        cls.lock = Lock()


if hasattr(os, "register_at_fork"):  # another thread of the parent may have held it
    os.register_at_fork(after_in_child=_Building.renew)


class ByWidth(Typed, Generic[Kind]):
    """A layer around another one, which is created at the first call or when a state is loaded.

    place : the attribute of the inner layer, None until then
    shapes : of its parameters by name; None for an axis of the width of x
    """

    place: str

    def __init__(self, dtype: DTypeLike, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        super().__init__(dtype)
        self.shapes: dict[str, tuple[int | None, ...]] = dict(shapes)
        self.awaited = {f"{self.place}.{name}": True for name in shapes}
        setattr(self, self.place, None)

    def make(self, width: int) -> Kind:
        """The inner layer for x of this width."""
        raise NotImplementedError

    def inner(self, x: Array) -> Kind:
        """The inner layer, created for this x if there is none yet."""
        found: Kind | None = getattr(self, self.place)
        return self.build(x.shape[-1]) if found is None else found

    def build(self, width: int) -> Kind:
        """Creates the inner layer, unless another thread already did."""
        with _Building.lock:
            found: Kind | None = getattr(self, self.place)
            if found is not None:
                return found
            made = self.make(width)
            for name, trainable in self.awaited.items():
                made.parameter(name.removeprefix(f"{self.place}.")).trainable = trainable
            setattr(self, self.place, made)
            self.awaited: dict[str, bool] = {}
            return made

    def builder(self, name: str, arrays: Mapping[str, Array]) -> Callable[[], object]:
        widths: set[int] = set()
        for inside, shape in self.shapes.items():
            array = arrays.get(f"{self.place}.{inside}")
            if array is None:
                continue
            whole = dotted(name, self.place, inside)
            fits = len(shape) == array.ndim and all(
                size in (None, own) for size, own in zip(shape, array.shape, strict=True)
            )
            if not fits or not array.size:
                shown = str(shape).replace("None", "width")
                raise ValueError(f"{whole} must have shape {shown}: got {array.shape}")
            widths.update(own for size, own in zip(shape, array.shape, strict=True) if size is None)
        if len(widths) > 1:
            raise ValueError(f"the arrays of {name} must be of one width: got {sorted(widths)}")
        if not widths:
            wide = [key for key, shape in self.shapes.items() if None in shape]
            raise ValueError(
                f"{' and '.join(dotted(name, given) for given in arrays)} cannot be loaded without "
                f"{dotted(name, self.place, wide[0])}: call the model once first"
            )
        (width,) = widths
        return lambda: self.build(width)

    def extra_repr(self) -> str:
        return "" if getattr(self, self.place) is not None else "unbuilt"


def check_rows(x: Array) -> None:
    """Require a row of features for each example: N numbers would be taken as one row."""
    if x.ndim < 2:
        raise ValueError(
            f"x must be (…, width), a row of features for each example: got {x.shape}; for "
            "one feature of N examples write x[:, None], for one example x[None]"
        )


def unbuilt_or(layer: ByWidth[Any], shown: str) -> str:
    """The representation of a layer, with its build state."""
    return ", ".join(part for part in (shown, ByWidth.extra_repr(layer)) if part)
