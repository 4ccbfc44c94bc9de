"""Quantizable: weights of dense products in int8 or bfloat16, and back in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from heedful._checks import one_of
from heedful.base._bfloat16_parameter import Bfloat16Parameter
from heedful.base._int8_parameter import MAX_WIDTH, Int8Parameter
from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._state import check_built
from heedful.base._tree import dotted

Own = TypeVar("Own", bound="Quantizable")


class Quantizable:
    """Makes the weights of dense products int8 or bfloat16, and float32 again."""

    if TYPE_CHECKING:
        _parameters: dict[str, Parameter]

        def named_parameters(self) -> Iterator[tuple[str, Parameter]]: ...
        def named_layers(self) -> Iterator[tuple[str, Quantizable]]: ...

    def int8_names(self) -> tuple[str, ...]:
        """This layer's own parameters that `compute` takes as int8, too."""
        return ()

    def bfloat16_names(self) -> tuple[str, ...]:
        """This layer's own parameters that `compute` takes as bfloat16, too."""
        return self.int8_names()

    def quantize(self: Own, kind: str = "int8") -> Own:
        """Makes the weights of all dense products int8 or bfloat16, for faster inference in less
        memory.

        With "bfloat16" weights are rounded to 8 significant bits, those of embeddings too; all is
        computed in float32, as with the rounded weights in float32, in the same bits. With "int8"::

            weight[o, k] ≈ scale[o] · w[o, k]      scale[o] = max abs(weight[o]) / 127
            x[n, k] ≈ x_scale[n] · (q[n, k] − zero[n])             0 ≤ q ≤ 255
            x Wᵀ ≈ x_scale[n] · scale[o] · Σ_k (q[n, k] − zero[n]) · w[o, k]

        Scales and zeros of x are those of its rows, found at each call. The sums are exact, so
        results have the same bits on all processors up to the activation, for any number of rows
        and of threads. Weights of :class:`Linear` and the projections of
        :class:`MultiHeadAttention` become int8, those of :class:`Conv1d`, whose rows of x are
        windows, and those of :class:`GRU` and :class:`LSTM`, of which the weights of the state are
        int8 in memory alone: they are multiplied as float32, scale[o] · w[o, k], made anew in each
        call, so that calls of one position take about twice as long as in float32. Embeddings,
        norms and biases stay float32. A row of x with NaN or infinity gives a row of NaN.

        `parameters` and `state_dict` hold each int8 weight and, under its name with ``_scale``, the
        scales of its rows. A state of floats is quantised when it is loaded into an int8 model, one
        of int8 multiplied by its scales when it is loaded into a model of floats.

        A weight that another layer shares, such as a tied embedding, stays as it is there; with
        "bfloat16" both share the new one.

        Parameters
        ----------
        kind : {"int8", "bfloat16"}

        Returns
        -------
        Layer
            This one. It cannot be trained: call `dequantize` first.

        Raises
        ------
        ValueError
            No dense product, a layer that is unbuilt, a weight with NaN or infinity or with rows of
            more than 65,536 elements: nothing is changed.
        TypeError
            A weight of float64: nothing is changed.

        Notes
        -----
        Dynamic affine quantisation of Jacob et al. 2018, https://arxiv.org/abs/1712.05877, with
        scales for each output and for each row of x.

        Examples
        --------
        >>> import numpy as np
        >>> from heedful.layers import FeedForward
        >>> model = FeedForward(64, 256, rng=0)
        >>> x = np.random.default_rng(0).standard_normal((5, 64), dtype=np.float32)
        >>> exact = model(x)
        >>> model.quantize().parameters()["linear1.weight"].dtype
        dtype('int8')
        >>> float(abs(model(x) - exact).max() / abs(exact).max()) < 0.02
        True
        >>> model.dequantize().parameters()["linear1.weight"].dtype
        dtype('float32')
        """
        check_built(self)  # type: ignore[arg-type]
        if one_of("kind", kind, ("int8", "bfloat16")) == "int8":
            exchange(self, Int8Parameter, list(_places(self)))
        else:
            exchange(self, Bfloat16Parameter, list(_places(self, narrow=True)))
        return self

    def dequantize(self: Own) -> Own:
        """Makes all int8 and bfloat16 weights float32 again: the former times their scales.

        A weight that was shared with another layer of this one, such as a tied embedding, is shared
        again.

        Returns
        -------
        Layer
            This one.
        """
        here = {id(one): one for _, one in self.named_parameters()}  # keeps them: ids stay theirs
        made: dict[int, Parameter] = {}

        def of_floats(parameter: Parameter) -> Parameter:
            if not isinstance(parameter, NarrowParameter):
                return parameter
            if id(parameter) not in made:
                original = parameter.original
                shared = None if id(original) not in here else of_floats(here[id(original)])
                made[id(parameter)] = shared or parameter.dequantised()
            return made[id(parameter)]

        for _, layer, own in _places(self, narrow=True):
            layer._parameters[own] = of_floats(layer._parameters[own])
        return self


Place: TypeAlias = tuple[str, Quantizable, str]  # full name, layer, name there


def exchange(
    layer: Quantizable, make: Callable[[str, Parameter], Parameter], places: list[Place]
) -> None:
    """What `make` makes of the parameters there, all or none of them."""
    kind = "int8" if make is Int8Parameter else "bfloat16"
    if not places:
        raise ValueError(
            f"{type(layer).__name__} has no dense product whose weight could become {kind}"
        )
    kept = Int8Parameter if kind == "int8" else NarrowParameter
    made: dict[int, Parameter] = {}  # by the parameter: layers that share one go on sharing
    for name, inner, own in places:
        parameter = inner._parameters[own]
        if not isinstance(parameter, kept) and id(parameter) not in made:
            _check(name, parameter, kind)
            made[id(parameter)] = make(name, parameter)
    for _, inner, own in places:
        parameter = inner._parameters[own]
        inner._parameters[own] = made.get(id(parameter), parameter)


def unset_bfloat16(layer: Quantizable) -> None:
    """`quantize("bfloat16")` of a model whose weights are all loaded next."""
    exchange(layer, Bfloat16Parameter.unset, list(_places(layer, narrow=True)))


def _places(layer: Quantizable, narrow: bool = False) -> Iterator[Place]:
    """The parameters that may be int8, or bfloat16 if `narrow`."""
    for name, inner in layer.named_layers():
        for own in inner.bfloat16_names() if narrow else inner.int8_names():
            yield dotted(name, own), inner, own


def _check(name: str, parameter: Parameter, kind: str) -> None:
    value = parameter.value
    if value.dtype != np.float32:
        raise TypeError(f"{name} must be float32 to become {kind}: got {value.dtype}")
    width = math.prod(value.shape[1:])
    if kind == "int8" and width > MAX_WIDTH:
        raise ValueError(
            f"{name} must have at most {MAX_WIDTH:,} elements in a row to become int8: "
            f"got {width:,}"
        )
