"""Loads the arrays of a checkpoint into a model, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from heedful._printable import printable
from heedful.base._bfloat16_parameter import Bfloat16Parameter
from heedful.base._parameter import Parameter
from heedful.base._state import few
from heedful.base._types import Array
from heedful.layers import Layer
from heedful.models._architecture import Named
from heedful.models._config import Config
from heedful.training.files._mapped import release, widened

_PIECE = 1 << 24  # bytes that are read at once


def check_layers(config: Config, count: int) -> None:
    """Require as many tensors in the files as the model has layers, before these are made."""
    for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers"):
        if config.integer(key, 1) > count:
            raise ValueError(
                f"{key} of {config.file} must fit the files, which hold {count} tensors: "
                f"got {config[key]}"
            )


def load(model: Layer, found: Named, strict: bool) -> list[str]:
    """Copies arrays into the parameters of the same name; the names that were missing.

    All names and shapes are compared before the first array is read. Of a mapped file no more than
    some megabytes are in memory at a time: an embedding alone may be a third of a model.
    """
    own = dict(model.named_parameters())
    given = {id(own[name]) for name in found if name in own}
    missing = [name for name, parameter in own.items() if id(parameter) not in given]
    unexpected = [name for name in found if name not in own]
    if strict and (missing or unexpected):
        raise ValueError(
            "the files must hold the parameters of the model and nothing else: "
            f"missing {few(missing)}, unexpected {few(unexpected)}"
        )
    if not given:
        raise ValueError(f"the files must hold parameters of the model: got {few(list(found))}")
    parts = {name: _parts(name, found[name], own[name]) for name in found if name in own}
    first: dict[int, str] = {}
    for name, arrays in parts.items():
        other = first.setdefault(id(own[name]), name)
        if other != name:
            _check_shared(other, name, parts[other], arrays)
            continue
        start = 0
        for array in arrays:
            with np.errstate(all="ignore"):  # float64 beyond float32 is inf, as in transformers
                keeps = isinstance(own[name], Bfloat16Parameter)
                for rows in _pieces(array):
                    own[name].write(start, rows if keeps else widened(rows))
                    start += len(rows)
                    release(rows)
    return missing


def _pieces(array: Array) -> Iterator[Array]:
    """Its rows, some at a time."""
    step = max(1, _PIECE // max(1, array[:1].nbytes))
    for first in range(0, len(array), step):
        yield array[first : first + step]


def _parts(name: str, given: Array | tuple[Array, ...], own: Parameter) -> tuple[Array, ...]:
    """The arrays that are joined, if they have the shape of the parameter then."""
    parts = given if isinstance(given, tuple) else (given,)
    wanted = own.value.shape
    rows = sum(part.shape[0] for part in parts if part.ndim)
    fits = all(part.ndim and part.shape[1:] == wanted[1:] for part in parts)
    if not fits or rows != wanted[0]:
        shapes = " and ".join(str(part.shape) for part in parts)
        raise ValueError(f"{printable(name)} must have shape {wanted}: got {shapes}")
    return parts


def _check_shared(
    first: str, second: str, ones: tuple[Array, ...], others: tuple[Array, ...]
) -> None:
    """A parameter under two names must have one value."""
    for one, other in zip(ones, others, strict=True):
        if not same_values(one, other):
            raise ValueError(
                f"{first} and {second} are one parameter in the model: the files have two arrays"
            )


def same_values(one: Array, other: Array) -> bool:
    """Of two arrays in files, whatever their types are."""
    return np.array_equal(widened(one), widened(other), equal_nan=True)


def drop_tied(state: dict[str, Array], head: str, embedding: str) -> None:
    """Of a weight that both share some files have one of the names, some both: leaves one."""
    array = state.pop(head, None)
    if array is not None:
        state.setdefault(embedding, array)


def without(state: Mapping[str, Array], *prefixes: str) -> dict[str, Array]:
    """The arrays by their names without the first of these prefixes that a name begins with."""
    found: dict[str, Array] = {}
    for name, array in state.items():
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
        found[name[len(prefix) :]] = array
    return found
