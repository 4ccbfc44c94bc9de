"""additive_attention and its gradients: scores from the tanh of sums instead of dot products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from heedful._core import native
from heedful.functional._backward import AdditiveGradients, backward, pullback_of
from heedful.functional._call import Call, check_call
from heedful.functional._dtypes import (
    Array,
    DType,
    accepted_type,
    as_array,
    finite_cast,
    gradient_type,
)
from heedful.functional._forward import (
    Compiled,
    Forward,
    check_returned,
    forward,
    forward_for_gradients,
    returned,
)
from heedful.functional._options import unexpected
from heedful.functional._overflow import SHRINK
from heedful.functional._results import overlap

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Never, Unpack

    from heedful.functional._option_types import AdditiveOptions, Align, LayoutName, Rng, Window
    from heedful.functional.block_mask import BlockMask


class ScoreVector(NamedTuple):
    """The score vector as the compiled functions read it, and shape and type of its gradient."""

    read: Array  # T (1 or Hkv, E)
    shape: tuple[int, ...]
    dtype: DType


@overload
def additive_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: Literal[False] = False, return_weights: Literal[False] = False,
    **options: Unpack[AdditiveOptions],
) -> Array: ...  # fmt: skip
@overload
def additive_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: Literal[True], return_weights: Literal[False] = False,
    **options: Unpack[AdditiveOptions],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def additive_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: Literal[False] = False, return_weights: Literal[True],
    **options: Unpack[AdditiveOptions],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def additive_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: Literal[True], return_weights: Literal[True], **options: Unpack[AdditiveOptions],
) -> tuple[Array, Array, Array]: ...  # fmt: skip
@overload
def additive_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: bool = False, return_weights: bool = False, **options: Unpack[AdditiveOptions],
) -> Any: ...  # fmt: skip
def additive_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None,
    block_mask: BlockMask | None = None, min_weight: float = 0.0, causal: bool = False,
    window: Window = None, exclude_self: bool = False, align: Align = None,
    q_lengths: ArrayLike | None = None, kv_lengths: ArrayLike | None = None,
    alibi_slopes: ArrayLike | None = None, sink: ArrayLike | None = None, dropout_p: float = 0.0,
    key_dropout_p: float = 0.0, gumbel_temperature: float | None = None, rng: Rng = None,
    layout: LayoutName = "bhld", out: Array | None = None, return_lse: bool = False,
    return_weights: bool = False, **foreign: Never,
) -> Any:  # fmt: skip
    """Additive attention: the weighted sum of values, weighted by a tanh of query and key.

    ::

        score[i, j] = Σ_e weight[e] · tanh(query[i, e] + key[j, e])
        out         = softmax(score) value

    query and key are the projected states; :class:`heedful.layers.AdditiveAttention` includes the
    projections.

    Parameters
    ----------
    query : array_like, (…, H, Lq, E)
    key : array_like, (…, Hkv, Lk, E)
    value : array_like, (…, Hkv, Lk, Dv)
        Shapes, broadcasting, heads and types as in :func:`attention`.
    weight : array_like, (E,) or (Hkv, E)
        The score vector, for all heads or for each key head, of any real type; it is converted
        to the type that is computed in, and reduced where a score would not be finite in it.
    mask, bias, block_mask, min_weight
        As in :func:`attention`.
    causal, window, exclude_self, align, q_lengths, kv_lengths, alibi_slopes, sink
        As in :func:`attention`. Scale and softcap are for dot products; here `weight` is the scale.
    dropout_p, key_dropout_p, gumbel_temperature, rng, layout, out, return_lse, return_weights
        As in :func:`attention`.

    Returns
    -------
    out : numpy.ndarray, (…, H, Lq, Dv), or (out, lse?, weights?)

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`attention` does, and for a weight of another shape or type.

    Notes
    -----
    Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473. Luong et al. 2015 call this score
    "concat"; in Keras it is ``AdditiveAttention``, whose scale is this weight.

    Nothing of size Lq · Lk · E is stored, nor the scores: memory is linear in the lengths. Unless
    elements are beyond 10, e^2q and e^2k are computed once per row, and a pair takes half a
    division, tanh(q + k) being (e^2q e^2k − 1) / (e^2q e^2k + 1); the digits that this would lose
    near 0 are carried along.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> query, key = np.array([[0.0], [9.0]]), np.array([[-9.0], [9.0]])
    >>> heedful.additive_attention(query, key, [[1.0], [3.0]], weight=[50.0])
    array([[3.],
           [3.]])
    """
    if foreign:
        raise unexpected(additive_attention, foreign)
    return_lse, return_weights = check_returned(return_lse, return_weights)
    call = check_call(
        query, key, value, mask, bias, block_mask, min_weight, causal, window, exclude_self, align,
        q_lengths, kv_lengths, None, "softmax", 1.0, None, alibi_slopes, sink, dropout_p,
        key_dropout_p, gumbel_temperature, rng, layout,
    )  # fmt: skip
    compiled = additive_forwards(check_weight(weight, call, out))
    result = forward(call, out, return_weights, compiled=compiled)
    return returned(call, result, return_lse, return_weights)


@overload
def additive_attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: Literal[False] = False, return_weights: Literal[False] = False,
    **options: Unpack[AdditiveOptions],
) -> tuple[Array, Callable[..., AdditiveGradients]]: ...  # fmt: skip
@overload
def additive_attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: Literal[True], return_weights: Literal[False] = False,
    **options: Unpack[AdditiveOptions],
) -> tuple[tuple[Array, Array], Callable[..., AdditiveGradients]]: ...  # fmt: skip
@overload
def additive_attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: Literal[False] = False, return_weights: Literal[True],
    **options: Unpack[AdditiveOptions],
) -> tuple[tuple[Array, Array], Callable[..., AdditiveGradients]]: ...  # fmt: skip
@overload
def additive_attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: Literal[True], return_weights: Literal[True], **options: Unpack[AdditiveOptions],
) -> tuple[tuple[Array, Array, Array], Callable[..., AdditiveGradients]]: ...  # fmt: skip
@overload
def additive_attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    return_lse: bool = False, return_weights: bool = False, **options: Unpack[AdditiveOptions],
) -> tuple[Any, Callable[..., AdditiveGradients]]: ...  # fmt: skip
def additive_attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None,
    block_mask: BlockMask | None = None, min_weight: float = 0.0, causal: bool = False,
    window: Window = None, exclude_self: bool = False, align: Align = None,
    q_lengths: ArrayLike | None = None, kv_lengths: ArrayLike | None = None,
    alibi_slopes: ArrayLike | None = None, sink: ArrayLike | None = None, dropout_p: float = 0.0,
    key_dropout_p: float = 0.0, gumbel_temperature: float | None = None, rng: Rng = None,
    layout: LayoutName = "bhld", out: Array | None = None, return_lse: bool = False,
    return_weights: bool = False, **foreign: Never,
) -> tuple[Any, Callable[..., AdditiveGradients]]:  # fmt: skip
    """Additive attention together with its pullback.

    Parameters
    ----------
    query, key, value, weight, mask, …, return_weights
        As in :func:`additive_attention`.

    Returns
    -------
    out : numpy.ndarray, or a tuple
        What :func:`additive_attention` returns for the same arguments.
    pullback : callable
        ``pullback(dout, dlse=None, dweights=None)`` returns :class:`AdditiveGradients` (query, key,
        value, weight, bias, sink), each of the shape and type of its input, None for an input that
        was not given. It recomputes each tanh, may be called more than once, and keeps the inputs
        without a copy: see :func:`attention_vjp`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`additive_attention` does.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> out, pullback = heedful.additive_attention_vjp(
    ...     np.ones((3, 5, 4)), np.ones((3, 7, 4)), np.ones((3, 7, 2)), np.ones(4)
    ... )
    >>> gradients = pullback(np.ones_like(out))
    >>> gradients.query.shape, gradients.key.shape, gradients.value.shape, gradients.weight.shape
    ((3, 5, 4), (3, 7, 4), (3, 7, 2), (4,))
    """
    if foreign:
        raise unexpected(additive_attention_vjp, foreign)
    return_lse, return_weights = check_returned(return_lse, return_weights)
    call = check_call(
        query, key, value, mask, bias, block_mask, min_weight, causal, window, exclude_self, align,
        q_lengths, kv_lengths, None, "softmax", 1.0, None, alibi_slopes, sink, dropout_p,
        key_dropout_p, gumbel_temperature, rng, layout,
    )  # fmt: skip
    checked = check_weight(weight, call, out)
    compiled = additive_forwards(checked)
    result = forward_for_gradients(call, out, return_weights, compiled=compiled)
    pullback = additive_pullback(call, checked, result)
    return returned(call, result, return_lse, return_weights), pullback


def check_weight(given: ArrayLike, call: Call, out: Any) -> ScoreVector:
    """A small contiguous copy, which the caller cannot change."""
    weight, axes = as_array("weight", given), call.plan.axes
    accepted_type("weight", weight)
    if weight.shape not in ((axes.depth,), (axes.kv_heads, axes.depth)):
        raise ValueError(
            f"weight must have shape {(axes.depth,)}, one element for each column of key, "
            f"or {(axes.kv_heads, axes.depth)}, one row for each head of key: got {weight.shape}"
        )
    if out is not None and overlap(out, weight):
        raise ValueError("out must not overlap an input: it shares memory with weight")
    computing = call.plan.computing
    if weight.dtype == computing:
        read = np.array(weight, order="C", ndmin=2)
    else:
        read = np.ascontiguousarray(np.atleast_2d(finite_cast(weight, computing)))
    return ScoreVector(read, weight.shape, gradient_type(weight.dtype))


def additive_forwards(weight: ScoreVector) -> Compiled:
    """The compiled functions for the output, for the weights and for both."""
    return Compiled(
        partial(native.additive_forward, weight.read),
        partial(native.additive_weights, weight.read),
        partial(native.additive_with_weights, weight.read),
    )


def additive_pullback(
    call: Call, weight: ScoreVector, result: Forward,
    compiled: Callable[..., bool] = native.additive_backward,
) -> Callable[..., AdditiveGradients]:  # fmt: skip
    def run(
        call: Call, dout: Any, out: Array, lse: Array, dlse: Any, weights: Any, dweights: Any,
        bias_gradient: bool,
    ) -> AdditiveGradients:  # fmt: skip
        dweight = np.zeros(weight.read.shape)
        calls = 0

        def compute(*arguments: Any) -> bool:
            nonlocal calls
            calls += 1
            dweight.fill(0)
            return compiled(weight.read, dweight, *arguments)

        found = backward(
            call, dout, out, lse, dlse, weights, dweights, compute, bias_gradient=bias_gradient
        )
        with np.errstate(all="ignore"):
            if calls > 1:  # the last one computed scaled gradients
                dweight *= 1 / SHRINK
            of_weight = dweight.reshape(weight.shape).astype(weight.dtype, copy=False)
        return AdditiveGradients(*found[:3], of_weight, *found[3:])

    return pullback_of(call, result, run)
