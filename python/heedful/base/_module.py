"""Module: the base class of every layer and model, without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from heedful.base._calls import Calls
from heedful.base._foreign_arguments import check_arguments, no_such_attribute
from heedful.base._freezable import Freezable
from heedful.base._int8_parameter import Int8Parameter
from heedful.base._int8_state import SCALE, own_parameter
from heedful.base._parameter import Parameter, check_like, owner_of
from heedful.base._quantizable import Quantizable
from heedful.base._state import Mismatch, check_built, check_state, load_state
from heedful.base._summary import html, table, text
from heedful.base._tree import CONTAINERS, dotted, within
from heedful.base._types import Array
from heedful.base.tape._traced import active

if TYPE_CHECKING:
    from typing_extensions import Self


class Module(Calls, Freezable, Quantizable):
    """A function with parameters, composed of such functions; ``Layer`` adds training.

    See :class:`heedful.layers.Layer`, which users subclass.
    """

    _parameters: dict[str, Parameter]

    # names of parameters that are created at the first call, and whether they will be trainable
    awaited: Mapping[str, bool] = MappingProxyType({})
    # options of `compute` that may be a SharedBias, to which `backward` adds their gradient
    gradient_options: tuple[str, ...] = ()

    def __new__(cls, *_: Any, **options: Any) -> Self:
        check_arguments(cls, options.keys())
        layer = super().__new__(cls)
        object.__setattr__(layer, "_parameters", {})
        return layer

    # --- parameters

    def __dir__(self) -> list[str]:
        """What an editor or a notebook completes: parameters are attributes, too."""
        own = [name for name, _ in self.parameters_here() if name.isidentifier()]
        return sorted({*super().__dir__(), *own})

    def __setattr__(self, name: str, value: Any) -> None:
        own = own_parameter(self._parameters, name)
        shares = own is None or name in self._parameters  # scales stay those of their weight
        if shares and isinstance(value, np.ndarray) and (own is None or value is not own.value):
            value = owner_of(value) or value  # another layer's parameter is shared
        if shares and isinstance(value, Parameter):
            if own is not None:
                check_like(name, value.value, own.value.shape, own.value.dtype)
            self.__dict__.pop(name, None)
            self._parameters[name] = value
        elif own is not None and value is not own.value:  # x.weight += 1 assigns the same array
            own.assign(name, value)
        elif own is None:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        own = own_parameter(self.__dict__.get("_parameters", {}), name)
        if own is None:
            raise AttributeError(no_such_attribute(type(self).__name__, name))
        tape = active.get()
        return own.value if tape is None else tape.parameter(own)

    def parameter(self, name: str) -> Parameter:
        """The `Parameter` of one of this layer's own parameters, with its gradient."""
        own = self._parameters.get(name) or dict(self.parameters_here()).get(name)
        if own is None:
            here = [found for found, _ in self.parameters_here()]
            raise KeyError(f"{type(self).__name__} has no parameter {name!r}: it has {here}")
        return own

    def own_parameters(self) -> dict[str, Parameter]:
        """The parameters that are attributes of this layer themselves."""
        return self._parameters

    def parameters_here(self) -> Iterator[tuple[str, Parameter]]:
        """Those, and those in its lists and dicts; not those of the layers inside."""
        for name, parameter in self._parameters.items():
            yield name, parameter
            if isinstance(parameter, Int8Parameter):
                yield name + SCALE, parameter.scale
        for name, value in vars(self).items():
            if isinstance(value, CONTAINERS) and value is not self._parameters:
                yield from within(name, value, Parameter)

    def add_gradient(self, name: str, gradient: Array) -> None:
        """Adds to the gradient of one of this layer's own parameters, unless that is frozen."""
        self.parameter(name).add(gradient)

    def layers_inside(self) -> Iterator[tuple[str, Module]]:
        """The direct sublayers, by name; those of lists as ``name.0``, ``name.1``"""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, CONTAINERS):
                yield from within(name, value, Module)

    def named_layers(self) -> Iterator[tuple[str, Module]]:
        """This layer, under the empty name, and all inside."""
        yield "", self
        for name, layer in self.layers_inside():
            for inner, found in layer.named_layers():
                yield dotted(name, inner), found

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter under every name that it has."""
        yield from self.parameters_here()
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
        """Gradients summed since the last `zero_grad`, named as in `parameters`.

        A parameter without a gradient, such as one that the computation did not use, is absent, and
        an optimizer leaves it unchanged.
        """
        found = self.distinct_parameters().items()
        return {name: own.grad for name, own in found if own.grad is not None}

    def zero_grad(self) -> None:
        """Clears all gradients: `grads` is empty until the next backward function is called."""
        for parameter in self.distinct_parameters().values():
            parameter.clear()

    @property
    def parameter_count(self) -> int:
        """Elements of all parameters, shared ones once; a ValueError if some do not exist yet."""
        check_built(self)
        return sum(own.value.size for own in self.distinct_parameters().values())

    # --- state

    def builder(self, name: str, arrays: Mapping[str, Array]) -> Callable[[], object]:
        """A function that creates the parameters in `awaited` with the widths of these arrays.

        `name` is that of the layer, for messages; a ValueError where the arrays do not fit.
        """
        raise TypeError(f"{type(self).__name__} awaits {list(self.awaited)} but has no builder")

    def state_dict(self) -> dict[str, Array]:
        """A copy of every parameter, under every name that it has.

        A ValueError if some are created at the first call, and there was none.
        """
        check_built(self)
        return {name: parameter.value.copy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> Mismatch:
        """Copies arrays into the parameters of the same name.

        Everything is checked first: after an error all parameters are unchanged.

        Parameters
        ----------
        state : mapping of dotted names to arrays
            A shared parameter may be there under one of its names, or under all with equal arrays.
            Parameters that are created at the first call get the widths of the arrays.
        strict : bool, default True
            Every parameter must be there and nothing else. Otherwise the names in common are
            loaded.

        Returns
        -------
        (missing, unexpected)
            Names that are on one side only.

        Raises
        ------
        ValueError
            Names that are missing or unexpected where `strict`; an array of another shape.
        TypeError
            An array that does not hold numbers, or a state that is not a mapping.
        """
        return load_state(self, check_state(state), strict)

    # --- representation

    def summary(self) -> None:
        """Prints a table of all layers with their parameters."""
        print(table(self))

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        return html(self)
