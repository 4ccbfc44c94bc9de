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
         patterns  bool (P, rows, keys), contiguous
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

Array: TypeAlias = NDArray[Any]
BlockMask: TypeAlias = tuple[NDArray[np.int32], NDArray[np.bool_], int, int, float]
Geometry: TypeAlias = tuple[tuple[int, ...], bool, int, int, int, bool]

def show_build() -> dict[str, str]: ...
def force_bfloat16(way: str) -> str:
    """Multiply bfloat16 that way ("" for the processor's own). Returns why it cannot, or ""."""

def force_int8(way: str) -> str:
    """Multiply int8 that way, likewise; all ways give the same bits."""

def default_num_threads() -> int: ...
def num_threads() -> int:
    """What a call would use now: the number of this thread, of all threads, or the default."""

def set_num_threads(number: int) -> None:
    """The number for all threads that have none of their own; 0: the default."""

def exchange_threads_here(number: int) -> int:
    """The number for the calling thread alone, 0: none. Returns the one before."""

def cpu_quota(root: str = "") -> int:
    """Processors that the control group under root/proc and root/sys may use; 0: no limit."""

def panel_rows(itemsize: int) -> int:
    """The query rows that are computed together, of elements of that size."""

def fail_allocation(nth: int) -> None:
    """Make the nth scratch allocation from now on fail, from 1; 0 disarms. For tests."""

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

# Penalties of attention, see cpp/attention/penalty/. Random options are those of the forward pass.

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
def rotary(
    x: Array,  # (*batch, H, L, D)
    y: Array,  # (*batch, H, L, D), of the type of x, written; may be x
    cos: Array,  # T (*batch, L, R/2), the last axis contiguous; leading axes broadcast
    sin: Array,  # T, like cos
    batch: tuple[int, ...],
    length_first: bool,
    interleaved: bool,
) -> None:
    """Rotates the pairs (i, i + R/2) of features, or (2 i, 2 i + 1); those from R on are copied."""

# Linear attention: arrays of T, (*batch, L, H, D) whatever their strides; leading axes broadcast.

def linear_attention_forward(
    query: Array,  # (*batch, Lq, H, D)
    key: Array,  # (*batch, Lk, Hkv, D)
    value: Array,  # (*batch, Lk, Hkv, Dv)
    kept: NDArray[np.bool_] | None,  # (*batch, Lk, 1): which keys count
    batch: tuple[int, ...],
    causal: bool,  # Lq = Lk, and query i sees keys j ≤ i
    out: Array,  # (*batch, Lq, H, Dv), written
    norm: Array,  # (*batch, H, Lq), written
    # sums of φ(k) vᵀ (*batch, Hkv, D, Dv) and of φ(k) (*batch, Hkv, D), contiguous
    before_values: Array | None,  # of keys before the first, which all queries see
    before_features: Array | None,
    added_values: Array | None,  # of the call's own keys, written
    added_features: Array | None,
) -> None:
    """out = φ(q) Σ_j φ(k) vᵀ / norm, norm = φ(q) · Σ_j φ(k), with φ(x) = elu(x) + 1."""

