"""checking: in which layer of a model the first number that is not finite arises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.base._types import Array, Backward

if TYPE_CHECKING:
    from heedful.base._calls import Calls
    from heedful.base._module import Module

# While a model is checked its layers have a `compute` of their own, which shadows that of their
# class: a model that is not checked calls nothing of this file. Threads that call the same model
# meanwhile have no check in their context.
_current: ContextVar[_Check | None] = ContextVar("heedful_finite_check", default=None)
_lock = threading.Lock()
_INSTALLED = "_finite_checks"  # how many checks a layer takes part in


class _Check:
    """One forward pass and its backward pass."""

    def __init__(self, model: Calls) -> None:
        self.names: dict[int, str] = {}
        self.layers: list[Module] = []  # each once
        for name, layer in model.named_layers():
            if id(layer) not in self.names:
                self.names[id(layer)] = name or type(model).__name__
                self.layers.append(layer)
        self.around: list[Module] = []  # the layers that are being computed, outermost first
        self.spoilt: set[int] = set()  # parameters whose gradient was not finite before

    def compute(self, layer: Module, original: Callable[..., Any], given: Any, options: Any) -> Any:
        """`original` with its inputs, its result and its backward function checked."""
        name = self.names[id(layer)]
        inputs = [*given[1:], options.get("residual")]
        self.require_finite(inputs, lambda: self._of_inputs(name, "an input"))
        self.around.append(layer)
        try:
            y, back = original(*given, **options)
        finally:
            self.around.pop()
        self.require_finite(_parts(y), lambda: f"{name}: its result" + self._own(layer))

        @wraps(back)
        def backward(*gradients: Any, **named: Any) -> Any:
            if not self.around:
                self.spoilt = {id(one) for layer in self.layers for one in _spoilt(layer)}
            self.require_finite(
                gradients, lambda: self._of_inputs(name, "the gradient of the result")
            )
            self.around.append(layer)
            try:
                found = back(*gradients, **named)
            finally:
                self.around.pop()
            self.require_finite(_parts(found), lambda: f"{name}: the gradient of an input")
            for own_name, own in layer.parameters_here():
                if id(own) not in self.spoilt and own.grad is not None:
                    what = f"{name}: the gradient of {own_name}"
                    self.require_finite([own.grad], lambda: what, items=False)  # noqa: B023 - called at once
            return found

        return y, backward

    def require_finite(self, arrays: Any, where: Callable[[], str], items: bool = True) -> None:
        """A FloatingPointError that names the first number of these that is not finite.

        Where they are of `items`, in the words of a batch of sequences, too.
        """
        for array in arrays:
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
                continue
            if not np.isfinite(array).all():
                raise FloatingPointError(f"{where()} is not finite: {_first(array, items)}")

    def _of_inputs(self, name: str, what: str) -> str:
        """Who made what a layer is given: the layer around it, or the caller."""
        if not self.around:
            return f"{name}: {what} that it is given"
        outer = self.around[-1]
        return f"{self.names[id(outer)]}: {what} that it gives to {name}{self._own(outer)}"

    def _own(self, layer: Module) -> str:
        """Which parameters are the reason."""
        names = [name for name, own in layer.parameters_here() if not np.isfinite(own.value).all()]
        return f", as its {' and '.join(names)}," if names else ""


def _parts(found: Any) -> Any:
    return found if isinstance(found, tuple) else (found,)


def _spoilt(layer: Module) -> list[Any]:
    return [
        own for _, own in layer.parameters_here()
        if own.grad is not None and not np.isfinite(own.grad).all()
    ]  # fmt: skip


def _first(array: Array, items: bool) -> str:
    """Where the first one is."""
    index = tuple(int(place) for place in np.argwhere(~np.isfinite(array))[0])
    words = f"item {index[0]}, " if items and len(index) > 1 else ""
    if items and len(index) == 3:
        words += f"position {index[1]}, "
    return f"{words}{array[index]} at [{', '.join(map(str, index))}] of shape {array.shape}"


@contextmanager
def checking(model: Calls) -> Iterator[None]:
    """Within it, calls of a model on this thread check each layer, and so do their backward passes.

    The first layer whose result is not finite though its inputs are, or whose code gives another
    layer inside such numbers, is named in a FloatingPointError; likewise for gradients.
    """
    check = _Check(model)
    token = _current.set(check)
    with _lock:
        for layer in check.layers:
            _install(layer)
    try:
        yield
    finally:
        _current.reset(token)
        with _lock:
            for layer in check.layers:
                _remove(layer)


def _install(layer: Module) -> None:
    own = vars(layer)
    count, before = own.get(_INSTALLED, (0, own.get("compute")))
    if not count:
        original = layer.compute

        @wraps(original)
        def compute(*given: Any, **options: Any) -> tuple[Any, Backward]:
            check = _current.get()
            if check is None or id(layer) not in check.names:
                return original(*given, **options)
            found: tuple[Any, Backward] = check.compute(layer, original, given, options)
            return found

        own["compute"] = compute
    own[_INSTALLED] = count + 1, before


def _remove(layer: Module) -> None:
    own = vars(layer)
    count, before = own[_INSTALLED]
    if count > 1:
        own[_INSTALLED] = count - 1, before
        return
    del own[_INSTALLED]
    if before is None:
        del own["compute"]
    else:
        own["compute"] = before
