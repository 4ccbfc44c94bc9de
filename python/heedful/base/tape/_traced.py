"""Traced: a value that stands for an array while a computation is recorded, with its operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

Operator: TypeAlias = Callable[[Any, Any], Any]


class Recorder(Protocol):
    """What records calls of layers, and steps: a tape, or the functional form."""

    def call(self, layer: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Any: ...
    def apply(self, step: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Any: ...
    def parameter(self, own: Any) -> Any: ...


# every step by its name: see heedful.base.tape._step
STEPS: dict[str, Callable[..., Any]] = {}

# of the thread that is within the `with` of a tape; not within a layer that the tape calls
active: ContextVar[Recorder | None] = ContextVar("heedful_tape", default=None)

# numpy cannot tell array + value from numpy.add(array, value): both are the step
_OPERATORS = {
    np.add: "add", np.subtract: "subtract", np.multiply: "multiply", np.true_divide: "divide",
    np.negative: "negative", np.power: "power", np.matmul: "matmul", np.greater: "greater",
    np.greater_equal: "greater_equal", np.less: "less", np.less_equal: "less_equal",
    np.equal: "equal", np.not_equal: "not_equal",
}  # fmt: skip
# NumPy's names of steps that have another name
_NAMES = {
    "amax": "max", "absolute": "abs", "take": "x[indices]", "where": "where", "dot": "matmul",
    "moveaxis": "transpose", "hstack": "concatenate", "vstack": "concatenate", "ravel": "reshape",
    "array_split": "split", "square": "x * x", "einsum": "matmul", "average": "mean",
}  # fmt: skip


def _operator(name: str) -> Operator:
    def call(self: Any, other: Any) -> Any:
        return STEPS[name](self, other)

    return call


def _reflected(name: str) -> Operator:
    def call(self: Any, other: Any) -> Any:
        return STEPS[name](other, self)

    return call


class Traced:
    """The operators and methods of an array, each of which is recorded as a step."""

    __slots__ = ()

    recorder: Recorder
    kind = "a recorded value"

    __add__: Operator = _operator("add")
    __radd__: Operator = _reflected("add")
    __sub__: Operator = _operator("subtract")
    __rsub__: Operator = _reflected("subtract")
    __mul__: Operator = _operator("multiply")
    __rmul__: Operator = _reflected("multiply")
    __truediv__: Operator = _operator("divide")
    __rtruediv__: Operator = _reflected("divide")
    __matmul__: Operator = _operator("matmul")
    __rmatmul__: Operator = _reflected("matmul")
    __pow__: Operator = _operator("power")
    __gt__: Operator = _operator("greater")
    __ge__: Operator = _operator("greater_equal")
    __lt__: Operator = _operator("less")
    __le__: Operator = _operator("less_equal")
    __eq__: Operator = _operator("equal")
    __ne__: Operator = _operator("not_equal")
    __hash__: ClassVar[Callable[..., int]] = object.__hash__

    def __neg__(self) -> Any:
        return STEPS["negative"](self)

    def __getitem__(self, key: Any) -> Any:
        return STEPS["index"](self, key)

    def reshape(self, *shape: Any) -> Any:
        return STEPS["reshape"](self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        """Without axes all in reverse order."""
        chosen = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return STEPS["transpose"](self, chosen or None)

    def swapaxes(self, one: int, other: int) -> Any:
        return STEPS["swapaxes"](self, one, other)

    def squeeze(self, axis: Any = None) -> Any:
        return STEPS["squeeze"](self, axis)

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        return STEPS["sum"](self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        return STEPS["mean"](self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        return STEPS["max"](self, axis=axis, keepdims=keepdims)

    @property
    def T(self) -> Any:
        return STEPS["transpose"](self, None)

    @property
    def mT(self) -> Any:
        return STEPS["swapaxes"](self, -1, -2)

    # --- what would lose the record

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{self.kind} has no {name!r}: the functions of heedful.layers.steps take it"
        )

    def __bool__(self) -> bool:
        raise TypeError(f"{self.kind} is neither true nor false: write x is None, or use its shape")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"{self.kind} is not an array: call layers and the functions of heedful.layers.steps "
            "on it, or steps.stop_gradient(x) for a constant"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        name = _OPERATORS.get(ufunc)
        if name is not None and method == "__call__" and not options:
            return STEPS[name](*inputs)
        raise self._refused(
            ufunc.__name__ if method == "__call__" else ufunc.__name__ + "." + method
        )

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise self._refused(function.__name__)

    def _refused(self, name: str) -> TypeError:
        step = _NAMES.get(name, name)
        hint = f"write {step}"
        if step in STEPS:
            hint = f"write steps.{step}, of heedful.layers"
        elif step == name:
            hint = "write it with the functions of heedful.layers.steps, or steps.stop_gradient(x)"
        return TypeError(f"numpy.{name} does not take {self.kind}: {hint}")


_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def recorder_of(
    inputs: tuple[Any, ...], options: Mapping[str, Any] = _NO_OPTIONS
) -> Recorder | None:
    """What records a call with these arguments: the active tape, else that of a traced argument."""
    found = active.get()
    if found is not None:
        return found
    for given in inputs:
        if type(given) is np.ndarray:  # as nearly always: this is on the way of every call
            continue
        if isinstance(given, Traced):
            return given.recorder
        if type(given) is tuple or type(given) is list:
            for inner in traced_in(given):
                return inner.recorder
    if options:
        for given in options.values():
            if isinstance(given, Traced):
                return given.recorder
    return None


def traced_in(given: Any) -> Iterator[Traced]:
    """The traced values in an argument: itself, or in a tuple or list whose first item has one."""
    if isinstance(given, Traced):
        yield given
    elif isinstance(given, tuple) or (isinstance(given, list) and _begins_traced(given)):
        for inner in given:
            yield from traced_in(inner)


def _begins_traced(given: list[Any]) -> bool:
    # lists of numbers may be long
    return bool(given) and isinstance(given[0], (Traced, np.ndarray, tuple, list))


def mapped(given: Any, change: Callable[[Any], Any]) -> Any:
    """An argument with `change` applied to each of its traced values."""
    if isinstance(given, Traced):
        return change(given)
    if type(given) is tuple:
        return tuple(mapped(inner, change) for inner in given)
    if type(given) is list and _begins_traced(given):
        return [mapped(inner, change) for inner in given]
    if type(given) is slice:
        return slice(*(mapped(part, change) for part in (given.start, given.stop, given.step)))
    return given
