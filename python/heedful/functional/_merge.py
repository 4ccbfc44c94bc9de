"""merge_attention: merges partial results over pieces of the keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from heedful._checks import named
from heedful._core import native
from heedful.functional._dtypes import (
    accepted_type,
    as_array,
    cast_like,
    common_type,
    computing_type,
    converted,
)
from heedful.functional._layout import Layout, check_layout
from heedful.functional._results import allocate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from heedful.functional._dtypes import Array
    from heedful.functional._option_types import LayoutName


def merge_attention(
    outs: Iterable[ArrayLike],
    lses: Iterable[ArrayLike],
    *,
    layout: LayoutName = "bhld",
) -> tuple[Array, Array]:
    """Attention over all keys from the results over pieces of them.

    ::

        lse = log Σ_n exp(lse_n)            out = Σ_n exp(lse_n − lse) · out_n

    The pieces may have been computed one after another, from files, or on other machines.

    Parameters
    ----------
    outs : sequence or iterable of array_like, each (B…, H, Lq, Dv)
        The outputs over each piece of the keys, for the same queries.
    lses : sequence or iterable of array_like, each (B…, H, Lq)
        Their log-sum-exps, from ``return_lse=True``.
    layout : {"bhld", "blhd"}
        That of the outputs. lse is (B…, H, Lq) in both.

    Returns
    -------
    out : numpy.ndarray
        In the common type of the outputs.
    lse : numpy.ndarray
        float64 for float64 outputs, otherwise float32.

    Raises
    ------
    ValueError
        No pieces, not as many outs as lses, or shapes that differ.
    TypeError, MemoryError
        As :func:`attention` does.

    Notes
    -----
    Exact up to rounding, in any order, also for results that were merged. A piece in which a query
    attends to nothing has lse −inf and contributes nothing; one with lse +inf outweighs all others.
    A sink belongs to one piece only. Gradients: :func:`attention_backward` for each piece with
    the merged out and lse. For exact gradients of 16-bit inputs merge outs of float32, see there.
    Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867; Liu et al. 2023,
    https://arxiv.org/abs/2310.01889.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> rng = np.random.default_rng(0)
    >>> query, key, value = rng.standard_normal((3, 10, 4))
    >>> pieces = [
    ...     heedful.attention(query, key[part], value[part], return_lse=True)
    ...     for part in (slice(0, 3), slice(3, 10))
    ... ]
    >>> out, lse = heedful.merge_attention(*zip(*pieces))
    >>> np.allclose(out, heedful.attention(query, key, value))
    True
    """
    length_first = check_layout(layout)
    outs, lses = _pieces("outs", outs), _pieces("lses", lses)
    if len(outs) != len(lses):
        raise ValueError(
            f"outs and lses must have the same length: got {len(outs)} and {len(lses)}"
        )
    if len(outs) == 0:
        raise ValueError("outs must hold one piece at least: got none")
    arrays = [as_array(f"outs[{number}]", piece) for number, piece in enumerate(outs)]
    shape = arrays[0].shape
    if not shape:
        raise ValueError("outs[0] must have one axis at least: got shape ()")
    types = []
    for number, array in enumerate(arrays):
        types.append(accepted_type(f"outs[{number}]", array))
        if array.shape != shape:
            raise ValueError(
                "outs must have the same shape: "
                f"outs[0] has {shape}, outs[{number}] has {array.shape}"
            )
    dtype = common_type("outs", types)
    seen = Layout(len(shape), length_first)
    rows = seen.inward_shape(shape)[:-1]
    computing = computing_type(dtype)
    merged_lse = allocate("lse", rows, computing)
    merged = allocate("the output", shape, dtype)
    native.merge_attention(
        tuple(converted(array, dtype) for array in arrays),
        tuple(
            cast_like(f"lses[{number}]", lse, rows[seen.missing :], computing).reshape(rows)
            for number, lse in enumerate(lses)
        ),
        merged,
        merged_lse,
        rows[:-2],
        length_first,
    )
    return merged, seen.outward(merged_lse)


def _pieces(name: str, given: Any) -> list[Any]:
    """The pieces as a list, from any iterable of arrays: a list, an array, a generator."""
    unordered = isinstance(given, (str, bytes, Mapping, set, frozenset))
    if not unordered and getattr(given, "ndim", None) != 0:
        try:
            return list(given)
        except TypeError:  # not iterable
            if hasattr(type(given), "__iter__"):
                raise
    raise TypeError(f"{name} must be a sequence of arrays: got {named(given)}")
