"""Recurrent: stacked layers whose state is passed from step to step, in one direction or both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, named, probability, size
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._sums import plus
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._initial import kaiming
from heedful.layers.blocks._int8 import int8_shown, narrow_product, narrow_rows, refuse_training
from heedful.layers.blocks._weight_gradients import add_gradients
from heedful.layers.blocks.recurrent._packed import Packed

States: TypeAlias = tuple[Array, ...]  # (B, H) each: h, and of LSTM c
# dy (rows, H) and the gradients of the last states, overwritten → the gradients of the gates' sums,
# those over the inputs and those over the state, these as parts side by side; the states' are those
# of the first ones then
StepsBackward: TypeAlias = Callable[[Array, States], tuple[Array, list[Array]]]


class Recurrent(Typed):
    """What GRU and LSTM share: parameters, layers, directions, lengths and states.

    The products of all inputs are computed in one call; a step multiplies the state alone.
    """

    gates: ClassVar[int]  # how many gates there are
    names: ClassVar[tuple[str, ...]]  # of the states

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, dropout: float,
        bidirectional: bool, dtype: DTypeLike, rng: Rng,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.input_size: int = size("input_size", input_size)
        self.hidden_size: int = size("hidden_size", hidden_size)
        self.num_layers: int = size("num_layers", num_layers)
        self.bidirectional: bool = flag("bidirectional", bidirectional)
        self.dropout: Dropout = Dropout(probability("dropout", dropout), dtype=dtype)
        rng, bias = generator(rng), flag("bias", bias)
        rows = self.gates * self.hidden_size
        for index, suffix in self._directions():
            width = self.input_size if index == 0 else self._width
            for name, shape in (
                ("weight_ih", (rows, width)),
                ("weight_hh", (rows, self.hidden_size)),
                ("bias_ih", (rows,)),
                ("bias_hh", (rows,)),
            ):
                given = not name.startswith("bias") or bias
                first = kaiming(rng, shape, self.hidden_size, self.dtype) if given else None
                setattr(self, name + suffix, None if first is None else Parameter(first))

    @property
    def _width(self) -> int:
        """Of y."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    def _directions(self) -> Iterator[tuple[int, str]]:
        """Each layer and direction: the layer's index, and the end of its parameters' names."""
        for layer in range(self.num_layers):
            yield layer, f"_l{layer}"
            if self.bidirectional:
                yield layer, f"_l{layer}_reverse"

    def run(
        self, mode: Mode, x: Any, given: tuple[Any, ...], lengths: Any, return_state: Any
    ) -> tuple[Any, Backward]:
        """What compute returns, of states or None."""
        refuse_training(mode, self.own_parameters())
        x = self.array("x", x, self.input_size)
        if x.ndim < 2:
            raise ValueError(f"x must have positions and features as axes: got shape {x.shape}")
        batch, returns = x.shape[:-2], flag("return_state", return_state)
        states = self._states(batch, given)
        packed = Packed.of(x.shape[:-1], lengths)
        rows = packed.pack(x.reshape(*packed.shape, self.input_size))
        y, lasts, back = self._layers(mode, packed, rows, [packed.sort(one) for one in states])
        out = packed.unpack(y).reshape(*x.shape[:-1], self._width)
        shape, out_shape = x.shape, out.shape
        state_shape = (*batch, states[0].shape[1], self.hidden_size)

        def backward(dy: Any, *dstates: Any) -> Any:
            dy = self.gradient(dy, out_shape).reshape(*packed.shape, self._width)
            dlasts = []
            for name, gradient in zip(self.names, dstates or (None,) * len(states), strict=True):
                if gradient is None:
                    dlasts.append(np.zeros(states[0].shape, self.dtype))
                    continue
                array = self.array(f"d{name}", gradient)
                if array.shape != state_shape:
                    raise ValueError(f"d{name} must have shape {state_shape}: got {array.shape}")
                dlasts.append(packed.sort(array.reshape(states[0].shape)))
            dx, dfirsts = back(packed.pack(dy), dlasts)
            dx = packed.unpack(dx).reshape(shape)
            if all(one is None for one in given):
                return dx
            return dx, *(packed.unsort(one).reshape(state_shape) for one in dfirsts)

        if not returns:
            return out, lambda dy: backward(dy)
        return (out, *(packed.unsort(one).reshape(state_shape) for one in lasts)), (
            self.named_backward(backward)
        )

    def named_backward(self, backward: Backward) -> Backward:
        """With the gradients of the states under their names."""
        raise NotImplementedError

    def _states(self, batch: tuple[int, ...], given: tuple[Any, ...]) -> list[Array]:
        """The first states, each (B, layers · directions, H); 0 where None are given."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        shape = (*batch, count, self.hidden_size)
        flat = (int(np.prod(batch)), count, self.hidden_size)
        found: list[Array] = []
        for name, one in zip(self.names, given, strict=True):
            if one is None:
                found.append(np.zeros(flat, self.dtype))
                continue
            if isinstance(one, tuple):
                raise TypeError(
                    f"{name} must be an array, write {', '.join(self.names)} one after the other: "
                    f"got {named(one)}"
                )
            array = self.array(name, one)
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}: got {array.shape}")
            found.append(array.reshape(flat))
        return found

    def _layers(
        self, mode: Mode, packed: Packed, rows: Array, states: list[Array]
    ) -> tuple[Array, list[Array], Callable[[Array, list[Array]], tuple[Array, list[Array]]]]:
        """y (rows, width), the last states (B, layers · directions, H), and the backward pass."""
        lasts = [np.empty_like(one) for one in states]
        backs: list[tuple[Backward, list[Backward]]] = []  # of each layer
        for layer in range(self.num_layers):
            rows, drop = self.dropout.compute(mode, rows) if layer else (rows, _same)
            y, directions = empty((packed.rows, self._width), self.dtype), []
            for half, (place, suffix) in enumerate(self._places(layer)):
                first = tuple(np.ascontiguousarray(one[:, place]) for one in states)
                own = y[:, half * self.hidden_size : (half + 1) * self.hidden_size]
                last, back = self._direction(packed, rows, first, suffix, own)
                for array, one in zip(lasts, last, strict=True):
                    array[:, place] = one
                directions.append(back)
            rows = y
            backs.append((drop, directions))

        def backward(dy: Array, dlasts: list[Array]) -> tuple[Array, list[Array]]:
            dfirsts = [np.empty_like(one) for one in dlasts]
            for layer in reversed(range(self.num_layers)):
                drop, directions = backs.pop()
                total: Array | None = None
                for half, (place, _) in reversed(list(enumerate(self._places(layer)))):
                    own = dy[:, half * self.hidden_size : (half + 1) * self.hidden_size]
                    dstates = tuple(one[:, place].copy() for one in dlasts)
                    dx = directions.pop()(own, dstates)
                    for array, one in zip(dfirsts, dstates, strict=True):
                        array[:, place] = one
                    total = dx if total is None else plus(total, dx, out=total)
                dy = drop(total)
            return dy, dfirsts

        return rows, lasts, backward

    def _places(self, layer: int) -> list[tuple[int, str]]:
        """Of each direction of a layer: its place in the states, and the end of its names."""
        found = enumerate(self._directions())
        return [(place, suffix) for place, (own, suffix) in found if own == layer]

    def _direction(
        self, packed: Packed, rows: Array, first: States, suffix: str, y: Array
    ) -> tuple[States, Callable[[Array, States], Array]]:
        """One layer in one direction, which writes y (rows, H): the last states, and backward.

        ``backward(dy, dstates)`` returns the gradient of the rows; dstates, of the last states,
        become those of the first ones.
        """
        names = [f"{kind}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        shape = (self.gates * self.hidden_size,)
        values = [self.optional(name, shape) for name in names[2:]]
        weight, inner, *biases = (self.own_parameters().get(name) for name in names)
        assert weight is not None
        assert inner is not None
        reverse = suffix.endswith("_reverse")
        gates = empty((packed.rows, *shape), self.dtype)
        if isinstance(weight, NarrowParameter):
            narrow_product(rows, weight, slice(None), values[0], None, "", gates)
        else:
            native.linear_forward(rows, weight.value, values[0], None, "", None, gates)
        # the states are not quantised, whatever the weight is
        own = narrow_rows(inner) if isinstance(inner, NarrowParameter) else (inner.value, None)
        lasts, back = self.steps(packed, reverse, gates, *own, values[1], first, y)

        def backward(dy: Array, dstates: States) -> Array:
            dgates, parts = back(dy, dstates)
            _add_gradients(weight, biases[0], dgates, 0, rows)
            for some, before in packed.before(first[0], y, reverse):
                begin = 0
                for part in parts:
                    _add_gradients(inner, biases[1], part[some], begin, before)
                    begin += part.shape[1]
            dx = empty(rows.shape, rows.dtype)
            native.linear_gradient_input(dgates, weight.value, dx, False)
            return dx

        return lasts, backward

    def steps(
        self, packed: Packed, reverse: bool, gates: Array, weight: Array, scale: Array | None,
        bias: Array | None, first: States, y: Array,
    ) -> tuple[States, StepsBackward]:  # fmt: skip
        """The steps of one direction: the last states, and their backward pass.

        `gates` are the products of the inputs and are overwritten, y (rows, H) is written. `scale`
        is of the rows of an int8 weight.
        """
        raise NotImplementedError

    def weight_names(self) -> tuple[str, ...]:
        return tuple(name for name in self.own_parameters() if name.startswith("weight_"))

    def output_count(self, options: Mapping[str, Any]) -> int | None:
        return 1 + len(self.names) if options.get("return_state") is True else None

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers > 1:
            shown += f", num_layers={self.num_layers}"
        bias = getattr(self, "bias_ih_l0", None)
        shown += "" if bias is not None else ", bias=False"
        shown += ", bidirectional=True" if self.bidirectional else ""
        return shown + int8_shown(self.own_parameters().values())


def _same(dy: Array) -> Array:
    return dy


def _add_gradients(
    weight: Parameter, bias: Parameter | None, dy: Array, begin: int, rows: Array
) -> None:
    """dW += dyᵀ x, db += Σ dy, of the rows of W from `begin` on."""
    part = slice(begin, begin + dy.shape[1])
    dweight, dbias = weight.buffer(), None if bias is None else bias.buffer()
    add_gradients(
        dy, rows, None if dweight is None else dweight[part], None if dbias is None else dbias[part]
    )
