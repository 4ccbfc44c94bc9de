"""Quantizable: the weights of a layer's dense products in int8, and back in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from heedful.base._int8_parameter import MAX_WIDTH, Int8Parameter
from heedful.base._parameter import Parameter
from heedful.base._state import check_built
from heedful.base._tree import dotted

Own = TypeVar("Own", bound="Quantizable")


class Quantizable:
    """Makes the weights of dense products int8, and float32 again."""

    if TYPE_CHECKING:
        _parameters: dict[str, Parameter]

        def named_parameters(self) -> Iterator[tuple[str, Parameter]]: ...
        def named_layers(self) -> Iterator[tuple[str, Quantizable]]: ...

    def int8_names(self) -> tuple[str, ...]:
        """This layer's own parameters that `compute` takes as int8, too."""
        return ()

    def quantize(self: Own) -> Own:
        """Makes the weights of all dense products int8, for faster inference in less memory.

        ::

            weight[o, k] ≈ scale[o] · w[o, k]      scale[o] = max abs(weight[o]) / 127
            x[n, k] ≈ x_scale[n] · (q[n, k] − zero[n])             0 ≤ q ≤ 255
            x Wᵀ ≈ x_scale[n] · scale[o] · Σ_k (q[n, k] − zero[n]) · w[o, k]

        Scales and zeros of x are those of its rows, found at each call. The sums are exact, so
        results have the same bits on all processors up to the activation, for any number of rows
        and of threads. Weights of :class:`Linear` and the projections of
        :class:`MultiHeadAttention` become int8; embeddings, norms and biases stay float32. A row of
        x with NaN or infinity gives a row of NaN.

        `parameters` and `state_dict` hold each int8 weight and, under its name with ``_scale``, the
        scales of its rows. A state of floats is quantised when it is loaded into an int8 model, one
        of int8 multiplied by its scales when it is loaded into a model of floats.

        A weight that another layer shares, such as a tied embedding, stays as it is there.

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
        places = list(_places(self))
        if not places:
            raise ValueError(
                f"{type(self).__name__} has no dense product whose weight could become int8"
            )
        made = {}  # by the parameter: layers that share one go on sharing
        for name, layer, own in places:
            parameter = layer._parameters[own]
            if not isinstance(parameter, Int8Parameter) and id(parameter) not in made:
                _check(name, parameter)
                made[id(parameter)] = Int8Parameter(name, parameter)
        for _, layer, own in places:
            parameter = layer._parameters[own]
            layer._parameters[own] = made.get(id(parameter), parameter)
        return self

    def dequantize(self: Own) -> Own:
        """Makes all int8 weights float32 again: the products with their scales.

        A weight that was shared with another layer of this one, such as a tied embedding, is shared
        again.

        Returns
        -------
        Layer
            This one.
        """
        here = {id(parameter) for _, parameter in self.named_parameters()}
        made: dict[int, Parameter] = {}
        for _, layer, own in _places(self):
            parameter = layer._parameters[own]
            if not isinstance(parameter, Int8Parameter):
                continue
            if id(parameter) not in made:
                original = parameter.original
                shared = original if id(original) in here else None
                made[id(parameter)] = shared or parameter.dequantised()
            layer._parameters[own] = made[id(parameter)]
        return self


def _places(layer: Quantizable) -> Iterator[tuple[str, Quantizable, str]]:
    """The parameters that may be int8: full name, layer, name there."""
    for name, inner in layer.named_layers():
        for own in inner.int8_names():
            yield dotted(name, own), inner, own


def _check(name: str, parameter: Parameter) -> None:
    value = parameter.value
    if value.dtype != np.float32:
        raise TypeError(f"{name} must be float32 to become int8: got {value.dtype}")
    if value.shape[1] > MAX_WIDTH:
        raise ValueError(
            f"{name} must have at most {MAX_WIDTH:,} elements in a row to become int8: "
            f"got {value.shape[1]:,}"
        )
