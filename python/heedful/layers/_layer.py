"""Layer: what every layer and every model is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from heedful.layers._mode import INFERENCE, Mode
from heedful.layers._once import once
from heedful.layers._parameter import Parameter, checked
from heedful.layers._summary import html, text
from heedful.layers._trainable import Trainable
from heedful.layers._types import Array, Backward, DType, Rng, generator


class Mismatch(NamedTuple):
    """Names that `load_state_dict` met on one side only."""

    missing: list[str]
    unexpected: list[str]


class Layer(Trainable):
    """A function with parameters, and the gradients of both.

    ::

        y = layer(x)                           inference: keeps nothing, drops nothing out
        y, backward = layer.forward(x, rng=0)  training: the closure keeps what it needs
        dx = backward(dy)                      adds the parameters' gradients to layer.grads

    A layer that is an attribute of a layer, alone or in a list, is part of it, and its parameters
    are too. Parameters are ordinary arrays: ``layer.weight`` is one, numbers assigned to it are
    copied into it, and it stays the same array for ever.

    To write a layer of your own, assign parameters and layers in ``__init__`` and write `compute`::

        class Scale(Layer):
            def __init__(self, size):
                self.gain = Parameter(np.ones(size, np.float32))

            def compute(self, mode, x):
                y = x * self.gain

                def backward(dy):
                    self.add_gradient("gain", (dy * x).sum(0))
                    return dy * self.gain

                return y, backward

    What `compute` is given as `mode` it gives to the layers it consists of.

    Threads: any number of threads may call a layer, also at the same time, as long as none of them
    changes its parameters. Closures of the same layer add their gradients one after another.
    """

    _parameters: dict[str, Parameter]

    def __new__(cls, *_: Any, **__: Any) -> Layer:
        layer = super().__new__(cls)
        object.__setattr__(layer, "_parameters", {})
        return layer

    # --- computing

    def compute(self, mode: Mode, *inputs: Any, **options: Any) -> tuple[Any, Backward]:
        """The result, and the function from its gradient to those of the inputs."""
        raise TypeError(f"{type(self).__name__} has no compute")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The result alone: nothing is kept, and dropout does nothing.

        Shapes are those of `compute`. Any number of threads may call at the same time.
        """
        return self.compute(INFERENCE, *inputs, **options)[0]

    def forward(self, *inputs: Any, rng: Rng = None, **options: Any) -> tuple[Any, Backward]:
        """The result, and a function that takes gradients back through this computation, once.

        Shapes are those of `compute`; a gradient has the shape of what it is the gradient of. Any
        number of threads may call, and go back one after another: they share the gradients of the
        parameters.

        Parameters
        ----------
        rng : None, int or numpy.random.Generator
            Where dropout and noise draw from: the system, a seed, or the given generator.
        """
        y, backward = self.compute(Mode(True, generator(rng)), *inputs, **options)
        return y, once(y, backward)

    # --- parameters

    def __setattr__(self, name: str, value: Any) -> None:
        own = self._parameters.get(name)
        if isinstance(value, Parameter):
            if own is not None:
                check_like(name, value.value, own.value.shape, own.value.dtype)
            self.__dict__.pop(name, None)
            self._parameters[name] = value
        elif own is not None and value is not own.value:  # x.weight += 1 assigns the same array
            own.assign(name, value)
        elif own is None:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__.get("_parameters", {}).get(name)
        if own is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return own.value

    def parameter(self, name: str) -> Parameter:
        """The holder of one of this layer's own parameters; assigned to another, it is shared.

        ``projection.weight = embedding.parameter("weight")``
        """
        try:
            return self._parameters[name]
        except KeyError:
            raise KeyError(
                f"{type(self).__name__} has no parameter {name!r}: it has {list(self._parameters)}"
            ) from None

    def own_parameters(self) -> dict[str, Parameter]:
        """The holders of this layer's parameters, without those of the layers inside."""
        return self._parameters

    def add_gradient(self, name: str, gradient: Array) -> None:
        """Adds to the gradient of one of this layer's own parameters, unless that is frozen."""
        self._parameters[name].add(gradient)

    def layers_inside(self) -> Iterator[tuple[str, Layer]]:
        """The layers that this one is made of, by name; those of lists as ``name.0``, ``name.1``"""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for index, item in enumerate(value):
                    if isinstance(item, Layer):
                        yield f"{name}.{index}", item

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter under every name that it has."""
        yield from self._parameters.items()
        for name, layer in self.layers_inside():
            for inner, parameter in layer.named_parameters():
                yield f"{name}.{inner}", parameter

    def distinct_parameters(self) -> dict[str, Parameter]:
        """Every parameter under its first name."""
        first: dict[int, tuple[str, Parameter]] = {}
        for name, parameter in self.named_parameters():
            first.setdefault(id(parameter), (name, parameter))
        return dict(first.values())

    def parameters(self) -> dict[str, Array]:
        """The arrays themselves, by dotted name; what is shared has its first name only."""
        return {name: own.value for name, own in self.distinct_parameters().items()}

    @property
    def grads(self) -> dict[str, Array]:
        """Gradients summed since the last `zero_grad`, named as in `parameters`."""
        found = self.distinct_parameters().items()
        return {name: own.grad for name, own in found if own.grad is not None}

    def zero_grad(self) -> None:
        for parameter in self.distinct_parameters().values():
            parameter.clear()

    @property
    def parameter_count(self) -> int:
        return sum(own.value.size for own in self.distinct_parameters().values())

    def freeze(self, names: str = "*") -> None:
        """Leaves parameters as they are in training; `names` is a pattern such as "encoder.*"."""
        self._set_trainable(names, False)

    def unfreeze(self, names: str = "*") -> None:
        self._set_trainable(names, True)

    def _set_trainable(self, names: str, trainable: bool) -> None:
        found = [own for name, own in self.named_parameters() if fnmatchcase(name, names)]
        if not found and names != "*":
            raise ValueError(f"names must match a parameter: got {names!r}")
        for parameter in found:
            parameter.trainable = trainable
            if not trainable:
                parameter.grad = None

    # --- state

    def state_dict(self) -> dict[str, Array]:
        """A copy of every parameter, under every name that it has."""
        return {name: parameter.value.copy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> Mismatch:
        """Copies arrays into the parameters of the same name.

        Everything is checked first: after an error all parameters are what they were.

        Parameters
        ----------
        state : mapping of dotted names to arrays
        strict : bool, default True
            Every parameter must be there and nothing else. Otherwise what is there is taken over.

        Returns
        -------
        (missing, unexpected)
            Names that were found on one side only.

        Raises
        ------
        ValueError
            Names that are missing or unexpected where `strict`; an array of another shape.
        TypeError
            An array that does not hold numbers.
        """
        own = dict(self.named_parameters())
        mismatch = Mismatch(
            [name for name in own if name not in state], [name for name in state if name not in own]
        )
        if strict and (mismatch.missing or mismatch.unexpected):
            raise ValueError(
                "state must hold the parameters of the model and nothing else: "
                f"missing {_few(mismatch.missing)}, unexpected {_few(mismatch.unexpected)}"
            )
        found = [(own[n], checked(n, state[n], own[n].value)) for n in own if n in state]
        for parameter, array in found:
            parameter.value[...] = array
        return mismatch

    # --- to be looked at

    def extra_repr(self) -> str:
        """What stands in the brackets of the representation."""
        return ""

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        return html(self)


def check_like(name: str, value: Array, shape: tuple[int, ...], dtype: DType) -> None:
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}: got {value.shape}")
    if value.dtype != dtype:
        raise TypeError(f"{name} must be of {dtype}: got {value.dtype}")


def _few(names: list[str], most: int = 5) -> str:
    if not names:
        return "nothing"
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
