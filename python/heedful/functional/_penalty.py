"""attention_penalty: a regulariser of attention and its gradients, without storing the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from heedful._checks import finite
from heedful._core import native
from heedful.functional._backward import backward, pullback_of
from heedful.functional._call import NO_VALUE, Call, check_call
from heedful.functional._forward import forward_for_gradients, returned
from heedful.functional._gradients import attention_vjp
from heedful.functional._options import unexpected
from heedful.functional._penalties import (
    check_kind,
    check_penalised,
    check_penalties,
    penalised,
    statistics_of,
)
from heedful.functional._penalty_rows import Target, backward_by_rows, target_statistics
from heedful.functional._rows import lse_of_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike
    from typing_extensions import Never

    from heedful.functional._backward import Gradients
    from heedful.functional._dtypes import Array
    from heedful.functional._option_types import Align, LayoutName, Window
    from heedful.functional.block_mask import BlockMask

Kind: TypeAlias = Literal[
    "l2", "entropy", "negative_entropy", "scores_l1", "scores_l2", "z", "target"
]


def attention_penalty(
    query: ArrayLike,
    key: ArrayLike,
    kind: Kind,
    *,
    target: ArrayLike | Callable[[slice], ArrayLike] | None = None,
    mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    block_mask: BlockMask | None = None,
    causal: bool = False,
    window: Window = None,
    exclude_self: bool = False,
    align: Align = None,
    q_lengths: ArrayLike | None = None,
    kv_lengths: ArrayLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: ArrayLike | None = None,
    layout: LayoutName = "bhld",
    **foreign: Never,
) -> tuple[float, Callable[..., tuple[Array, ...]]]:
    """A penalty of the weights or the scores of attention, together with its pullback.

    ::

        penalty = mean over rows of f(row)          s = scores, p = softmax(s), t = target

        kind                  f                                    df / ds
        "l2"                  Σ_j p_j²                             p ∘ (2 p − 2 Σ p²)
        "entropy"             H = −Σ_j p_j log p_j                 −p ∘ (log p + H)
        "negative_entropy"    −H                                   p ∘ (log p + H)
        "scores_l1"           mean over visible keys of abs(s)     sign(s) / keys
        "scores_l2"           mean over visible keys of s²         2 s / keys
        "z"                   lse² = (log Σ_j exp(s_j))²           2 lse · p
        "target"              Σ_j t_j (log t_j − log p_j)          p · Σ t − t

    The rows are those of all items, heads and queries that attend to something. As a term of a
    loss, "l2" and "negative_entropy" make the weights more even, "entropy" makes them sharper, and
    "z" and the penalties of scores keep the scores small.

    Parameters
    ----------
    query : array_like, (B…, H, Lq, D)
    key : array_like, (B…, Hkv, Lk, D)
    kind : str
        As above. "l1" of the weights is an error: they sum to 1, so it is constant.
    target : array_like or callable, optional
        The target weights t ≥ 0 of the kind "target", which broadcast to (B…, H, Lq, Lk); or a
        function that returns those of the queries in a slice, broadcastable to (B…, H, n, Lk),
        which is called for some queries at a time, so that they need not be stored. A row need not
        sum to 1. What it holds for hidden keys has no effect.
    mask, …, layout
        As in :func:`attention`.

    Returns
    -------
    penalty : float
        0 where no row attends to anything.
    pullback : callable
        ``pullback(dpenalty=1.0)`` returns (dquery, dkey), with a bias (dquery, dkey, dbias), each
        of the shape and the type of its input (float64 for integers). It may be called more than
        once.

    Raises
    ------
    ValueError
        Shapes that do not fit, an unknown kind, "target" without a target or a target with another
        kind, a target that is negative.
    TypeError, MemoryError
        As :func:`attention` does.

    Notes
    -----
    Computed as :func:`attention_vjp` computes its gradients, tile by tile (Dao et al. 2022,
    https://arxiv.org/abs/2205.14135): memory stays linear in the lengths. Sums are formed in
    float32 (float64 for float64), those of long rows in float64.
    :class:`heedful.layers.MultiHeadAttention` with `penalties` adds them to the gradients of
    attention in one pass.

    Entropy of attention: Zhai et al. 2023, https://arxiv.org/abs/2303.06296; of predictions:
    Pereyra et al. 2017, https://arxiv.org/abs/1701.06548. The z-loss: Chowdhery et al. 2022,
    https://arxiv.org/abs/2204.02311, and Zoph et al. 2022, https://arxiv.org/abs/2202.08906.
    Distance to target weights: Liu et al. 2016, https://arxiv.org/abs/1609.04186.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> query, key = np.zeros((5, 3)), np.eye(4, 3)
    >>> entropy, pullback = heedful.attention_penalty(query, key, "entropy")
    >>> round(entropy, 4), round(float(np.log(4)), 4)
    (1.3863, 1.3863)
    >>> dquery, dkey = pullback(0.01)
    >>> dquery.shape, dkey.shape
    ((5, 3), (4, 3))

    The distance to weights on the diagonal, which are never in memory at once:

    >>> x = np.random.default_rng(0).standard_normal((500, 8))
    >>> def diagonal(rows):
    ...     return np.eye(rows.stop - rows.start, 500, rows.start)
    >>> distance, pullback = heedful.attention_penalty(x, x, "target", target=diagonal)
    >>> round(distance, 3)
    3.933
    """
    if foreign:
        raise unexpected(attention_penalty, foreign)
    kind = check_kind("kind", kind)  # type: ignore[assignment]
    if (kind == "target") != (target is not None):
        raise ValueError(
            "target must be given with kind='target', and with no other: "
            f"got kind={kind!r} {'without' if target is None else 'with'} a target"
        )
    call = check_call(
        query, key, NO_VALUE, mask, bias, block_mask, 0.0, causal, window, exclude_self, align,
        q_lengths, kv_lengths, None, "softmax", scale, softcap, alibi_slopes, None, 0.0, 0.0, None,
        None, layout,
    )  # fmt: skip
    wanted = None if target is None else Target(call, target)
    lse = lse_of_rows(call, None)
    if wanted is None:
        statistics = statistics_of(call, lse, {kind: 1.0})
    else:
        statistics = target_statistics(call, lse, wanted)
    value, coefficients = penalised(lse, statistics, {kind: 1.0})
    has_bias = call.bias is not None
    call = _without_values(call)

    @np.errstate(all="ignore")  # what is not finite is passed on without a warning
    def pullback(dpenalty: float = 1.0) -> tuple[Array, ...]:
        """Gradients of query, key and bias from that of the penalty."""
        factor = coefficients.dtype.type(finite("dpenalty", dpenalty))
        scaled = coefficients * factor
        run: Any = _whole_backward(scaled) if wanted is None else backward_by_rows(scaled, wanted)
        none = np.zeros(call.plan.axes.out, call.plan.dtype)
        found = backward(call, none, none, lse, compute=run)
        gradients = (found.query, found.key)
        return (*gradients, found.bias) if has_bias else gradients  # type: ignore[return-value]

    return value, pullback


def _without_values(call: Call) -> Call:
    """Without the originals of converted inputs, and with values of depth 0."""
    return call._replace(value=call.key[..., :0], inputs=None)


def _whole_backward(coefficients: Array) -> Callable[..., bool]:
    def compute(*arguments: Any) -> bool:
        native.penalised_backward(coefficients, None, *arguments)
        return False  # sums are not computed again at a smaller scale: penalties have their own

    return compute


def penalised_attention_vjp(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    penalties: Mapping[str, float | ArrayLike],
    **options: Any,
) -> tuple[Any, float, Callable[..., Gradients]]:
    """Attention, the sum of penalties of it, and the pullback of both in one pass.

    ::

        out, penalty, pullback = penalised_attention_vjp(query, key, value, {"entropy": 0.01})
        gradients = pullback(dout)        # of Σ dout ∘ out + penalty

    Parameters
    ----------
    query, key, value
        As in :func:`attention_vjp`.
    penalties : mapping of str to float or array_like, (H,)
        The weight of each kind of :func:`attention_penalty` but "target", for all heads or for
        each: ``penalty = Σ_kind mean over rows of weight · f(row)``. None may be negative.
    **options
        As in :func:`attention_vjp`, without sink, top_k, normalizer, out, average_heads and
        return_skipped. The penalties are those of the weights before dropout, of the scores with
        Gumbel noise and without keys that key_dropout_p hides.

    Returns
    -------
    out : numpy.ndarray, or a tuple
        As of :func:`attention_vjp`.
    penalty : float
    pullback : callable
        As of :func:`attention_vjp`; the gradients include those of the penalty.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`attention_vjp` does; penalties whose kind is unknown or whose weight is negative
        or not finite; a sink or top_k, with which the weights of a row do not sum to 1 or depend on
        a choice; another normalizer than softmax.

    Notes
    -----
    The gradients of the scores are those of attention plus the penalties', so beside
    :func:`attention_vjp` this costs one pass over the scores (none for "z").

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.functional import penalised_attention_vjp
    >>> x = np.eye(3)
    >>> out, penalty, pullback = penalised_attention_vjp(x, x, x, {"l2": 1.0}, scale=0.0)
    >>> round(penalty, 4)
    0.3333
    >>> pullback(np.zeros_like(out)).query.shape
    (3, 3)
    """
    return_lse, return_weights = check_penalised(penalised_attention_vjp, attention_vjp, options)
    call = check_call(query, key, value, **options)
    weights = check_penalties(penalties, call.plan.axes.heads)
    result = forward_for_gradients(call, None, return_weights)
    found = penalised(result.lse, statistics_of(call, result.lse, weights), weights)
    run = partial(backward, compute=_whole_backward(found.coefficients))
    pullback = pullback_of(call, result, run)
    return returned(call, result, return_lse, return_weights), found.value, pullback
