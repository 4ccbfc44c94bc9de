"""attention_varlen: sequences of different lengths packed one after another, without padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

from heedful._checks import flag
from heedful.functional._backward import Gradients
from heedful.functional._call import check_call
from heedful.functional._entmax import gradients_of
from heedful.functional._forward import forward, forward_alone, forward_for_gradients, returned
from heedful.functional._normalizer import refuse_lse
from heedful.functional._options import unexpected

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Never, Unpack

    from heedful.functional._dtypes import Array
    from heedful.functional._option_types import Align, Normalizer, PositionOptions, Rng, Window
    from heedful.functional.block_mask import BlockMask


@overload
def attention_varlen(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, cu_seqlens_q: ArrayLike,
    cu_seqlens_k: ArrayLike, *, return_lse: Literal[False] = False,
    **options: Unpack[PositionOptions],
) -> Array: ...  # fmt: skip
@overload
def attention_varlen(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, cu_seqlens_q: ArrayLike,
    cu_seqlens_k: ArrayLike, *, return_lse: Literal[True], **options: Unpack[PositionOptions],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def attention_varlen(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, cu_seqlens_q: ArrayLike,
    cu_seqlens_k: ArrayLike, *, return_lse: bool = False, **options: Unpack[PositionOptions],
) -> Any: ...  # fmt: skip
def attention_varlen(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    cu_seqlens_q: ArrayLike,
    cu_seqlens_k: ArrayLike,
    *,
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
    out: Array | None = None,
    return_lse: bool = False,
    **foreign: Never,
) -> Any:
    """Attention within each of n sequences that are packed one after another.

    ::

        query   | sequence 0 | sequence 1     | 2 |        cu_seqlens_q = [0, 5, 12, 14]
        key     | sequence 0  | sequence 1 | 2   |         cu_seqlens_k = [0, 6, 11, 15]

    The queries cu_seqlens_q[s] … cu_seqlens_q[s + 1] − 1 attend to the keys cu_seqlens_k[s] …
    cu_seqlens_k[s + 1] − 1 as :func:`attention` would let them, and to no others.

    Parameters
    ----------
    query : array_like, (tokens, H, D)
    key : array_like, (key tokens, Hkv, D)
    value : array_like, (key tokens, Hkv, Dv)
    cu_seqlens_q, cu_seqlens_k : array_like of int, (n + 1,)
        Where each sequence starts and the last one ends: from 0, never decreasing. They are copied,
        then checked. Tokens after the last sequence belong to none: their output is 0.
    align : {"upper_left", "lower_right"}, int or array_like of int (n,), optional
        As in :func:`attention`, with each sequence's own lengths. None needs as many queries as
        keys in every sequence where `causal`, `window`, `exclude_self` or `alibi_slopes` is used.
    q_lengths, kv_lengths : array_like of int, (n,), optional
        How many queries and keys of each sequence are valid, counted from the first.
    alibi_slopes : array_like, (H,) or (n, H), optional
    block_mask : BlockMask, optional
        As in :func:`attention`, of the queries and keys counted in each sequence: at least as long
        as the longest one. Its leading axes broadcast to (n, H).
    normalizer : {"softmax", "entmax15", "sparsemax"}, float or array_like, (H,)
        As in :func:`attention`.
    min_weight, causal, window, exclude_self, top_k, scale, softcap, sink, out, return_lse
        As in :func:`attention`. There is no mask, no bias and no return_weights.
    dropout_p, key_dropout_p, gumbel_temperature, rng
        As in :func:`attention`. Dropout and noise are keyed by the sequence and the positions in
        it, so they are those of a call with these sequences as the items of a padded batch.

    Returns
    -------
    out : numpy.ndarray, (tokens, H, Dv)
    lse : numpy.ndarray, (H, tokens), if `return_lse`

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`attention` does, and for sequences that do not lie within their arrays.

    Notes
    -----
    Dao 2023, https://arxiv.org/abs/2307.08691, calls this form variable length.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> x = np.arange(5.0).reshape(5, 1, 1)
    >>> starts = [0, 2, 5]
    >>> heedful.attention_varlen(x, x, x, starts, starts, causal=True).ravel().round(4)
    array([0.    , 0.7311, 2.    , 2.9526, 3.9814])
    """
    if foreign:
        raise unexpected(attention_varlen, foreign)
    return_lse = flag("return_lse", return_lse)
    call = check_call(
        query, key, value, None, None, block_mask, min_weight, causal, window, exclude_self, align,
        q_lengths, kv_lengths, top_k, normalizer, scale, softcap, alibi_slopes, sink, dropout_p,
        key_dropout_p, gumbel_temperature, rng, "blhd", (cu_seqlens_q, cu_seqlens_k),
    )  # fmt: skip
    if not return_lse:
        return forward_alone(call, out)
    refuse_lse(call.normalizer, return_lse)
    return returned(call, forward(call, out, False), True, False)


@overload
def attention_varlen_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, cu_seqlens_q: ArrayLike,
    cu_seqlens_k: ArrayLike, *, return_lse: Literal[False] = False,
    **options: Unpack[PositionOptions],
) -> tuple[Array, Callable[..., Gradients]]: ...  # fmt: skip
@overload
def attention_varlen_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, cu_seqlens_q: ArrayLike,
    cu_seqlens_k: ArrayLike, *, return_lse: Literal[True], **options: Unpack[PositionOptions],
) -> tuple[tuple[Array, Array], Callable[..., Gradients]]: ...  # fmt: skip
@overload
def attention_varlen_vjp(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, cu_seqlens_q: ArrayLike,
    cu_seqlens_k: ArrayLike, *, return_lse: bool = False, **options: Unpack[PositionOptions],
) -> tuple[Any, Callable[..., Gradients]]: ...  # fmt: skip
def attention_varlen_vjp(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    cu_seqlens_q: ArrayLike,
    cu_seqlens_k: ArrayLike,
    *,
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
    out: Array | None = None,
    return_lse: bool = False,
    **foreign: Never,
) -> tuple[Any, Callable[..., Gradients]]:
    """:func:`attention_varlen` together with its pullback.

    Parameters
    ----------
    query, key, value, cu_seqlens_q, …, return_lse
        As in :func:`attention_varlen`.

    Returns
    -------
    out : numpy.ndarray, or the tuple (out, lse)
        What :func:`attention_varlen` returns for the same arguments.
    pullback : callable
        ``pullback(dout, dlse=None)`` returns a :class:`Gradients` tuple (query, key, value, bias,
        sink); see :func:`attention_vjp`. bias is None. Tokens that belong to no sequence have
        gradients of 0.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`attention_varlen` does.

    Notes
    -----
    As for :func:`attention_vjp`: arrays are kept, not copied, for 16-bit inputs out in float32, and
    the weights are recomputed (Dao et al. 2022, https://arxiv.org/abs/2205.14135).

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> x = np.arange(5.0).reshape(5, 1, 1)
    >>> out, pullback = heedful.attention_varlen_vjp(x, x, x, [0, 2, 5], [0, 2, 5])
    >>> pullback(np.ones_like(out)).value.ravel().round(4)
    array([0.7689, 1.2311, 0.0186, 0.1826, 2.7988])
    """
    if foreign:
        raise unexpected(attention_varlen_vjp, foreign)
    return_lse = flag("return_lse", return_lse)
    call = check_call(
        query, key, value, None, None, block_mask, min_weight, causal, window, exclude_self, align,
        q_lengths, kv_lengths, top_k, normalizer, scale, softcap, alibi_slopes, sink, dropout_p,
        key_dropout_p, gumbel_temperature, rng, "blhd", (cu_seqlens_q, cu_seqlens_k),
    )  # fmt: skip
    refuse_lse(call.normalizer, return_lse)
    result = forward_for_gradients(call, out, False)
    return returned(call, result, return_lse, False), gradients_of(call, result)