def linear_attention_backward(
    query: Array,
    key: Array,
    value: Array,
    kept: NDArray[np.bool_] | None,
    batch: tuple[int, ...],
    causal: bool,
    dout: Array,  # like out
    out: Array,  # of a forward pass without sums before
    norm: Array,
    dquery: Array,  # (*batch, Lq, H, D), written
    dkey: Array,  # (*batch, Lk, Hkv, D), written
    dvalue: Array,  # (*batch, Lk, Hkv, Dv), written
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

# Dense layers: arrays of two axes, all float32 or all float64, the last axis contiguous, rows of
# any stride. Outputs overlap no input, except where stated.

def linear_forward(
    x: Array,  # (N, In)
    weight: Array,  # (Out, In)
    bias: Array | None,  # (Out,), contiguous
    residual: Array | None,  # (N, Out), may be y
    activation: str,  # "", "relu", "gelu", "gelu_tanh", "silu", "tanh" or "sigmoid"
    before: Array | None,  # (N, Out), written: x Wᵀ + bias
    y: Array,  # (N, Out), written: activation(before) + residual
) -> None: ...
def linear_gradient_input(
    dy: Array,  # (N, Out)
    weight: Array,  # (Out, In)
    dx: Array,  # (N, In), written: dy W, or with `add` added to
    add: bool,
) -> None: ...
def linear_gradient_weight(
    dy: Array,  # (N, Out)
    x: Array,  # (N, In)
    dweight: Array,  # (Out, In), added to: dyᵀ x
    dbias: Array | None,  # (Out,), contiguous, added to: Σ_n dy
) -> None: ...
def int8_forward(
    x: NDArray[np.float32],  # (N, In), In ≤ 2^16
    weight: NDArray[np.int8],  # (Out, In)
    scale: NDArray[np.float32],  # (Out,), contiguous
    weight_sums: NDArray[np.int32],  # (Out,), contiguous: Σ_k weight[o, k]
    bias: NDArray[np.float32] | None,  # (Out,), contiguous
    residual: NDArray[np.float32] | None,  # (N, Out), may be y
    activation: str,
    y: NDArray[np.float32],  # (N, Out), written
) -> None:
    """A dense layer of which a row of the weight is scale[o] · weight[o].

    Each row of x is quantised to 8 bits by its own range; products are summed in int32.
    """

# Activations and dropout, of arrays of one shape, all contiguous; outputs may be inputs.

def activation_forward(kind: str, x: Array, y: Array) -> None: ...
def activation_backward(kind: str, before: Array, dy: Array, dbefore: Array) -> None:
    """dbefore = dy · activation′(before)"""

def dropout(
    x: Array,
    residual: Array | None,
    y: Array,  # written; may be x or residual
    p: float,
    seed: int,  # of 64 bits
) -> None:
    """y[n] = (x[n] / (1 − p) if u[n] ≥ p · 2^32, otherwise 0) + residual[n].

    n counts all elements in order; u[n] is lane (n / 16) mod 4 of the Philox output of the counter
    (n / 64, n mod 16, 0, n / 2^38).
    """

# Norms of rows: x̂ = (x − mean) · rstd. Arrays of two axes as for dense layers; those of one axis
# are contiguous. RMS norm is that without `mean`.

def norm_forward(
    x: Array,  # (N, D)
    weight: Array | None,  # (D,)
    bias: Array | None,  # (D,)
    epsilon: float,
    y: Array,  # (N, D), written: x̂ · weight + bias; may be x
    mean: Array | None,  # (N,), written
    rstd: Array,  # (N,), written: 1 / √(mean((x − mean)²) + epsilon)
) -> None: ...
def norm_backward(
    dy: Array,  # (N, D)
    x: Array,  # (N, D)
    weight: Array | None,
    mean: Array | None,
    rstd: Array,
    dx: Array,  # (N, D), written; may be dy
    dweight: Array | None,  # (D,), added to: Σ_n dy · x̂
    dbias: Array | None,  # (D,), added to: Σ_n dy
) -> None: ...

# Training: labels and ids are contiguous and lie in range, which the caller checked.

def cross_entropy(
    logits: Array,  # (N, C)
    labels: NDArray[np.int64],  # (N,)
    ignored: int,  # rows with this label have loss 0 and gradient 0
    smoothing: float,
    factor: float,  # of the gradient: 1 / the number of valid rows, for a mean
    losses: Array,  # (N,), written
    dlogits: Array | None,  # (N, C), written; may be logits
) -> None: ...
def embedding_gradient(
    dy: Array,  # (N, D)
    ids: NDArray[np.int64],  # (N,)
    ignored: int,  # rows with this id are skipped; −1: none
    dtable: Array,  # (V, D), added to: dtable[ids[n]] += dy[n]
) -> None: ...
def adam_step(
    parameter: Array,  # contiguous, of any shape, as all four; updated
    gradient: Array,
    first: Array,  # running mean of the gradient, updated
    second: Array,  # running mean of its square, updated
    step: float,  # rate / (1 − beta1 ** t)
    root: float,  # 1 / sqrt(1 − beta2 ** t)
    beta1: float,
    beta2: float,
    epsilon: float,
    coupled_decay: float,  # Adam: weight decay that is added to the gradient
    keep: float,  # AdamW: 1 − rate · weight decay, otherwise 1
) -> None: ...
