"""The compiled functions. They trust their arguments: `heedful.functional` checks and allocates.

Letters: B items, H query heads, Hkv key/value heads, Lq, Lk lengths, D depth of query and key,
Dv depth of value.
T is the computing type: float64 for float64 inputs, float32 for all others.

Arrays are views of any strides, aligned and in native byte order. Query, key, value, out and their
gradients have the axes that the caller gave them, (…, heads, rows, columns) or (…, rows, heads,
columns); all others have the order written below. Axes missing on the left, heads and rows
included, have length 1, and leading axes broadcast against `batch` from the right. Packed batches
have no leading axes of their own, `batch` = (number of sequences,), and `items` holds the rows of
each sequence.

geometry  the layout of the arrays and the positions of the queries, in a tuple:
         batch         the shape of the leading axes
         length_first  arrays of three axes or more are (…, rows, heads, columns)
         offset        query row i (counted in its item) has key position i + offset (counted in its
                       item)
         left          keys j ≥ i + offset − left are seen; −1: no limit
         right         keys j ≤ i + offset + right are seen; −1: no limit (causal is right = 0)
         exclude_self  key j = i + offset is not seen
items    int64 (B, 5) or None: first query row, number of query rows, first key row, number of key
         rows, offset of the diagonal, for each item. None: all rows of every item, with the
         diagonal at `offset`.
mask     bool, broadcasts to (*batch, H, Lq, Lk)
bias     any supported floating type, shaped like mask
block_mask  which blocks of queries × keys (counted in their item) are visible, in a tuple:
         kinds     int32, broadcasts to (*batch, H, query blocks, key blocks), rows contiguous: 0,
                   no key of the block; 1, all; 2 + p, those of pattern p
         patterns  uint8 (P, rows, ⌈keys / 8⌉), contiguous, bits: the lowest of a byte is its first
                   key
         rows, keys of a block
         min_weight  attention_forward drops blocks whose weights are all at most this share of the
                     largest so far, and writes 0 to their kinds, which then are not broadcast and
                     no larger than `panel_rows` and a key tile; 0.0: none
alibi_slopes  float64 (B or 1, H), contiguous
sink     float64 (H,), contiguous
softcap  0.0: none
dropout_p, seed   probability, and the 64-bit key of the random bits
key_dropout_p    probability that a key is hidden from a query
gumbel_temperature  0.0: no noise
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from heedful._core._native_layers import *  # noqa: F403 - a part of this module
from heedful._core._native_layers import Array as Array
from heedful._core._native_process import *  # noqa: F403

BlockMask: TypeAlias = tuple[NDArray[np.int32], NDArray[np.uint8], int, int, float]
Geometry: TypeAlias = tuple[tuple[int, ...], bool, int, int, int, bool]

def panel_rows(itemsize: int) -> int:
    """The query rows that are computed together, of elements of that size."""

def attention_forward(
    query: Array,  # (*batch, H, Lq, D)
    key: Array,  # (*batch, Hkv, Lk, D)
    value: Array,  # (*batch, Hkv, Lk, Dv)
    out: Array,  # (*batch, H, Lq, Dv), written
    lse: Array | None,  # T (*batch, H, Lq), written
    geometry: Geometry,
    items: NDArray[np.int64] | None,
    scale: float,
    softcap: float,
    mask: NDArray[np.bool_] | None,
    bias: Array | None,
    block_mask: BlockMask | None,
    alibi_slopes: NDArray[np.float64] | None,
    sink: NDArray[np.float64] | None,
    dropout_p: float,
    seed: int,
    key_dropout_p: float,
    gumbel_temperature: float,
) -> None: ...
def attention_with_weights(
    weights: Array,  # T (*batch, H, Lq, Lk), or (*batch, Lq, Lk) with average_heads; zeros on
    # entry, written
    average_heads: bool,
    *arguments: Any,  # of attention_forward, with lse
) -> None:
    """attention_forward and attention_weights of all rows, with the same lse."""

def paged_forward(
    table: NDArray[np.int64],  # (B, n), contiguous: the pages of each item, in order
    key_scales: NDArray[np.float32] | None,  # (pages, Hkv, R), for pages of int8
    value_scales: NDArray[np.float32] | None,
    query: Array,
    key: Array,  # (pages, Hkv, R, D), or (pages, R, Hkv, D) with length_first, int8 too
    value: Array,  # likewise
    *arguments: Any,
) -> None:
    """attention_forward with keys and values on pages of R rows; items are required.

    Row r of item b is row r % R of page table[b, r // R]. Entries past an item's rows are not read.
    """

def attention_backward(
    dout: Array,  # like out
    query: Array,
    key: Array,
    value: Array,
    out: Array,
    lse: Array,  # T (*batch, H, Lq)
    row_term: Array | None,  # T (*batch, H, Lq): dlse − Σ_j weights ∘ dweights
    dweights: Array | None,  # T (*batch, H, Lq, Lk)
    delta: Array,  # T (*batch, H, Lq), written: Σ_d dout ∘ out − row_term
    dquery: Array,  # T (*batch, H, Lq, D), zeros on entry, written
    dkey: Array,  # T (*batch, Hkv, Lk, D), zeros on entry, written
    dvalue: Array,  # T (*batch, Hkv, Lk, Dv), zeros on entry, written
    # T, zeros on entry, written: (b…, H or 1, Lq, Lk) where every b is its batch axis or 1 (summed
    # over what is 1), or (*batch, H, Lq, 1), or (*batch, H, 1, Lk), which the caller sums further.
    dbias: Array | None,
    geometry: Geometry,
    items: NDArray[np.int64] | None,
    scale: float,
    softcap: float,
    mask: NDArray[np.bool_] | None,
    bias: Array | None,
    block_mask: BlockMask | None,
    alibi_slopes: NDArray[np.float64] | None,
    dropout_p: float,
    seed: int,
    key_dropout_p: float,
    gumbel_temperature: float,
) -> bool: ...  # whether some sum is not finite
def attention_scores(
    query: Array,
    key: Array,
    scores: Array,  # T (*batch, H, n, Lk), written, in natural units; n = Lq, or len(rows)
    rows: NDArray[np.int64] | None,  # the query rows requested, None: all
    geometry: Geometry,
    items: NDArray[np.int64] | None,
    scale: float,
    softcap: float,
    mask: NDArray[np.bool_] | None,
    bias: Array | None,
    block_mask: BlockMask | None,
    alibi_slopes: NDArray[np.float64] | None,
) -> None: ...
def attention_weights(
    query: Array,
    key: Array,
    lse: Array,  # T (*batch, H, Lq), from attention_forward (with a value of depth 0, it alone)
    weights: Array,  # T (*batch, H, n, Lk), or (*batch, n, Lk) with average_heads; written
    rows: NDArray[np.int64] | None,
    average_heads: bool,
    geometry: Geometry,
    items: NDArray[np.int64] | None,
    scale: float,
    softcap: float,
    mask: NDArray[np.bool_] | None,
    bias: Array | None,
    block_mask: BlockMask | None,
    alibi_slopes: NDArray[np.float64] | None,
    dropout_p: float,
    seed: int,
    key_dropout_p: float,
    gumbel_temperature: float,
) -> None: ...

# Additive attention: weight is T (Hkv or 1, E), contiguous, E being the depth of query and key;
# scale must be 1.0 and softcap 0.0. The other arguments are those of the function of the same name
# with attention_.

def additive_forward(weight: Array, *arguments: Any) -> None:
    """attention_forward with scores Σ_e weight[e] · tanh(query[i, e] + key[j, e])."""

def additive_with_weights(weight: Array, *arguments: Any) -> None: ...
def additive_backward(
    weight: Array,
    dweight: NDArray[np.float64],  # like weight, contiguous, zeros on entry, written
    *arguments: Any,
) -> bool: ...
def additive_weights(weight: Array, *arguments: Any) -> None: ...

# Attention of each query to the top_k ≥ 1 keys that it sees of the highest scores. The other
# arguments are those of the function of the same name with attention_.

def top_k_forward(
    top_k: int,
    # the kept keys of each row in ascending order, then 2**31 − 1; rows of any strides; written
    kept: NDArray[np.int32] | None,  # (*batch, H, Lq, top_k)
    *arguments: Any,
) -> None: ...
def top_k_backward(kept: NDArray[np.int32], *arguments: Any) -> bool: ...
def top_k_weights(top_k: int, *arguments: Any) -> None: ...

# Attention whose weights are the α-entmax of the scores. The other arguments are those of the
# function of the same name with attention_; lse are the thresholds, and there is no sink.
# thresholds  float64 (*batch, H, Lq, 2): the maximum of a row, and the threshold relative to it;
#          rows contiguous

def entmax_forward(
    alphas: NDArray[np.float64],  # (H,), 1 < α ≤ 2
    mean: Array | None,  # T, like out, written: means of the values by the slopes of the weights
    alpha_derivative: Array | None,  # T, like out, written: of out by α
    *arguments: Any,
) -> None: ...
def entmax_backward(
    alphas: NDArray[np.float64],
    *arguments: Any,  # out is mean
) -> bool: ...
def entmax_weights(alphas: NDArray[np.float64], *arguments: Any) -> None: ...

# Penalties of attention, see cpp/attention/backward/penalty/. Random options are those of the
# forward pass.

def row_statistics(
    query: Array,
    key: Array,
    lse: Array,  # T (*batch, H, Lq)
    # T (*batch, H, Lq, 7), contiguous along the last axis, zeros on entry, written:
    # Σ p², −Σ p log p, Σ |s|, Σ s², keys, Σ t, Σ t (log t − log p)
    statistics: Array,
    probabilities: bool,  # whether the first two are needed
    scores: bool,  # whether the next three are
    target: Array | None,  # t, T, broadcasts to (*batch, H, Lq, Lk): the last two
    *arguments: Any,  # geometry to gumbel_temperature of attention_weights
) -> None: ...
def penalised_backward(
    # T (*batch, H, Lq, 6), contiguous along the last axis: α, β, γ, δ, ε, τ of each row, which add
    # p · (α p + β s + γ) + δ sign(s) + ε s − τ t to the gradients of the scores
    coefficients: Array,
    target: Array | None,  # t, as in row_statistics
    *arguments: Any,  # of attention_backward
) -> bool: ...
def additive_row_statistics(weight: Array, *arguments: Any) -> None: ...
def additive_penalised_backward(
    weight: Array,
    dweight: NDArray[np.float64],  # as of additive_backward
    *arguments: Any,  # of penalised_backward
) -> bool: ...
def merge_attention(
    outs: tuple[Array, ...],  # each (*batch, H, Lq, Dv)
    lses: tuple[Array, ...],  # each T (*batch, H, Lq)
    out: Array,  # written
    lse: Array,  # T, written
    batch: tuple[int, ...],
    length_first: bool,
) -> None: ...
def narrow(
    wide: NDArray[np.float32],  # C-contiguous
    narrowed: Array,  # as many 16-bit elements, C-contiguous, written
) -> None: ...
def describe(arrays: tuple[Any, ...], values: tuple[Any, ...]) -> bytes | None:
    """All that checks may depend on except the contents of the arrays, as a key for plans.

    It holds type, byte order, alignment and shape of arrays (or None), and type and value of
    values: None, bools, integers, strings and tuples of these. None where there is anything else:
    such calls have no description.
    """

def fill_items(
    items: NDArray[np.int64],  # (B, 5), written
    axes: int,  # how many leading axes there are
    q_lengths: object,
    kv_lengths: object,
    query_length: int,
    key_length: int,
    lower_right: bool,  # the offset is an item's number of keys − its number of rows
    offset: int,  # otherwise
) -> bool:
    """The table for items with lengths of their own. False: they need the full check.

    It reads arrays of 32 or 64-bit integers and lists of Python integers, each element once, and
    checks that it lies within its array.
    """
