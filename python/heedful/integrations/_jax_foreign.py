"""Attention as two foreign functions of XLA, forward and backward, joined by a custom_vjp."""

from __future__ import annotations

from ast import literal_eval
from functools import cache, lru_cache, partial
from threading import Lock
from typing import Any

import jax
import numpy as np

import heedful.functional as functional
from heedful.integrations._jax_call import INPUTS, OWN_AXES, Arrays, Call
from heedful.integrations._xla_ffi import Array, register


def _forward(call: Call, arrays: Arrays, wide: bool) -> tuple[Any, Any]:
    """(out, lse); a wide out has the type of lse."""
    dtype = call.computing if wide else arrays.query.dtype
    results = jax.ShapeDtypeStruct(call.out, dtype), jax.ShapeDtypeStruct(call.lse, call.computing)
    # vmap adds axes of length 1 to arrays that it does not map
    out, lse = _foreign("forward", call, arrays, {}, results, "expand_dims")
    return out, lse


def _forward_for_gradients(call: Call, arrays: Arrays) -> tuple[tuple[Any, Any], Any]:
    out, lse = _forward(call, arrays, True)
    return (out.astype(arrays.query.dtype), lse), (arrays, out, lse)


def _backward(call: Call, kept: Any, gradients: tuple[Any, Any]) -> tuple[Arrays]:
    arrays, out, lse = kept
    dout, dlse = gradients
    others = {"dout": dout, "out": out, "lse": lse, "dlse": dlse}
    names = [name for name in _WITH_GRADIENT if getattr(arrays, name) is not None]
    inputs = [getattr(arrays, name) for name in names]
    results = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in inputs]
    # every item has a gradient of its own
    found = _foreign("backward", call, arrays, others, results, "broadcast_all")
    found = dict(zip(names, found, strict=True))
    return (Arrays(*map(found.get, Arrays._fields)),)


def _foreign(
    which: str, call: Call, arrays: Arrays, others: dict[str, Any], results: Any, vmap_method: str
) -> Any:
    """The results of a foreign function that is given the arrays' names and the options."""
    with _registering:
        _register()
    given = {name: array for name, array in arrays._asdict().items() if array is not None}
    given |= others
    if arrays.sink is not None:  # all items of a call have the same one
        vmap_method = "sequential"
    function = jax.ffi.ffi_call(f"heedful_{which}", results, vmap_method=vmap_method)
    # within the attributes, as compiled functions may be kept for another process
    return function(*given.values(), names=" ".join(given), options=repr(call.options))


_WITH_GRADIENT = (*INPUTS, "bias", "sink")
attend: Any = jax.custom_vjp(partial(_forward, wide=False), nondiff_argnums=(0,))
attend.defvjp(_forward_for_gradients, _backward)


# --- when it is run


_registering = Lock()  # XLA takes a name once, and threads may call for the first time together


@cache
def _register() -> None:
    register("heedful_forward", _run_forward)
    register("heedful_backward", _run_backward)


def _run_forward(attributes: dict[str, str], inputs: list[Array], outputs: list[Array]) -> None:
    given, batch = _given(attributes["names"], inputs)
    out, lse = outputs
    query = given["query"].astype(out.dtype, copy=False)
    # vmap may be over a mask or lengths alone
    given["query"] = np.broadcast_to(query, batch + query.shape[-3:])
    options = _read(attributes["options"])
    _, lse[...] = functional.attention(**(options | given), out=out, return_lse=True)


def _run_backward(attributes: dict[str, str], inputs: list[Array], outputs: list[Array]) -> None:
    given, _ = _given(attributes["names"], inputs)
    found = functional.attention_backward(**(_read(attributes["options"]) | given))
    gradients = [getattr(found, name) for name in _WITH_GRADIENT if name in given]
    for output, gradient in zip(outputs, gradients, strict=True):
        output[...] = gradient


@lru_cache(maxsize=1024)
def _read(options: str) -> dict[str, Any]:
    return dict(literal_eval(options))


def _given(names: str, inputs: list[Array]) -> tuple[dict[str, Array], tuple[int, ...]]:
    """The arrays by name, and the leading axes of the call, which lengths and slopes must have."""
    given = dict(zip(names.split(), inputs, strict=True))
    leading = {
        name: given[name].shape[: given[name].ndim - own]
        for name, own in OWN_AXES.items() if name in given
    }  # fmt: skip
    batch = np.broadcast_shapes(*leading.values())
    for name, axes in leading.items():
        if OWN_AXES[name] < 3:
            own = given[name].shape[len(axes) :]
            given[name] = np.broadcast_to(given[name], batch + own)
    return given, batch
