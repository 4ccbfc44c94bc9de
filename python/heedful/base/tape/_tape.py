"""Tape: records layers and steps while they are computed, and derives their backward function."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from heedful._checks import as_array, named
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter, owner_of
from heedful.base._types import Array, Backward
from heedful.base._watch import asks_for_weights, with_weights
from heedful.base.tape._backward import backward_of
from heedful.base.tape._constants import in_one_type
from heedful.base.tape._gradients import Kinds, Slots
from heedful.base.tape._layer_call import by_position, named_in, no_gradient, with_shared
from heedful.base.tape._record import Record, pull_layer, pull_parameter, pull_step
from heedful.base.tape._step import by_place, found
from heedful.base.tape._taped import Taped
from heedful.base.tape._traced import Recorder, Traced, active, mapped, traced_in

Self = TypeVar("Self", bound="Tape")
_PLAIN = (int, float, str, bool)


class Tape:
    """Records layers and steps within a ``with``, and derives their backward function.

    ::

        def compute(self, mode, x):
            with Tape(self, mode) as tape:
                x = tape.input(x)
                h = self.first(x)               # a layer: called as ever, in this mode
                y = self.second(h) * 0.5 + x    # a step
            return tape.result(y)               # (y, backward)

    A layer that has `call` in place of `compute` does this by itself, see :class:`Layer`.

    Within the ``with`` every call of a layer is recorded, and returns a value of the tape; so is
    every function of :mod:`heedful.layers.steps` one of whose arguments is such a value, and every
    operator. A parameter that is read there is a value of the tape too. Everything else, NumPy's
    functions among it, takes plain arrays only.

    Parameters
    ----------
    layer : Layer
        Whose computation it is: errors name the layers inside.
    mode : Mode
        As `compute` gets it.
    """

    layer: Any
    mode: Mode

    def __init__(self, layer: Any, mode: Mode) -> None:
        self.layer, self.mode = layer, mode
        self._training = mode.training
        self._records: list[Record] = []
        self._kinds: Kinds = []  # of each value
        self._inputs: list[int | None] = []  # their slots; None for one without a gradient
        self._parameters: dict[int, Taped] = {}
        self._token: Token[Recorder | None] | None = None
        self._errstate = np.errstate(all="ignore")
        self._done = False

    def __enter__(self: Self) -> Self:
        if self._done:
            raise _finished()
        self._errstate.__enter__()
        self._token = active.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        assert self._token is not None
        active.reset(self._token)
        self._errstate.__exit__(kind, error, trace)

    # --- values

    def input(self, x: Any, name: str = "x") -> Any:
        """An input, whose gradient the backward function returns, in the order of these calls.

        Floating arrays, and lists of such numbers, become values of the tape, in float32 or
        float64. Integers and booleans, which have no gradient, are returned as plain arrays, and
        anything else, such as None, as it is.
        """
        if isinstance(x, Traced):
            raise TypeError(f"{name} must be an array, not {x.kind}")
        if not isinstance(x, np.ndarray):
            if not is_array_like(x):
                self._inputs.append(None)
                return x
            x = as_array(name, x)
        if x.dtype.kind in "biuOUSMmc":
            self._inputs.append(None)
            return x
        if x.dtype.char not in "fd":
            x = x.astype(np.float32 if x.dtype.itemsize <= 4 else np.float64)
        taped = self._taped(x)
        self._inputs.append(taped.slot)
        return taped

    def parameter(self, own: Parameter) -> Any:
        """A parameter as a value of the tape: its gradient is added to the parameter's."""
        taped = self._parameters.get(id(own))
        if taped is None:
            value = own.value
            if value.dtype.char not in "fd":
                return value  # int8
            taped = self._parameters[id(own)] = self._taped(value)
            if self._training:
                self._records.append((pull_parameter, own, taped.slot))
        return taped

    def _taped(self, value: Array) -> Taped:
        if not self._training:
            return Taped(self, value, 0)
        self._kinds.append((value.shape, value.dtype))
        return Taped(self, value, len(self._kinds) - 1)

    # --- recording

    def call(self, layer: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """The result of a layer, recorded."""
        if self._done:
            raise _finished()
        shared: Any = ()
        if options and any(isinstance(given, Traced) for given in options.values()):
            options, shared = with_shared(layer, options, self._value_of)
            inputs, options = by_position(self.layer, layer, inputs, options)
        plain, slots = self._taken(inputs)
        weights: Any = None
        token = active.set(None)  # what the layer calls inside is its own
        try:
            if "return_weights" in options and asks_for_weights(layer, taken := dict(options)):
                (y, backward), weights = with_weights(
                    layer, lambda *a, **o: layer.computed(self.mode, *a, **o), tuple(plain), taken
                )
            else:
                y, backward = layer.computed(self.mode, *plain, **options)
        except (TypeError, ValueError) as error:
            raise named_in(self.layer, layer, error) from error.__cause__
        finally:
            active.reset(token)
        outputs, outs = self._as_values(y)
        if self._training:
            keeps = type(outs) is tuple and weights is None and "return_weights" in options
            record = (pull_layer, backward, slots, outs, self.layer, layer, keeps, shared)
            self._records.append(record)
        return outputs if weights is None else (outputs, weights)

    def apply(self, step: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """The result of a step, recorded."""
        if self._done:
            raise _finished()
        if options:
            inputs, options = by_place(step, inputs, options)
            for name, given in options.items():
                if isinstance(given, Traced):
                    raise no_gradient(step.__name__, name)
        plain, slots = self._taken(inputs, parameters=True)
        if type(slots[0]) is tuple and not step.several:
            raise TypeError(f"{step.__name__} cannot take a tuple of arrays: choose one, as x[0]")
        if step.one_type:
            plain = in_one_type(plain, slots)
        y, gradient = found(step, plain, options)
        if gradient is None or slots.count(None) == len(slots):
            return y
        outputs, outs = self._as_values(y)
        if self._training:
            self._records.append((pull_step, gradient, slots, outs))
        return outputs

    def _taken(
        self, inputs: tuple[Any, ...], parameters: bool = False
    ) -> tuple[list[Any], list[Slots]]:
        """The arrays of some arguments, and their slots."""
        plain: list[Any] = []
        slots: list[Slots] = []
        for given in inputs:
            if type(given) is Taped and given.recorder is self:
                plain.append(given.value)
                slots.append(given.slot)
                continue
            own = None
            if type(given) is np.ndarray:
                own = self._owned(given) if parameters else None
            elif given is not None and type(given) not in _PLAIN:
                own = self._slots(given)
                given = mapped(given, self._value_of)
            plain.append(given)
            slots.append(own)
        return plain, slots

    def _slots(self, given: Any) -> Slots:
        """The slot of a value, None for a constant, and tuples of them for a tuple."""
        if isinstance(given, Taped):
            return given.slot
        if isinstance(given, (tuple, list)) and any(True for _ in traced_in(given)):
            return tuple([self._slots(inner) for inner in given])
        return None

    def _owned(self, array: Array) -> int | None:
        """The slot of the parameter whose array this is, read before the tape began."""
        own = owner_of(array)
        taped = None if own is None else self.parameter(own)
        return taped.slot if isinstance(taped, Taped) else None

    def _value_of(self, taped: Traced) -> Any:
        if taped.recorder is not self:
            raise ValueError(
                f"values must be of this tape: got {taped.kind}"
                + (" that was made for another computation" if isinstance(taped, Taped) else "")
            )
        return taped.value

    def _as_values(self, y: Any) -> tuple[Any, Slots]:
        """What a computation returns, as values of the tape, and their slots."""
        if isinstance(y, np.floating):
            y = np.asarray(y)  # what NumPy's functions make of arrays without axes
        if type(y) is np.ndarray and y.dtype.char in "fd":
            if not self._training:
                return Taped(self, y, 0), 0
            kinds = self._kinds
            slot = len(kinds)
            kinds.append((y.shape, y.dtype))
            return Taped(self, y, slot), slot
        if isinstance(y, tuple):
            pairs = [self._as_values(part) for part in y]
            parts = [part for part, _ in pairs]
            whole = type(y)(*parts) if hasattr(y, "_fields") else tuple(parts)
            return whole, tuple([slot for _, slot in pairs])
        return y, None

    # --- the result

    def result(self, y: Any) -> tuple[Any, Backward]:
        """(value, backward): of a value of the tape, or of a tuple of them.

        ``backward(dy)``, with a gradient for each of several, adds the gradients of the parameters
        and returns that of the input, or a tuple for several; None for what has no gradient.
        """
        if self._done:
            raise _finished()
        self._done = True
        several = isinstance(y, (tuple, list))
        parts = list(y) if several else [y]
        if not any(isinstance(part, Taped) for part in parts):
            raise TypeError(
                f"{type(self.layer).__name__} must return what its layers and steps computed: "
                f"got {named(y)}"
            )
        values, slots = self._taken(tuple(parts))
        if tuple in map(type, slots):
            raise TypeError(
                f"{type(self.layer).__name__} must return an array or a tuple of arrays: got a "
                "tuple within a tuple"
            )
        value = tuple(values) if several else values[0]
        if not self._training:
            return value, _no_backward
        records, self._records, self._parameters = self._records, [], {}
        return value, backward_of(records, self._kinds, slots, self._inputs)


def is_array_like(given: Any) -> bool:
    return isinstance(given, (np.ndarray, list, tuple)) or hasattr(given, "__array__")


def _no_backward(*_: Any) -> None:
    raise AssertionError("an inference has no backward")


def _finished() -> RuntimeError:
    return RuntimeError("this tape has given its result: make another one")
