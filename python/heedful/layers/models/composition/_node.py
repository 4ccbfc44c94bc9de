"""Node: one call in a functional model, and Symbol: its result, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from itertools import count
from typing import Any

import numpy as np

from heedful.base._parameter import owner_of
from heedful.base.tape._traced import Recorder, Traced, traced_in

_serials = count()


class Node:
    """A call of a layer or of a step, or an input.

    target : the layer, the step, or the `InputSpec` of an input
    kind : "layer", "step" or "input"
    inputs, options : its arguments, with symbols among them
    serial : the calls' order, in which every argument stands before what is computed from it
    outputs : number of results, None if it is one, or not known
    """

    inputs: tuple[Any, ...]
    kind: str
    options: dict[str, Any]
    outputs: int | None
    target: Any

    __slots__ = ("inputs", "kind", "options", "outputs", "serial", "target")

    def __init__(
        self, kind: str, target: Any, inputs: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None, outputs: int | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.target, self.outputs = kind, target, outputs
        self.inputs, self.options = inputs, dict(options or {})
        self.serial: int = next(_serials)

    def symbols(self) -> Iterator[Symbol]:
        for given in (*self.inputs, *self.options.values()):
            yield from symbols_in(given)


class Symbol(Traced):
    """What a layer or a step will compute: layers, steps and operators on it are recorded.

    It has no value, and but for an :class:`Input` no shape: both are there when the model runs.
    """

    __slots__ = ("node", "recorder")
    kind = "a symbolic value"

    def __init__(self, node: Node) -> None:
        self.node: Node = node
        self.recorder: Recorder = FUNCTIONAL

    def __getattr__(self, name: str) -> Any:
        if name != "shape":
            return super().__getattr__(name)
        if self.node.kind == "input" and self.node.target.shape is not None:
            return (None, *self.node.target.shape)
        raise AttributeError(
            "the shape of a symbolic value is not known before the model runs: write −1 for one "
            "length of a new shape, or a layer with call, where shapes are known"
        )

    def __iter__(self) -> Iterator[Symbol]:
        if self.node.outputs is None:
            raise TypeError(
                "the number of results of a symbolic value is not known before the model runs: "
                "write y[0], y[1]"
            )
        return (self[number] for number in range(self.node.outputs))

    def __deepcopy__(self, memo: Any) -> Symbol:
        return self

    def __repr__(self) -> str:
        target = self.node.target
        name = {"layer": type(target).__name__, "step": getattr(target, "__name__", "")}
        return f"Symbol({name.get(self.node.kind) or target})"


class Functional:
    """Records calls on symbols as nodes."""

    def call(self, layer: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Symbol:
        for given in (*inputs, *options.values()):
            _check(given)
        return Symbol(Node("layer", layer, inputs, options, layer.output_count(options)))

    def apply(self, step: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Symbol:
        for given in (*inputs, *options.values()):
            _check(given)
        outputs = None
        if step.__name__ == "split":
            parts = inputs[1] if len(inputs) > 1 else options.get("parts")
            if isinstance(parts, (int, np.integer)):
                outputs = int(parts)
            elif isinstance(parts, Sized):  # anything else is an error when the model runs
                outputs = len(parts)
        elif options.get("return_weights") is True or options.get("return_lse") is True:
            outputs = 1 + sum(options.get(f"return_{word}") is True for word in ("weights", "lse"))
        return Symbol(Node("step", step, inputs, options, outputs))

    def parameter(self, own: Any) -> Any:  # read by value, outside any tape
        return own.value


FUNCTIONAL = Functional()


def symbols_in(given: Any) -> Iterator[Symbol]:
    """The symbols in an argument, those in a slice or an index among them."""
    if isinstance(given, slice):
        for part in (given.start, given.stop, given.step):
            yield from symbols_in(part)
        return
    if isinstance(given, (tuple, list)):
        for inner in traced_in(given):
            if isinstance(inner, Symbol):
                yield inner
    elif isinstance(given, Symbol):
        yield given


def _check(given: Any) -> None:
    """Reject values of a tape, and a parameter, which would be a constant in the model."""
    for inner in traced_in(given):
        if not isinstance(inner, Symbol):
            raise TypeError(f"a symbolic value must not be combined with {inner.kind}")
    if isinstance(given, np.ndarray):
        base = given.base
        if owner_of(given) is not None or (base is not None and owner_of(base) is not None):
            raise TypeError(
                "a parameter must be read where it is used: write a layer with call for what "
                "computes with it, and call that layer"
            )
