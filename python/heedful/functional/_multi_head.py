"""multi_head_attention: attention of several heads on arrays that hold them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from heedful._checks import size
from heedful.functional._attention import attention
from heedful.functional._dtypes import Array, as_array
from heedful.functional._options import OPTION_NAMES, unexpected
from heedful.functional._shapes import check_axes_left

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Unpack

    from heedful.functional._option_types import Options


@overload
def multi_head_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, num_heads: int, *,
    num_kv_heads: int | None = None, return_lse: Literal[False] = False,
    return_weights: Literal[False] = False, **options: Unpack[Options],
) -> Array: ...  # fmt: skip
@overload
def multi_head_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, num_heads: int, *,
    num_kv_heads: int | None = None, return_lse: Literal[True],
    return_weights: Literal[False] = False, **options: Unpack[Options],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def multi_head_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, num_heads: int, *,
    num_kv_heads: int | None = None, return_lse: Literal[False] = False,
    return_weights: Literal[True], **options: Unpack[Options],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def multi_head_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, num_heads: int, *,
    num_kv_heads: int | None = None, return_lse: Literal[True], return_weights: Literal[True],
    **options: Unpack[Options],
) -> tuple[Array, Array, Array]: ...  # fmt: skip
@overload
def multi_head_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, num_heads: int, *,
    num_kv_heads: int | None = None, return_lse: bool = False, return_weights: bool = False,
    **options: Unpack[Options],
) -> Any: ...  # fmt: skip
def multi_head_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    num_heads: int,
    *,
    num_kv_heads: int | None = None,
    return_lse: bool = False,
    return_weights: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Attention of each head separately, the heads being slices of the last axis.

    ::

        out[…, h·D : (h+1)·D] = attention(query[…, h·D : (h+1)·D], …)      h = 0 … H − 1

    The part of a Transformer's attention between its projections;
    :class:`heedful.layers.MultiHeadAttention` includes them.

    Parameters
    ----------
    query : array_like, (B…, Lq, H · D)
    key : array_like, (B…, Lk, Hkv · D)
    value : array_like, (B…, Lk, Hkv · Dv)
    num_heads : int
        H.
    num_kv_heads : int, optional
        Hkv, which divides H; None is H.
    return_lse, return_weights : bool, default False
        As in :func:`attention`: lse (B…, H, Lq), weights (B…, H, Lq, Lk).
    **options
        As in :func:`attention`; mask and bias broadcast to (B…, H, Lq, Lk).

    Returns
    -------
    out : numpy.ndarray, (B…, Lq, H · Dv), or (out, lse?, weights?)

    Raises
    ------
    ValueError
        Heads that do not divide the last axes, and whatever :func:`attention` refuses.

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. No input is copied.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> x = np.ones((2, 5, 12), np.float32)
    >>> heedful.multi_head_attention(x, x, x, num_heads=3).shape
    (2, 5, 12)
    """
    if options.get("layout", "blhd") != "blhd" or options.get("out") is not None:
        raise TypeError("multi_head_attention has neither layout nor out: heads are side by side")
    unknown = [name for name in options if name not in OPTION_NAMES]
    if unknown:
        raise unexpected(multi_head_attention, unknown, OPTION_NAMES)
    options["layout"] = "blhd"
    heads = size("num_heads", num_heads)
    kv_heads = heads if num_kv_heads is None else size("num_kv_heads", num_kv_heads)
    if heads % kv_heads:
        raise ValueError(
            f"num_kv_heads must divide num_heads: got num_heads={heads}, num_kv_heads={kv_heads}"
        )
    kv_heads_name = "num_heads" if num_kv_heads is None else "num_kv_heads"
    parts = (
        _split_heads("query", query, heads, "num_heads"),
        _split_heads("key", key, kv_heads, kv_heads_name),
        _split_heads("value", value, kv_heads, kv_heads_name),
    )
    if parts[0].shape[-1] != parts[1].shape[-1]:
        raise ValueError(
            f"query and key must have heads of the same depth: query has {parts[0].shape[-1]} in "
            f"each of {heads}, key has {parts[1].shape[-1]} in each of {kv_heads}"
        )
    found = attention(*parts, return_lse=return_lse, return_weights=return_weights, **options)
    if not isinstance(found, tuple):
        return _merge_heads(found)
    return (_merge_heads(found[0]), *found[1:])


def _split_heads(name: str, given: ArrayLike, heads: int, heads_name: str) -> Array:
    """(…, L, H · D) as (…, L, H, D)."""
    array = as_array(name, given)
    if array.ndim < 2:
        raise ValueError(f"{name} must have two axes at least: got shape {array.shape}")
    check_axes_left(name, array)
    if array.shape[-1] % heads:
        raise ValueError(
            f"{heads_name} must divide the last axis of {name}: got {array.shape[-1]} and {heads}"
        )
    return array.reshape(*array.shape[:-1], heads, array.shape[-1] // heads)


def _merge_heads(out: Array) -> Array:
    return out.reshape(*out.shape[:-2], out.shape[-2] * out.shape[-1])
