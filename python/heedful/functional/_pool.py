"""attention_pool: the weighted mean of a sequence, weighted by one query."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from heedful._checks import flag, listed, named
from heedful.functional._attention import attention
from heedful.functional._backward import Gradients, backward, pullback_of
from heedful.functional._call import check_call
from heedful.functional._dtypes import (
    Array,
    accepted_type,
    as_array,
    common_type,
    of_shape,
    rounded,
)
from heedful.functional._forward import forward_for_gradients, returned
from heedful.functional._layout import Shape
from heedful.functional._options import unexpected
from heedful.functional._positions import check_lengths
from heedful.functional._restrictions import mask_or_bias
from heedful.functional._shapes import broadcast_batches, broadcasts, check_axes_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike
    from typing_extensions import Never


@overload
def attention_pool(
    x: ArrayLike, query: ArrayLike, *, key: ArrayLike | None = None, mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None, scale: float | None = None,
    return_weights: Literal[False] = False,
) -> Array: ...  # fmt: skip
@overload
def attention_pool(
    x: ArrayLike, query: ArrayLike, *, key: ArrayLike | None = None, mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None, scale: float | None = None, return_weights: Literal[True],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def attention_pool(
    x: ArrayLike, query: ArrayLike, *, key: ArrayLike | None = None, mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None, scale: float | None = None, return_weights: bool = False,
) -> Any: ...  # fmt: skip
def attention_pool(
    x: ArrayLike,
    query: ArrayLike,
    *,
    key: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    scale: float | None = None,
    return_weights: bool = False,
    **foreign: Never,
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
        Boolean, True where an element is valid, or floating: added to the scores.
    lengths : array_like of int (B…), optional
        How many elements of each sequence are valid, counted from the first.
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
        As :func:`attention` does.

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
    if foreign:
        raise unexpected(attention_pool, foreign)
    return_weights = flag("return_weights", return_weights)
    with _translate_errors(x, query, key, mask, lengths):
        arrays, options, outward = _prepared(x, query, key, mask, lengths, scale)
        found = attention(*arrays, return_weights=return_weights, **options)
    if not return_weights:
        return outward(found)
    return outward(found[0]), outward(found[1])


@overload
def attention_pool_vjp(
    x: ArrayLike, query: ArrayLike, *, key: ArrayLike | None = None, mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None, scale: float | None = None,
    return_weights: Literal[False] = False,
) -> tuple[Array, Callable[..., tuple[Array, ...]]]: ...  # fmt: skip
@overload
def attention_pool_vjp(
    x: ArrayLike, query: ArrayLike, *, key: ArrayLike | None = None, mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None, scale: float | None = None, return_weights: Literal[True],
) -> tuple[tuple[Array, Array], Callable[..., tuple[Array, ...]]]: ...  # fmt: skip
@overload
def attention_pool_vjp(
    x: ArrayLike, query: ArrayLike, *, key: ArrayLike | None = None, mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None, scale: float | None = None, return_weights: bool = False,
) -> tuple[Any, Callable[..., tuple[Array, ...]]]: ...  # fmt: skip
def attention_pool_vjp(
    x: ArrayLike,
    query: ArrayLike,
    *,
    key: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    scale: float | None = None,
    return_weights: bool = False,
    **foreign: Never,
) -> tuple[Any, Callable[..., tuple[Array, ...]]]:
    """What :func:`attention_pool` returns, and its pullback.

    ``pullback(dy)`` returns (dx, dquery), or (dx, dquery, dkey) where a key was given; with
    ``return_weights=True`` it takes ``dweights``, the gradient of the weights, too. dy and
    dweights must have exactly the shapes of y and the weights, otherwise it is a ValueError.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> y, pullback = heedful.attention_pool_vjp(np.ones((3, 5, 2)), np.ones(2))
    >>> [gradient.shape for gradient in pullback(y)]
    [(3, 5, 2), (2,)]
    """
    if foreign:
        raise unexpected(attention_pool_vjp, foreign)
    return_weights = flag("return_weights", return_weights)
    with _translate_errors(x, query, key, mask, lengths):
        arrays, options, outward = _prepared(x, query, key, mask, lengths, scale)
        call = check_call(*arrays, **options)
        result = forward_for_gradients(call, None, return_weights)
        found = returned(call, result, False, return_weights)
        # x alone is key and value: both gradients are added before they are rounded
        run: Callable[..., Gradients] = partial(backward, rounds=key is not None)
        inner = pullback_of(call, result, run)
    out, weights = found if return_weights else (found, None)
    y, a = outward(out), None if weights is None else outward(weights)
    shapes = [np.shape(as_array("x", x)), np.shape(as_array("query", query))]
    key_shape = None if key is None else np.shape(as_array("key", key))

    def pullback(dy: Any, dweights: Any = None) -> tuple[Array, ...]:
        """Gradients of x, query and key, from those of y and of the weights."""
        dy = of_shape("dy", dy, y.shape).reshape(out.shape)
        if dweights is not None:
            if a is None or weights is None:
                raise ValueError("dweights must be None: the call had no return_weights=True")
            dweights = of_shape("dweights", dweights, a.shape).reshape(weights.shape)
        gradients = inner(dy, dweights=dweights)
        dx, dkey = gradients.value, gradients.key
        of_query, _, of_x = call.plan.gradients
        dquery = rounded(gradients.query.reshape(shapes[1]), of_query.dtype)
        if key_shape is not None:
            return dx.reshape(shapes[0]), dquery, dkey.reshape(key_shape)
        with np.errstate(all="ignore"):
            return rounded((dx + dkey).reshape(shapes[0]), of_x.dtype), dquery

    return (y, a) if return_weights else y, pullback


def _prepared(
    x: Any, query: Any, key: Any, mask: Any, lengths: Any, scale: Any
) -> tuple[tuple[Array, Array, Array], dict[str, Any], Callable[[Array], Array]]:
    """Arrays and options of attention with one head, and a function that removes its axis."""
    x, query = as_array("x", x), as_array("query", query)
    key = x if key is None else as_array("key", key)
    if query.ndim not in (1, 2):
        raise ValueError(f"query must have one axis or two: got {named(query)}")
    several = query.ndim == 2
    options: dict[str, Any] = {"kv_lengths": lengths, "scale": scale}
    if mask is not None:
        given = np.atleast_1d(as_array("mask", mask))
        name = "mask" if given.dtype == np.bool_ else "bias"
        options[name] = given[..., np.newaxis, np.newaxis, :]

    def outward(array: Array) -> Array:
        """(B…, 1, N, W) as (B…, N, W), or (B…, W)."""
        return array[..., 0, :, :] if several else array[..., 0, 0, :]

    rows = query if several else query[np.newaxis]
    return (rows, key[..., np.newaxis, :, :], x[..., np.newaxis, :, :]), options, outward


class _translate_errors:
    """Within it, an error of attention becomes one about the arguments of attention_pool.

    They are checked only then, because checking them takes longer than a small call.
    """

    def __init__(self, x: Any, query: Any, key: Any, mask: Any, lengths: Any) -> None:
        self.arguments = x, query, key, mask, lengths

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, (ValueError, TypeError, IndexError)):
            return
        try:
            _check(*self.arguments)
        except (ValueError, TypeError) as error:
            raise error from None


def _check(x: Any, query: Any, key: Any, mask: Any, lengths: Any) -> None:
    x, query = as_array("x", x), as_array("query", query)
    names = ("x",) if key is None else ("x", "key")
    key = x if key is None else as_array("key", key)
    batch = _checked_batch(names, x, query, key)
    if lengths is not None:
        check_lengths("lengths", lengths, batch, x.shape[-2])
    if mask is not None:
        given = as_array("mask", mask)
        mask_or_bias("mask", given)
        if not broadcasts(given.shape, (*batch, x.shape[-2])):
            raise ValueError(
                f"mask must broadcast to (B…, L), here {(*batch, x.shape[-2])}: "
                f"got shape {given.shape}"
            )


def _checked_batch(names: tuple[str, ...], x: Array, query: Array, key: Array) -> Shape:
    """The leading axes of x and key, whose other axes and types fit one another and query."""
    for name, array in zip(names, (x, key), strict=False):
        check_axes_left(name, array)
    if x.ndim < 2 or key.ndim < 2:
        raise ValueError(
            f"x and key must have elements and features as axes: got shapes {x.shape}, {key.shape}"
        )
    if query.ndim not in (1, 2):
        raise ValueError(f"query must have one axis or two: got {named(query)}")
    compared = names[-1]
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"query must be as deep as {compared}: query has {query.shape[-1]} features, "
            f"{compared} has {key.shape[-1]}"
        )
    if key.shape[-2] != x.shape[-2]:
        raise ValueError(
            f"key must have an element for each of x: x has {x.shape[-2]}, key has {key.shape[-2]}"
        )
    types = [accepted_type(name, array) for name, array in zip(names, (x, key), strict=False)]
    common_type(listed((*names, "query")), [*types, accepted_type("query", query)])
    return broadcast_batches(names, (x.shape[:-2], key.shape[:-2])[: len(names)])
