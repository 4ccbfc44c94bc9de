"""attention: softmax(query keyᵀ · scale) value, with every restriction, in linear memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from heedful._checks import flag
from heedful.functional._call import check_call
from heedful.functional._dropped_blocks import DroppedCount
from heedful.functional._forward import check_returned, forward, forward_alone, returned
from heedful.functional._normalizer import refuse_lse
from heedful.functional._options import unexpected

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Never, Unpack

    from heedful.functional._dtypes import Array
    from heedful.functional._option_types import Align, LayoutName, Normalizer, Options, Rng, Window
    from heedful.functional.block_mask import BlockMask


@overload
def attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: Literal[False] = False,
    return_weights: Literal[False] = False, return_skipped: Literal[False] = False,
    **options: Unpack[Options],
) -> Array: ...  # fmt: skip
@overload
def attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: Literal[True],
    return_weights: Literal[False] = False, return_skipped: Literal[False] = False,
    **options: Unpack[Options],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: Literal[False] = False,
    return_weights: Literal[True], return_skipped: Literal[False] = False,
    **options: Unpack[Options],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: Literal[True],
    return_weights: Literal[True], return_skipped: Literal[False] = False,
    **options: Unpack[Options],
) -> tuple[Array, Array, Array]: ...  # fmt: skip
@overload
def attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, return_lse: bool = False,
    return_weights: bool = False, return_skipped: bool = False, **options: Unpack[Options],
) -> Any: ...  # fmt: skip
def attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, *, mask: ArrayLike | None = None,
    bias: ArrayLike | None = None, block_mask: BlockMask | None = None, min_weight: float = 0.0,
    causal: bool = False, window: Window = None, exclude_self: bool = False, align: Align = None,
    q_lengths: ArrayLike | None = None, kv_lengths: ArrayLike | None = None,
    top_k: int | None = None, normalizer: Normalizer = "softmax", scale: float | None = None,
    softcap: float | None = None, alibi_slopes: ArrayLike | None = None,
    sink: ArrayLike | None = None, dropout_p: float = 0.0, key_dropout_p: float = 0.0,
    gumbel_temperature: float | None = None, rng: Rng = None, layout: LayoutName = "bhld",
    out: Array | None = None, return_lse: bool = False, return_weights: bool = False,
    average_heads: bool = False, return_skipped: bool = False, **foreign: Never,
) -> Any:  # fmt: skip
    """Weighted sum of the values, weighted by how well each key matches the query.

    ::

        score[i, j] = scale · Σ_d query[i, d] · key[j, d]
        lse[i]      = log Σ_j exp(score[i, j])         with a sink: log(exp(sink) + Σ_j …)
        out[i]      = Σ_j exp(score[i, j] − lse[i]) · value[j]

    for every item of the batch and every head, the scores with softcap, ALiBi and bias, in this
    order, and −inf where a key is hidden. The scores are never stored, so the memory used
    grows with the lengths and not with their product.

    Letters: B… leading (batch) axes, any number of them; H query heads; Hkv key and value heads;
    Lq, Lk number of queries and keys; D depth of query and key; Dv depth of value.

    Parameters
    ----------
    query : array_like, (B…, H, Lq, D)
        Leading axes of query, key and value broadcast. Two axes (Lq, D) are one head of one item;
        one axis (D,) is a single query, for key and value of two axes.
    key : array_like, (B…, Hkv, Lk, D)
        H must be a multiple of Hkv; query head h uses key head h // (H / Hkv).
    value : array_like, (B…, Hkv, Lk, Dv)
        The rows that are summed. Write a column as (Lk, 1).
    mask : array_like of bool, optional
        True where a query may attend. Broadcasts to (B…, H, Lq, Lk), in either layout.
    bias : array_like of floats, optional
        Added to the scores after softcap and ALiBi. Broadcasts to (B…, H, Lq, Lk); −inf hides a key
        as a mask does, and no finite value does.
    block_mask : BlockMask, optional
        Which blocks of queries and keys exist, see :class:`BlockMask`. Its leading axes broadcast
        to (B…, H). Blocks that do not exist cost nothing, forward and backward.
    min_weight : float, default 0
        Blocks of keys in which no query of a panel has more than this share of its largest weight
        so far are dropped: neither exponentials nor values are computed for them, forward and
        backward. The result differs from that of 0 by at most
        ``2 · min_weight · Lk · max |value|``, usually far less. In [0, 1).
    causal : bool, default False
        Query i sees the keys j ≤ p, its own position p = i + offset among the keys, see `align`.
    window : (left, right), optional
        Query i sees the keys p − left ≤ j ≤ p + right. Either may be None: no limit on that side.
    exclude_self : bool, default False
        Query i does not see the key j = p at its own position, see `align`: each row is then a
        mean of the others alone, as leave-one-out needs it. No mask is built, and blocks of keys
        that no own position lies in cost nothing.
    align : {"upper_left", "lower_right"}, int or array_like of int (B…), optional
        The position of the queries among the keys::

            which keys causal leaves to 2 queries, of 4

            "upper_left"   1 0 0 0     "lower_right"   1 1 1 0     1          1 1 0 0
            offset 0       1 1 0 0     offset Lk − Lq  1 1 1 1     offset 1   1 1 1 0

        "lower_right" uses each item's own lengths. An integer, or one for each item, is the offset
        itself: the number of keys before the first query, of any sign and size. None is offset 0,
        and an error where Lq ≠ Lk and `causal`, `window`, `exclude_self` or `alibi_slopes` depends
        on it. Where none of them is given, align is ignored.
    q_lengths, kv_lengths : array_like of int (B…), optional
        How many queries and keys of each item are valid, counted from the first. A single number
        where there are no leading axes.
    top_k : int, optional
        Each query attends to this many of the keys it sees: those of the highest scores, the lower
        index first among equal ones, and to all where it sees fewer. At most Lk; a sink does not
        count. lse is that of these keys, and gradients pass through them alone.
    normalizer : {"softmax", "entmax15", "sparsemax"}, float or array_like, (H,)
        What converts scores to weights. α-entmax with 1 < α ≤ 2, for all heads or one number for
        each, gives keys of low scores a weight of exactly 0, the more of them the larger α is:
        weight = max((α − 1) · score − τ, 0)^(1 / (α − 1)), the threshold τ of a row such that its
        weights sum to 1. "entmax15" is α = 1.5, "sparsemax" α = 2; α → 1 is softmax. It goes with
        neither top_k, sink, min_weight, gumbel_temperature nor return_lse.
    scale : float, optional
        Factor on the products query · key; None is 1 / √D. Finite in the type that is computed in.
    softcap : float, optional
        score ← softcap · tanh(score / softcap), after scale.
    alibi_slopes : array_like, (H,) or (B…, H), optional
        slope · abs(p − j) is subtracted from the score. The slopes have no gradient.
    sink : array_like of floats, (H,), optional
        An additional score in every row's softmax that has no value: it takes weight and adds
        nothing to the output.
    dropout_p : float, default 0
        Each weight is set to zero with this probability, the others are divided by 1 − dropout_p.
    key_dropout_p : float, default 0
        Each key is hidden from each query with this probability, before the softmax, so that the
        others share its weight ("DropKey"). In [0, 1).
    gumbel_temperature : float, optional
        The softmax of (score + g) / gumbel_temperature, g standard Gumbel noise: a random choice of
        keys, the more of a single one the lower the temperature. Needs `rng`.
    rng : None, int or numpy.random.Generator
        The seed of dropout and noise: fresh from the system, given (0 ≤ rng < 2**64), or one number
        drawn from the generator. Which weights and keys are dropped, and the noise, depend on the
        seed and on the indices (b, h, i, j) alone, each in its own way.
    layout : {"bhld", "blhd"}
        The order of the last three axes of query, key, value and out: (H, L, D) or (L, H, D). No
        copy is made.
    out : numpy.ndarray, optional
        Written and returned. It must have the result's exact shape and type and share no memory
        with an input.
    return_lse, return_weights : bool, default False
        Return a tuple (out, lse?, weights?, skipped?) with what was requested, in this order.
    average_heads : bool, default False
        Weights as their mean over the heads, accumulated as they are computed: memory does not grow
        with the number of heads. No effect without `return_weights`.
    return_skipped : bool, default False
        Return the share of the blocks that `min_weight` dropped, too.

    Returns
    -------
    out : numpy.ndarray, (B…, H, Lq, Dv), or (B…, Lq, H, Dv) with "blhd"
        (Lq, Dv) where all inputs have two axes, (Dv,) for a single query.
    lse : numpy.ndarray, (B…, H, Lq), if `return_lse`
        Natural logarithm of the sum of exponentials; before dropout. float64 for float64, otherwise
        float32.
    weights : numpy.ndarray, (B…, H, Lq, Lk), if `return_weights`, (B…, Lq, Lk) if averaged
        The weights as applied, after dropout, in the type of lse. This is the one result that is Lq
        × Lk large.
    skipped : float, if `return_skipped`
        0: every block of keys that causal, window, lengths and masks leave was computed.

    Raises
    ------
    ValueError
        Shapes that do not fit, lengths or numbers out of range, an `out` that cannot be written.
    TypeError
        Types that are not supported: complex numbers, long double, 8-bit floats, objects,
        strings, a mask that is not boolean, float16 together with bfloat16.
    MemoryError
        The result does not fit into memory.

    Notes
    -----
    Types: float32 and float64 are computed as they are. float16 and bfloat16 (of the package
    ml_dtypes) are read as they are, summed in float32 and returned in their own type. A float32
    query with key and value of 16 bits is computed in float32 without converting key and value as a
    whole. Everything else is converted first, which copies the array: integers and bools to
    float64, other mixtures by NumPy's promotion, arrays in foreign byte order or unaligned to
    ordinary ones. No other input is copied, whatever its strides.

    Finite values give a finite output within their range, also near the largest finite number;
    only dropout may exceed it. Biases, slopes and sinks beyond the range of the type that is
    computed in count as its largest number, slopes as the steepest that keeps all scores finite.
    lse is ±inf where it lies beyond that range. Products query · key must lie within it, before
    they are multiplied by `scale`: larger ones may make NaN.

    With `top_k` every score is computed, but only the values of the chosen keys are read; NaN
    counts as the highest score. Memory grows with top_k, not with the number of keys.

    With `gumbel_temperature` = τ the score that enters the softmax is (score + g) / τ, with a sink
    sink / τ without noise, and lse is that of these scores. As τ → 0 each query attends to one key;
    which one, over many seeds, is distributed as the weights without noise. τ beyond 2^±100 counts
    as that. top_k chooses by score + g: k keys without replacement. The noise is −log(−log u) for
    u = (n + ½) / 2**31, within a few ulps. Nothing of it is stored, the pullback computes it again.
    Where pieces of the keys are merged (:func:`merge_attention`), each piece counts its keys from
    0: give each its own seed.

    A query whose keys `key_dropout_p` hides, all of them, attends to nothing, as below.

    With another `normalizer` than softmax, the scores of some queries at a time are kept while
    their thresholds are found, a few megabytes for each thread: memory grows with Lk, not with Lq ×
    Lk. Keys of weight 0 count as hidden, and blocks in which all weights are 0 are skipped, in the
    gradients too. Weights are exact to rounding, but for α close to 1 only to eps / (α − 1).

    Queries that may attend to nothing, and queries past `q_lengths`, give 0 with lse −inf (with a
    sink: lse = sink for the former). The contents of a hidden key never matter, NaN included.

    With `return_weights` the scores are computed once for both results: a thread keeps the weights
    of some queries and all keys, 8 MB at most. A second pass over the scores follows for queries of
    more keys than that, few queries, means over grouped heads, weights that are rounded to
    bfloat16, `top_k`, `min_weight` and another `normalizer` than softmax.

    The result has the same bits for every number of threads, and for an item alone or in a batch;
    only dropout and noise depend on the item's place in the batch.

    References
    ----------
    - Attention: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
    - Online softmax: Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867
    - Tiled, forward and backward: Dao et al. 2022, https://arxiv.org/abs/2205.14135,
      and Dao 2023, https://arxiv.org/abs/2307.08691
    - Grouped heads: Ainslie et al. 2023, https://arxiv.org/abs/2305.13245
    - ALiBi: Press et al. 2022, https://arxiv.org/abs/2108.12409
    - Window: Beltagy et al. 2020, https://arxiv.org/abs/2004.05150
    - Softcap: Gemma 2, 2024, https://arxiv.org/abs/2408.00118
    - Top-k: Gupta et al. 2021, https://arxiv.org/abs/2106.06899
    - Sparsemax: Martins and Astudillo 2016, https://arxiv.org/abs/1602.02068
    - α-entmax: Peters et al. 2019, https://arxiv.org/abs/1905.05702; blocks skipped: Gonçalves et
      al. 2025, https://arxiv.org/abs/2502.12082
    - Sinks: Xiao et al. 2024, https://arxiv.org/abs/2309.17453
    - Dropout: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html,
      of keys: Li et al. 2023, https://arxiv.org/abs/2208.02646
    - Gumbel-softmax: Jang et al. 2017, https://arxiv.org/abs/1611.01144, Maddison et al. 2017,
      https://arxiv.org/abs/1611.00712; with top_k: Kool et al. 2019,
      https://arxiv.org/abs/1903.06059
    - Counter-based random bits: Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> query = [[1, 2, 3], [4, 5, 6]]
    >>> key = [[7, 8, 9], [10, 11, 12]]
    >>> value = [[13, 14, 15], [16, 17, 18]]
    >>> heedful.attention(query, key, value).round(4)
    array([[15.9999, 16.9999, 17.9999],
           [16.    , 17.    , 18.    ]])

    Each token of a text sees itself and the tokens before it:

    >>> x = np.eye(3, dtype=np.float32)
    >>> heedful.attention(x, x, x, causal=True).round(3)
    array([[1.   , 0.   , 0.   ],
           [0.36 , 0.64 , 0.   ],
           [0.264, 0.264, 0.471]], dtype=float32)

    Each token sees the two keys of its highest scores, of equal ones the first:

    >>> heedful.attention(x, x, x, top_k=2).round(3)
    array([[0.64, 0.36, 0.  ],
           [0.36, 0.64, 0.  ],
           [0.36, 0.  , 0.64]], dtype=float32)

    The same with weights that are 0 below a threshold:

    >>> heedful.attention(x, x, x, normalizer="sparsemax", scale=2.0).round(3)
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]], dtype=float32)

    Each value as the others predict it, of similar keys:

    >>> key, value = [[0.0], [0.1], [3.0], [3.1]], [[1.0], [2.0], [7.0], [8.0]]
    >>> heedful.attention(key, key, value, exclude_self=True, scale=5.0, bias=[
    ...     -2.5 * row[0] ** 2 for row in key
    ... ]).ravel().round(3)
    array([2., 1., 8., 7.])

    Two items of different length, four query heads that share two key heads:

    >>> rng = np.random.default_rng(0)
    >>> query = rng.standard_normal((2, 4, 5, 8), dtype=np.float32)
    >>> key = rng.standard_normal((2, 2, 7, 8), dtype=np.float32)
    >>> out, lse = heedful.attention(query, key, key, kv_lengths=[7, 3], return_lse=True)
    >>> out.shape, lse.shape
    ((2, 4, 5, 8), (2, 4, 5))
    """
    if foreign:
        raise unexpected(attention, foreign)
    call = check_call(
        query, key, value, mask, bias, block_mask, min_weight, causal, window, exclude_self, align,
        q_lengths, kv_lengths, top_k, normalizer, scale, softcap, alibi_slopes, sink, dropout_p,
        key_dropout_p, gumbel_temperature, rng, layout,
    )  # fmt: skip
    if return_lse is return_weights is average_heads is return_skipped is False:
        return forward_alone(call, out)
    return_lse, return_weights = check_returned(return_lse, return_weights)
    refuse_lse(call.normalizer, return_lse)
    average_heads = flag("average_heads", average_heads)
    count = DroppedCount(call) if flag("return_skipped", return_skipped) else None
    result = forward(call, out, return_weights, average_heads)
    return returned(call, result, return_lse, return_weights, count)
