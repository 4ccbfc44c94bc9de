"""One call within JAX: its arrays, the options it is compiled with, the shapes of its results."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import heedful.functional as functional
from heedful._checks import named


class Arrays(NamedTuple):
    """All arrays of a call, None where one was not given; slopes (B…, H), lengths (B…)."""

    query: Any
    key: Any
    value: Any
    mask: Any
    bias: Any
    alibi_slopes: Any
    sink: Any
    q_lengths: Any
    kv_lengths: Any
    align: Any


class Call(NamedTuple):
    """What a function is compiled with; hashable. Shapes have an axis of heads."""

    options: tuple[tuple[str, Any], ...]
    out: tuple[int, ...]
    lse: tuple[int, ...]
    computing: np.dtype[Any]  # the type of lse
    heads_axis: int
    is_single: bool  # query, key and value were given without an axis of heads


INPUTS = ("query", "key", "value")
# axes after the leading ones; a sink has none of these
OWN_AXES = {
    "query": 3, "key": 3, "value": 3, "mask": 3, "bias": 3, "alibi_slopes": 1, "q_lengths": 0,
    "kv_lengths": 0, "align": 0,
}  # fmt: skip


def with_common_type(arrays: Arrays) -> Arrays:
    dtype = jnp.result_type(arrays.query, arrays.key, arrays.value)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"query, key and value must be floating: got {dtype}")
    inputs = {name: getattr(arrays, name).astype(dtype) for name in INPUTS}
    return arrays._replace(**inputs)


def checked(options: dict[str, Any], arrays: Arrays) -> Call:
    options = {name: _plain(value) for name, value in options.items()}
    for name, value in options.items():
        if not isinstance(value, Hashable):
            raise TypeError(
                f"{name} must be a Python value, with which a function is compiled: "
                f"got {named(value)}"
            )
    if arrays.query.ndim < 2:
        raise ValueError(f"query must have two axes at least: got shape {arrays.query.shape}")
    described = (None if array is None else (array.shape, array.dtype) for array in arrays)
    return _described(tuple(options.items()), tuple(described))


def _plain(value: Any) -> Any:
    """Without NumPy's scalars, which cannot be read back from their text."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


@lru_cache(maxsize=1024)
def _described(options: tuple[tuple[str, Any], ...], arrays: tuple[Any, ...]) -> Call:
    """Every check of heedful.attention, and the shapes of its results.

    By a call on arrays with one number in memory, in which no query is valid: nothing is computed.
    """
    given = {
        name: np.broadcast_to(np.zeros((), one[1]), one[0])
        for name, one in zip(Arrays._fields, arrays, strict=True)
        if one is not None
    }
    try:
        batch = np.broadcast_shapes(*(given[name].shape[:-3] for name in INPUTS))
    except ValueError:  # which the call reports in its own words
        batch = ()
    given.setdefault("q_lengths", np.zeros(batch, np.int64))
    out, lse = functional.attention(**(dict(options) | given), return_lse=True)
    heads_axis = -3 if dict(options)["layout"] == "bhld" else -2
    is_single = out.ndim == 2
    if is_single:
        out, lse = np.expand_dims(out, heads_axis), lse[None]
    return Call(options, out.shape, lse.shape, lse.dtype, heads_axis, is_single)


def with_equal_axes(call: Call, arrays: Arrays) -> Arrays:
    """Leading axes of 1, so that those which vmap adds are the first of all arrays."""

    def expanded(name: str, array: Any) -> Any:
        if array is None or name == "sink" or OWN_AXES[name] == 0:
            return array
        if name in INPUTS and array.ndim == 2:
            array = jnp.expand_dims(array, call.heads_axis)
        axes = len(call.lse) - 2 + OWN_AXES[name]
        return array.reshape((1,) * (axes - array.ndim) + array.shape)

    return Arrays(*map(expanded, Arrays._fields, arrays))
