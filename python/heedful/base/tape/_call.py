"""Layers that have `call`: their forward pass alone, on a tape."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any

import numpy as np

from heedful.base._call_mismatch import call_mismatch
from heedful.base._mode import Mode
from heedful.base._types import Backward
from heedful.base.tape import _arithmetic, _elementwise, _pieces, _products, _reductions, _shapes
from heedful.base.tape._tape import Tape, is_array_like

STEP_MODULES = (_arithmetic, _elementwise, _pieces, _products, _reductions, _shapes)


def computed_by_call(
    layer: Any, mode: Mode, inputs: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[Any, Backward]:
    """What ``layer.call`` returns, and the function from its gradient to those of the inputs."""
    options, dtype = dict(options), getattr(layer, "dtype", None)
    names = _names(type(layer).call)
    with Tape(layer, mode) as tape:
        given = [
            tape.input(_typed(dtype, x), names[place] if place < len(names) else "x")
            for place, x in enumerate(inputs)
        ]
        for name in names[len(given) :] if options else ():
            if name in options and is_array_like(options[name]):
                options[name] = tape.input(_typed(dtype, options[name]), name)
        try:
            y = layer.call(*given, **options)
        except TypeError:
            wrong = call_mismatch(layer.__signature__, mode.training, inputs, options)
            if wrong is None:
                raise
            raise TypeError(f"{type(layer).__name__} {wrong}") from None
    return tape.result(y)


def _typed(dtype: Any, x: Any) -> Any:
    """Floating inputs in the layer's dtype, if it has one."""
    if dtype is None or not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        return x
    return x.astype(dtype, copy=False)


@lru_cache(256)
def _names(call: Any) -> tuple[str, ...]:
    """Of the parameters that may be given by position, without self."""
    found = signature(call).parameters.values()
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(one.name for one in found if one.kind in kinds)[1:]
