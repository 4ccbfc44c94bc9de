"""attention_backward: the gradients of attention, from the results of an earlier call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful._checks import flag
from heedful.functional._backward import Gradients, backward
from heedful.functional._call import check_call
from heedful.functional._dtypes import as_array, cast_like
from heedful.functional._forward import forward_alone
from heedful.functional._options import unexpected
from heedful.functional._random import check_same_seed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Never

    from heedful.functional._option_types import Align, LayoutName, Window
    from heedful.functional.block_mask import BlockMask


def attention_backward(
    dout: ArrayLike,
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    out: ArrayLike,
    lse: ArrayLike,
    *,
    dlse: ArrayLike | None = None,
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
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: ArrayLike | None = None,
    sink: ArrayLike | None = None,
    dropout_p: float = 0.0,
    key_dropout_p: float = 0.0,
    gumbel_temperature: float | None = None,
    rng: int | None = None,
    layout: LayoutName = "bhld",
    bias_gradient: bool = True,
    **foreign: Never,
) -> Gradients:
    """Gradients of attention from the results of an earlier call.

    ::

        weights = exp(scores − lse)                       dvalue = (dropout ∘ weights)ᵀ dout
        delta   = Σ_d dout ∘ out − dlse                   dquery = scale · dscores key
        dscores = weights ∘ (dropout ∘ dout valueᵀ − delta)   dkey = scale · dscoresᵀ query

    out and lse may also come from :func:`merge_attention`: with the merged ones, each piece of the
    keys yields its own gradients of key and value and its contribution to the gradient of query;
    the contributions add up.

    Parameters
    ----------
    dout : array_like, shape of out
        Gradient of out. It is converted to the type of query (their common type), in which finite
        stays finite.
    query, key, value : array_like
        The inputs of the forward call, or of one piece of it.
    out : array_like
        The result of the forward call, or the merged one. For 16-bit inputs give it in float32, see
        the notes.
    lse : array_like, (B…, H, Lq)
        Its log-sum-exp, or the merged one.
    dlse : array_like, (B…, H, Lq), optional
        Gradient of lse, if it was used. It has no effect where lse is −inf.
    mask, …, layout
        As in the forward call. With dropout or noise, `rng` must be the integer that the forward
        call was given; :func:`attention_vjp` needs no such care.
    bias_gradient : bool, default True
        False where the bias is a constant: its gradient, an array as large as the bias, is neither
        computed nor returned.

    Returns
    -------
    Gradients
        (query, key, value, bias, sink), each of the shape and the type of its input (float64 for
        integers), None for a bias or sink that was not given, and for a constant bias.

    Raises
    ------
    ValueError
        Shapes that do not fit, or dropout without an integer `rng`.
    TypeError, MemoryError
        As :func:`attention` does.

    Notes
    -----
    Dao et al. 2022, https://arxiv.org/abs/2205.14135, appendix B; the term of dlse follows from
    ∂lse / ∂scores = weights.

    An out that was rounded to 16 bits makes delta equally coarse. Where the values (or the keys)
    have a common offset, the gradients of query and key are small differences from it, and lose
    digits: 2 % of the largest one in bfloat16 where the offset is ten times the spread, more where
    it is larger. A float32 out is used as it is and gives the gradients of :func:`attention_vjp`,
    which keeps one. It comes from ``attention(query.astype(numpy.float32), key, value,
    return_lse=True)`` with key and value left in 16 bits, and from :func:`merge_attention` of such
    pieces.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> query, key, value = np.eye(2), np.eye(2), np.array([[1.0], [3.0]])
    >>> out, lse = heedful.attention(query, key, value, return_lse=True)
    >>> heedful.attention_backward(np.ones_like(out), query, key, value, out, lse).key.round(4)
    array([[-0.3128, -0.3128],
           [ 0.3128,  0.3128]])
    """
    if foreign:
        raise unexpected(attention_backward, foreign)
    call = check_call(
        query, key, value, mask, bias, block_mask, min_weight, causal, window, exclude_self, align,
        q_lengths, kv_lengths, top_k, "softmax", scale, softcap, alibi_slopes, sink, dropout_p,
        key_dropout_p, gumbel_temperature, rng, layout,
    )  # fmt: skip
    check_same_seed(call.is_random, rng)
    bias_gradient = flag("bias_gradient", bias_gradient)
    axes = call.plan.axes
    out = as_array("out", out)
    rounded = out.dtype == call.plan.dtype  # otherwise in the precision it was given in
    out = cast_like("out", out, axes.out, call.plan.dtype if rounded else call.plan.computing)
    lse = cast_like("lse", lse, axes.rows[axes.layout.missing :], call.plan.computing)
    if call.block_mask is not None and call.block_mask.min_weight > 0:
        forward_alone(call, None)  # it drops the blocks that the forward call dropped
    return backward(call, dout, out, lse.reshape(axes.rows), dlse, bias_gradient=bias_gradient)
