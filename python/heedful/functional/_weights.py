"""attention_scores and attention_weights: the intermediate results of attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from heedful._checks import flag
from heedful._core import native
from heedful.functional._call import NO_VALUE, Call, check_call
from heedful.functional._dtypes import cast_like
from heedful.functional._forward import allocate_weights, outward_weights, run_weights
from heedful.functional._options import unexpected
from heedful.functional._results import allocate
from heedful.functional._rows import check_rows, lse_of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from typing_extensions import Never

    from heedful.functional._dtypes import Array
    from heedful.functional._option_types import Align, LayoutName, Normalizer, Rng, Window
    from heedful.functional.block_mask import BlockMask


def _check_rows(call: Call, rows: int | slice | Sequence[int] | Array | None) -> Array | None:
    if rows is not None and call.plan.axes.layout.axes == 1:
        raise ValueError("rows must be None for a query of one axis: it is the only row")
    return check_rows(rows, call.plan.axes.query_length)


def _row_of(array: Array, rows: int | slice | Sequence[int] | Array | None) -> Array:
    """Without the axis of the rows for a single one."""
    single = rows is not None and not isinstance(rows, slice) and np.ndim(rows) == 0
    return array[..., 0, :] if single else array


def _known_lse(call: Call, lse: ArrayLike) -> Array:
    if call.normalizer is not None:
        raise ValueError(
            "lse must be None where normalizer is not 'softmax': rows have a threshold"
        )
    axes = call.plan.axes
    known = cast_like("lse", lse, axes.rows[axes.layout.missing :], call.plan.computing)
    if call.block_mask is not None and call.block_mask.min_weight > 0:
        lse_of_rows(call, None)  # it drops the blocks that the forward call dropped
    return known.reshape(axes.rows)


def attention_scores(
    query: ArrayLike,
    key: ArrayLike,
    *,
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
    sink: ArrayLike | None = None,
    layout: LayoutName = "bhld",
    rows: int | slice | Sequence[int] | Array | None = None,
    **foreign: Never,
) -> Array:
    """The inputs of softmax: scaled, capped and biased dot products, −inf for hidden keys.

    ::

        score[i, j] = scale · Σ_d query[i, d] · key[j, d]

    with softcap, ALiBi and bias, in this order, and −inf where a key is hidden.

    Parameters
    ----------
    query, key, mask, …, layout
        As in :func:`attention`. A sink is checked and has no effect, because it is not a key.
    rows : int, slice or sequence of int, optional
        The queries requested, counted from the end if negative. A single integer removes the axis
        of the queries, as indexing does.

    Returns
    -------
    scores : numpy.ndarray, (B…, H, Lq, Lk)
        In either layout, float64 for float64 inputs, otherwise float32. (Lq, Lk) where both inputs
        have two axes, (Lk,) for a query of one. With `rows`, only these queries, in the order
        given.

    Raises
    ------
    IndexError
        A row that does not exist.
    ValueError, TypeError, MemoryError
        As :func:`attention` does.

    Notes
    -----
    Scaled dot products: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

    Examples
    --------
    >>> import heedful
    >>> query, key = [[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]
    >>> heedful.attention_scores(query, key, scale=1.0)
    array([[ 50.,  68.],
           [122., 167.]])
    >>> heedful.attention_scores(query, key, scale=1.0, causal=True)
    array([[ 50., -inf],
           [122., 167.]])
    """
    if foreign:
        raise unexpected(attention_scores, foreign)
    call = check_call(
        query, key, NO_VALUE, mask, bias, block_mask, 0.0, causal, window, exclude_self, align,
        q_lengths, kv_lengths, None, "softmax", scale, softcap, alibi_slopes, sink, 0.0, 0.0, None,
        None, layout,
    )  # fmt: skip
    requested = _check_rows(call, rows)
    count = call.plan.axes.query_length if requested is None else len(requested)
    shape = (*call.plan.axes.batch, call.plan.axes.heads, count, call.plan.axes.key_length)
    scores = allocate("the scores", shape, call.plan.computing, -math.inf)
    native.attention_scores(call.query, call.key, scores, requested, *call.shared)
    return _row_of(call.plan.axes.layout.outward(scores), rows)


def attention_weights(
    query: ArrayLike,
    key: ArrayLike,
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
    rows: int | slice | Sequence[int] | Array | None = None,
    average_heads: bool = False,
    lse: ArrayLike | None = None,
    **foreign: Never,
) -> Array:
    """How much each query attends to each key: softmax of the scores, or another normalizer.

    ::

        weights[i, j] = exp(score[i, j] − lse[i])      lse[i] = log Σ_j exp(score[i, j])

    Each row sums to 1, to less with a sink.

    Parameters
    ----------
    query, key, mask, …, layout
        As in :func:`attention`. There is dropout only where `dropout_p` is above 0, and noise only
        with a `gumbel_temperature`.
    rows : int, slice or sequence of int, optional
        The queries requested, counted from the end if negative. Only these are computed. A single
        integer removes the axis of the queries, as indexing does.
    average_heads : bool, default False
        The mean over the heads, accumulated as they are computed: memory does not grow with
        their number.
    lse : array_like, (B…, H, Lq), optional
        What :func:`attention` returned for the same arguments with ``return_lse=True``. It is read
        instead of being computed again, which is half of the time. Only with softmax.

    Returns
    -------
    weights : numpy.ndarray, (B…, H, Lq, Lk), or (B…, Lq, Lk) with `average_heads`
        In either layout, float64 for float64 inputs, otherwise float32. (Lq, Lk) where both inputs
        have two axes, (Lk,) for a query of one. A query that may attend to nothing has a row of 0.

    Raises
    ------
    IndexError
        A row that does not exist.
    ValueError, TypeError, MemoryError
        As :func:`attention` does.

    Notes
    -----
    The log-sum-exps come from a pass that stores no scores (Milakov and Gimelshein 2018,
    https://arxiv.org/abs/1805.02867); the weights are then written once.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> x = np.eye(3)
    >>> heedful.attention_weights(x, x, scale=1.0).round(4)
    array([[0.5761, 0.2119, 0.2119],
           [0.2119, 0.5761, 0.2119],
           [0.2119, 0.2119, 0.5761]])
    >>> heedful.attention_weights(x, x, scale=1.0, normalizer="entmax15").round(4)
    array([[0.7403, 0.1299, 0.1299],
           [0.1299, 0.7403, 0.1299],
           [0.1299, 0.1299, 0.7403]])
    >>> heedful.attention_weights(x, x, scale=1.0, causal=True, rows=1).round(4)
    array([0.2689, 0.7311, 0.    ])
    """
    if foreign:
        raise unexpected(attention_weights, foreign)
    average_heads = flag("average_heads", average_heads)
    call = check_call(
        query, key, NO_VALUE, mask, bias, block_mask, min_weight, causal, window, exclude_self,
        align, q_lengths, kv_lengths, top_k, normalizer, scale, softcap, alibi_slopes, sink,
        dropout_p, key_dropout_p, gumbel_temperature, rng, layout,
    )  # fmt: skip
    requested = _check_rows(call, rows)
    count = call.plan.axes.query_length if requested is None else len(requested)
    weights = allocate_weights(call, average_heads, count)
    known = lse_of_rows(call, requested) if lse is None else _known_lse(call, lse)
    run_weights(call, known, weights, requested, average_heads)
    return _row_of(outward_weights(call, weights, average_heads), rows)
