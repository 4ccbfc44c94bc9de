"""Graph: the calls that lead from some inputs to some outputs, in order, and how they run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from heedful._checks import listed
from heedful.base.tape._tape import Tape
from heedful.base.tape._traced import STEPS, Traced, mapped
from heedful.layers.models.composition._node import Node, Symbol

# steps whose results are those of their argument
_PASSES_ON = ("reshape", "transpose", "swapaxes", "expand_dims", "squeeze", "index", "broadcast_to")


class Place(Traced):
    """The number of the call whose result an argument is."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> int:
        return self.number

    def __setstate__(self, state: int) -> None:
        self.number = state


class Call:
    """One call: of the layer of this name, or of this step."""

    def __init__(self, name: str, node: Node, inputs: tuple[Any, ...], options: Any) -> None:
        self.name, self.inputs, self.options = name, inputs, options
        self.layer = node.target if node.kind == "layer" else None
        self.step: str | None = node.target.__name__ if node.kind == "step" else None

    def run(self, tape: Tape, values: list[Any]) -> Any:
        inputs = tuple([
            values[given.number] if type(given) is Place else _filled(given, values)
            for given in self.inputs
        ])  # fmt: skip
        options = self.options
        if options:
            options = {name: _filled(given, values) for name, given in options.items()}
        if self.layer is not None:
            return tape.call(self.layer, inputs, options)
        assert self.step is not None
        if self.step == "index" and isinstance(inputs[0], tuple):  # of several results
            return inputs[0][inputs[1]]
        try:
            return tape.apply(STEPS[self.step], inputs, options)
        except (TypeError, ValueError) as error:
            if type(error) in (TypeError, ValueError):
                error.args = (f"{self.name}: {error}",)
            raise


def _filled(given: Any, values: list[Any]) -> Any:
    """An argument with the values in their places."""
    return mapped(given, lambda place: values[place.number])


class Graph:
    """The calls of a functional model.

    inputs : what each input takes; their results are the first of all
    calls : the others, each after those whose results it takes
    outputs : the numbers of the outputs' calls
    """

    def __init__(self, inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> None:
        given = {id(symbol.node): number for number, symbol in enumerate(inputs)}
        nodes = _between(given, inputs, outputs)
        numbers = given | {id(node): len(given) + place for place, node in enumerate(nodes)}

        def place(symbol: Any) -> Place:
            return Place(numbers[id(symbol.node)])

        self.inputs = [symbol.node.target if symbol.node.kind == "input" else None
                       for symbol in inputs]  # fmt: skip
        self.calls = [
            Call("", node, tuple(mapped(one, place) for one in node.inputs),
                 {name: mapped(one, place) for name, one in node.options.items()})
            for node in nodes
        ]  # fmt: skip
        self.outputs = [numbers[id(symbol.node)] for symbol in outputs]

    def run(self, tape: Tape, given: Sequence[Any]) -> list[Any]:
        values = list(given)
        for call in self.calls:
            values.append(call.run(tape, values))
        return [values[number] for number in self.outputs]

    def ends_in(self, before: str | None) -> str | None:
        """The output activation of the first output, see :meth:`Layer.ends_in`."""
        found: list[str | None] = [before] * len(self.inputs)
        for call in self.calls:
            first = call.inputs[0] if call.inputs else None
            inner = found[first.number] if isinstance(first, Place) else None
            if call.layer is not None:
                found.append(call.layer.ends_in(inner))
            elif call.step in _PASSES_ON:
                found.append(inner)
            else:
                found.append(call.step if call.step in ("sigmoid", "softmax") else None)
        return found[self.outputs[0]]


def _between(
    given: dict[int, int], inputs: Sequence[Symbol], outputs: Sequence[Symbol]
) -> list[Node]:
    """The calls that lead from the inputs to the outputs, in order; what is wrong is an error."""
    found: dict[int, Node] = {}
    used: set[int] = set()
    waiting = [symbol.node for symbol in outputs]
    while waiting:
        node = waiting.pop()
        if id(node) in given:
            used.add(id(node))
            continue
        if id(node) in found:
            continue
        if node.kind == "input":
            raise ValueError(
                f"inputs must have all that the outputs depend on: {_shown(node)} is missing"
            )
        found[id(node)] = node
        waiting += [symbol.node for symbol in node.symbols()]
    unused = [_shown(symbol.node) for symbol in inputs if id(symbol.node) not in used]
    if unused:
        raise ValueError(
            f"inputs must be used by the outputs: {listed(unused)} "
            f"{'is' if len(unused) == 1 else 'are'} not"
        )
    return sorted(found.values(), key=lambda node: node.serial)


def _shown(node: Node) -> str:
    if node.kind == "input":
        return repr(node.target.name) if node.target.name else f"an {node.target}"
    return f"the result of {getattr(node.target, '__name__', type(node.target).__name__)}"


def snake_case(name: str) -> str:
    """Keras's name of a layer of this class: multi_head_attention of MultiHeadAttention."""
    split = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", split).lower()


def numbered(name: str, taken: set[str]) -> str:
    """The name, or name_1, name_2, … where it is taken."""
    found, number = name, 0
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
