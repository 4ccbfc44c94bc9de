"""attention_vjp: attention with a function that returns its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

from heedful._checks import flag
from heedful.functional._backward import Gradients
from heedful.functional._call import check_call
from heedful.functional._dropped_blocks import DroppedCount
from heedful.functional._entmax import gradients_of
from heedful.functional._forward import (
    check_returned,
    forward_for_gradients,
    returned,
)
from heedful.functional._normalizer import refuse_lse
from heedful.functional._options import unexpected

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Never, Unpack

    from heedful.functional._dtypes import Array
    from heedful.functional._option_types import Align, LayoutName, Normalizer, Options, Rng, Window
    from heedful.functional.block_mask import BlockMask


@overload
def attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: Literal[False] = False,
    return_weights: Literal[False] = False, return_skipped: Literal[False] = False,
    **options: Unpack[Options],
) -> tuple[Array, Callable[..., Gradients]]: ...  # fmt: skip
@overload
def attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: Literal[True],
    return_weights: Literal[False] = False, return_skipped: Literal[False] = False,
    **options: Unpack[Options],
) -> tuple[tuple[Array, Array], Callable[..., Gradients]]: ...  # fmt: skip
@overload
def attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: Literal[False] = False,
    return_weights: Literal[True], return_skipped: Literal[False] = False,
    **options: Unpack[Options],
) -> tuple[tuple[Array, Array], Callable[..., Gradients]]: ...  # fmt: skip
@overload
def attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: Literal[True],
    return_weights: Literal[True], return_skipped: Literal[False] = False,
    **options: Unpack[Options],
) -> tuple[tuple[Array, Array, Array], Callable[..., Gradients]]: ...  # fmt: skip
@overload
def attention_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: bool = False,
    return_weights: bool = False, return_skipped: bool = False, **options: Unpack[Options],
) -> tuple[Any, Callable[..., Gradients]]: ...  # fmt: skip
def attention_vjp(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    block_mask: BlockMask | None = None,
    min_weight: float = 0.0,
    causal: bool = False,
    window: Window = None,
    exclude_self: bool = False,
    align: Align = None,
    q_lengths: ArrayLike | None = None,
    kv_lengths: ArrayLike | None = None,
    top_k: int | None = None,
    normalizer: Normalizer = "softmax",
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: ArrayLike | None = None,
    sink: ArrayLike | None = None,
    dropout_p: float = 0.0,
    key_dropout_p: float = 0.0,
    gumbel_temperature: float | None = None,
    rng: Rng = None,
    layout: LayoutName = "bhld",
    out: Array | None = None,
    return_lse: bool = False,
    return_weights: bool = False,
    average_heads: bool = False,
    return_skipped: bool = False,
    **foreign: Never,
) -> tuple[Any, Callable[..., Gradients]]:
    """Attention together with its pullback, which propagates gradients back through it.

    ::

        out, pullback = attention_vjp(query, key, value)
        gradients = pullback(dout)        # gradients.query = Σ dout · ∂out / ∂query, and so on

    Parameters
    ----------
    query, key, value, mask, …, return_skipped
        As in :func:`attention`.

    Returns
    -------
    out : numpy.ndarray, or a tuple
        What :func:`attention` returns for the same arguments.
    pullback : callable
        ``pullback(dout, dlse=None, dweights=None, bias_gradient=True)`` takes the gradient of each
        result, in its shape, and returns a :class:`Gradients` tuple (query, key, value, bias,
        sink). Each gradient has the shape and the type of its input, also through broadcasting and
        grouped heads (float64 for integers); it is None for a bias or sink that was not given, and
        for the bias with ``bias_gradient=False``, which saves an array as large as a constant bias.
        mask, alibi_slopes and lengths have no gradient. dweights needs ``return_weights=True``.
        Where `normalizer` is an α for each head, it is a :class:`NormalizerGradients` tuple, which
        has its gradient, too.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`attention` does.

    Notes
    -----
    The pullback keeps query, key, value, out and lse, not the weights (unless they were requested),
    and recomputes the weights tile by tile (Dao et al. 2022,
    https://arxiv.org/abs/2205.14135): memory stays linear in the lengths. Given the dweights of a
    mean over the heads, it computes the weights of all heads, (B…, H, Lq, Lk). It does not copy
    what it keeps: change these arrays only after the last call. For 16-bit inputs it keeps out in
    float32, before rounding, with top_k also which keys each query attends to. It draws no random
    numbers, dropout's seed is kept; calling it again returns the same gradients.

    With another `normalizer` than softmax it keeps the thresholds of the rows instead of lse, and
    beside out the means of the values by the slopes of the weights, ∂weight / ∂score, in the type
    that is computed in (Correia et al. 2019, https://arxiv.org/abs/1909.00015, for α's gradient).
    At a threshold, where a weight becomes 0, the gradient is one of the two one-sided ones.

    Rows that attend to nothing have gradients of 0 (except the sink), and dlse has no effect where
    lse is −inf. Sums are formed in float32 (float64 for float64) and rounded once to the type of
    the input. Where bfloat16 is multiplied in pairs or tiles (see :func:`show_config`),
    :func:`attention` rounds the weights to bfloat16; here those of out are not rounded, because the
    gradients are formed from out, which may then differ in its last bits. The pullback multiplies
    in tiles, where D = Dv ≥ 16 and there are no dweights: weights and dscores are rounded to
    bfloat16 for the gradients of value and key, dscores to two of them for that of query, which
    stays accurate where keys have a common offset. Where leading axes broadcast, the gradient is
    first formed for the whole batch.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> query, key, value = np.eye(2), np.eye(2), np.array([[1.0], [3.0]])
    >>> out, pullback = heedful.attention_vjp(query, key, value, scale=1.0)
    >>> out.round(4)
    array([[1.5379],
           [2.4621]])
    >>> gradients = pullback(np.ones_like(out))
    >>> gradients.query.round(4)
    array([[-0.3932,  0.3932],
           [-0.3932,  0.3932]])
    >>> gradients.value
    array([[1.],
           [1.]])
    """
    if foreign:
        raise unexpected(attention_vjp, foreign)
    return_lse, return_weights = check_returned(return_lse, return_weights)
    call = check_call(
        query, key, value, mask, bias, block_mask, min_weight, causal, window, exclude_self, align,
        q_lengths, kv_lengths, top_k, normalizer, scale, softcap, alibi_slopes, sink, dropout_p,
        key_dropout_p, gumbel_temperature, rng, layout,
    )  # fmt: skip
    refuse_lse(call.normalizer, return_lse)
    count = DroppedCount(call) if flag("return_skipped", return_skipped) else None
    average_heads = flag("average_heads", average_heads)
    result = forward_for_gradients(call, out, return_weights, average_heads)
    results = returned(call, result, return_lse, return_weights, count)
    return results, gradients_of(call, result)
