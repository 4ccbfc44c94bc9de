"""attention_pool: the weighted mean of a sequence, weighted by one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful._checks import named
from heedful.functional._attention import attention
from heedful.functional._dtypes import Array, as_array
from heedful.functional._gradients import attention_vjp

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike


def attention_pool(
    x: ArrayLike,
    query: ArrayLike,
    *,
    key: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    scale: float | None = None,
    return_weights: bool = False,
) -> Any:
    """The weighted sum of a sequence, by how well each of its elements matches a query.

    ::

        y = Σ_i a_i x_i      a = softmax(scale · key query)

    Parameters
    ----------
    x : array_like, (B…, L, E)
        What is summed.
    query : array_like, (D,) or (N, D)
        One query for all sequences, or N of them, each with a sum of its own.
    key : array_like, (B…, L, D), optional
        What is compared with the query; None is x.
    mask : array_like, (B…, L), optional
        Boolean, True where an element counts, or floating: added to the scores.
    lengths : array_like of int (B…), optional
        How many elements of each sequence count, the first ones.
    scale : float, optional
        None is 1 / √D.
    return_weights : bool, default False
        Return (y, a).

    Returns
    -------
    y : numpy.ndarray, (B…, E), or (B…, N, E)
    a : numpy.ndarray, (B…, L), or (B…, N, L)

    Raises
    ------
    ValueError, TypeError
        As of :func:`attention`.

    Notes
    -----
    Yang et al. 2016, Hierarchical Attention Networks for Document Classification.
    :func:`attention_pool_vjp` has the gradients.

    Examples
    --------
    >>> import heedful
    >>> heedful.attention_pool([[0.0, 1.0], [9.0, 3.0]], [0.0, 1.0], scale=1000.0)
    array([9., 3.])
    """
    arrays, options, outward = _prepared(x, query, key, mask, lengths, scale)
    found = attention(*arrays, return_weights=return_weights, **options)
    if not return_weights:
        return outward(found)
    return outward(found[0]), outward(found[1])


def attention_pool_vjp(
    x: ArrayLike,
    query: ArrayLike,
    *,
    key: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    scale: float | None = None,
    return_weights: bool = False,
) -> tuple[Any, Callable[..., tuple[Array, ...]]]:
    """What :func:`attention_pool` returns, and the function that takes gradients back.

    ``pullback(dy)`` gives (dx, dquery), or (dx, dquery, dkey) where a key was given.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> y, pullback = heedful.attention_pool_vjp(np.ones((3, 5, 2)), np.ones(2))
    >>> [gradient.shape for gradient in pullback(y)]
    [(3, 5, 2), (2,)]
    """
    arrays, options, outward = _prepared(x, query, key, mask, lengths, scale)
    found, inner = attention_vjp(*arrays, return_weights=return_weights, **options)
    out = found[0] if return_weights else found
    shapes = [np.shape(as_array("x", x)), np.shape(as_array("query", query))]
    key_shape = None if key is None else np.shape(as_array("key", key))

    def pullback(dy: Any, dweights: Any = None) -> tuple[Array, ...]:
        if dweights is not None:
            dweights = np.asarray(dweights).reshape(found[1].shape)
        gradients = inner(np.asarray(dy).reshape(out.shape), dweights=dweights)
        dx, dkey = gradients.value, gradients.key
        dquery = gradients.query.reshape(shapes[1])
        if key_shape is not None:
            return dx.reshape(shapes[0]), dquery, dkey.reshape(key_shape)
        with np.errstate(all="ignore"):
            return (dx + dkey).reshape(shapes[0]), dquery

    return (outward(found[0]), outward(found[1])) if return_weights else outward(found), pullback


def _prepared(
    x: Any, query: Any, key: Any, mask: Any, lengths: Any, scale: Any
) -> tuple[tuple[Array, Array, Array], dict[str, Any], Callable[[Array], Array]]:
    """Arrays and options of attention with one head, and what takes its axis away again."""
    x, query = as_array("x", x), as_array("query", query)
    key = x if key is None else as_array("key", key)
    if x.ndim < 2 or key.ndim < 2:
        raise ValueError(
            f"x and key must have elements and features as axes: got shapes {x.shape}, {key.shape}"
        )
    if query.ndim not in (1, 2):
        raise ValueError(f"query must have one axis or two: got {named(query)}")
    several = query.ndim == 2
    options: dict[str, Any] = {"kv_lengths": lengths, "scale": scale}
    if mask is not None:
        given = as_array("mask", mask)
        name = "mask" if given.dtype == np.bool_ else "bias"
        options[name] = given[..., np.newaxis, np.newaxis, :]

    def outward(array: Array) -> Array:
        """(B…, 1, N, W) as (B…, N, W), or (B…, W)."""
        return array[..., 0, :, :] if several else array[..., 0, 0, :]

    rows = query if several else query[np.newaxis]
    return (rows, key[..., np.newaxis, :, :], x[..., np.newaxis, :, :]), options, outward
