"""Model: layers called one on another, as a layer; Keras's functional form."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter as Argument
from inspect import Signature
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._mode import Mode
from heedful.base._module import Module
from heedful.base._summary import table
from heedful.base._types import Backward
from heedful.base.tape._tape import Tape
from heedful.layers._trainable_layer import Layer
from heedful.layers.models.composition._graph import Graph, numbered, snake_case
from heedful.layers.models.composition._graph_text import graph_text
from heedful.layers.models.composition._node import Symbol


class Model(Layer):
    """The layers that lead from inputs to outputs, as one layer; its backward pass is derived.

    ::

        query, passage = Input((None,), dtype=int), Input((None,), dtype=int)
        tower = Sequential(Embedding(1000, 64), GlobalAveragePooling())
        score = (tower(query) * tower(passage)).sum(axis=-1)     # a layer may be called twice
        model = Model((query, passage), score)

    A subclass may have `call` instead and give neither inputs nor outputs, as in Keras; so may any
    :class:`Layer`.

    Parameters
    ----------
    inputs : Input, or a tuple or list of them, or a dict of them by name
        In the order in which the model takes them, by position or by name. A result of a layer is
        allowed too: the model then begins there.
    outputs : symbolic value, or a tuple or list of them
        The model returns an array, or a tuple of them.
    layers : dict of str to Layer, optional
        Names of layers. The others have Keras's: the class's in lower case, such as
        ``multi_head_attention``, with ``_1``, ``_2`` in the order of their first calls.

    Attributes
    ----------
    layers : dict of str to Layer
        All layers by name; each is an attribute of the model too, and names parameters:
        ``model.dense``, "dense.weight".
    input_names : list of str

    Raises
    ------
    ValueError
        Inputs that no output depends on, or that are missing; a name that a layer cannot have.
    TypeError
        Inputs or outputs that are not symbolic.

    Notes
    -----
    A model can be copied and pickled, trained with `fit`, where x is a tuple of the inputs or a
    dict by name, watched and frozen like any layer. Its graph is the one at the time of its making:
    layers called later on its inputs are not part of it.

    Computes in the dtype of each layer; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Embedding, Input, Linear, Model
    >>> user, item = Input((), dtype=int, name="user"), Input((), dtype=int, name="item")
    >>> score = (Embedding(10, 4, rng=0)(user) * Embedding(20, 4, rng=1)(item)).sum(axis=-1)
    >>> model = Model((user, item), score)
    >>> model(user=np.array([1, 2]), item=np.array([3, 4])).shape
    (2,)
    >>> list(model.parameters())
    ['embedding.weight', 'embedding_1.weight']
    """

    _graph: Graph | None = None
    input_names: list[str]

    def __init__(
        self, inputs: Any = None, outputs: Any = None, *, layers: Mapping[str, Layer] | None = None
    ) -> None:
        if inputs is None and outputs is None and hasattr(type(self), "call"):
            return
        by_name = dict(inputs) if isinstance(inputs, Mapping) else {}
        given = _symbols("inputs", list(by_name.values()) if by_name else inputs)
        self._several = isinstance(outputs, (tuple, list))
        graph = Graph(given, _symbols("outputs", outputs))
        self.input_names = _input_names(list(by_name), graph)
        self._name_layers(graph, dict(layers or {}))
        self._graph = graph

    def _name_layers(self, graph: Graph, chosen: dict[str, Layer]) -> None:
        inside = {id(call.layer): call.layer for call in graph.calls if call.layer is not None}
        names: dict[int, str] = {}
        for name, layer in chosen.items():
            if id(layer) not in inside:
                raise ValueError(f"layers must be called between inputs and outputs: {name} is not")
            if not str(name).isidentifier() or hasattr(type(self), name):
                raise ValueError(f"layers must have names that are free: got {named(name)}")
            names[id(layer)] = name
        taken = set(dir(type(self))) | {"input_names", "_several"} | set(chosen)
        steps: set[str] = set()
        for call in graph.calls:
            if call.layer is None:
                call.name = numbered(call.step or "", steps)
                continue
            key = id(call.layer)
            if key not in names:
                names[key] = numbered(snake_case(type(call.layer).__name__), taken)
            call.name = names[key]
        for key, layer in inside.items():
            setattr(self, names[key], layer)

    @property
    def layers(self) -> dict[str, Module]:
        """All layers inside, by name."""
        return dict(self.layers_inside())

    def compute(self, mode: Mode, *inputs: Any, **options: Any) -> tuple[Any, Backward]:
        """The inputs, by position or by name, or in one dict or list → the output, or a tuple of
        the outputs."""
        graph = self._graph
        if graph is None:
            return super().compute(mode, *inputs, **options)
        if options or len(inputs) != len(graph.inputs):
            inputs = self._bound(inputs, options)
        with Tape(self, mode) as tape:
            given = []
            for name, spec, x in zip(self.input_names, graph.inputs, inputs, strict=True):
                given.append(tape.input(x if spec is None else spec.checked(name, x), name))
            found = graph.run(tape, given)
        return tape.result(tuple(found) if self._several else found[0])

    def _bound(self, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> tuple[Any, ...]:
        if len(inputs) == 1 and not options:  # a dict or a list of the inputs, as in Keras
            [given] = inputs
            if isinstance(given, Mapping):
                inputs, options = (), given
            elif isinstance(given, (list, tuple)) and len(given) == len(self.input_names):
                inputs = tuple(given)
        return self.call_signature().bind(*inputs, **options).args

    def call_signature(self) -> Signature:
        if self._graph is None:
            return super().call_signature()
        kind = Argument.POSITIONAL_OR_KEYWORD
        return Signature([Argument(name, kind) for name in self.input_names])

    def output_count(self, options: Mapping[str, Any]) -> int | None:
        if self._graph is None or not self._several:
            return super().output_count(options)
        return len(self._graph.outputs)

    def ends_in(self, before: str | None) -> str | None:
        if self._graph is None or self._several:
            return None
        return self._graph.ends_in(before)

    def summary(self) -> None:
        """Prints a table of all layers with their parameters, and the calls that lead from the
        inputs to the outputs."""
        print(table(self))
        if self._graph is not None:
            print(graph_text(self._graph, self.input_names))


def _symbols(name: str, given: Any) -> list[Symbol]:
    found = list(given) if isinstance(given, (tuple, list)) else [given]
    for one in found:
        if not isinstance(one, Symbol):
            shown = "an array" if isinstance(one, np.ndarray) else named(one)
            raise TypeError(
                f"{name} must be symbolic: an Input, or what layers return on one: got {shown}"
            )
    if not found:
        raise ValueError(f"{name} must be at least one: got none")
    if name == "inputs" and len({id(one.node) for one in found}) < len(found):
        raise ValueError("inputs must be different: got one twice")
    return found


def _input_names(keys: list[str], graph: Graph) -> list[str]:
    """The keys of a dict, the names of the inputs, or x, and x_1, x_2, … for several."""
    taken: set[str] = set()
    given: list[Any] = list(keys)
    if not keys:
        given = [None if spec is None else spec.name for spec in graph.inputs]
    for name in given:
        if name in taken:
            raise ValueError(f"inputs must have different names: got {name!r} twice")
        if name is not None:
            if not str(name).isidentifier():
                raise ValueError(f"inputs must be named by Python identifiers: got {named(name)}")
            taken.add(name)
    return [numbered("x", taken) if name is None else name for name in given]
