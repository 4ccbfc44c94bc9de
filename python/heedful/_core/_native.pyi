"""The compiled functions. They trust their arguments: `heedful.functional` checks and allocates.

Letters: B items, H query heads, Hkv key/value heads, Lq, Lk lengths, D depth of query and key,
Dv depth of value.
T is the computing type: float64 for float64 inputs, float32 for all others.

Arrays come in "bhld" order as views of any strides, aligned and in native byte order. `batch` is
the shape of the leading axes; every array's own leading axes broadcast against it from the right
(missing ones too), so `query` is (*batch, H, Lq, D) or less. Packed batches have no leading axes of
their own, `batch` = (number of sequences,), and `items` says where each sequence lies.

items    int64 (B, 5) or None: first query row, number of query rows, first key row, number of key
         rows, offset of the diagonal, for each item. None: all rows of every item, with the
         diagonal at `offset`.
offset   query row i (counted in its item) stands at key position i + offset (counted in its item)
left     keys j ≥ i + offset − left are seen; −1: no limit
right    keys j ≤ i + offset + right are seen; −1: no limit (causal is right = 0)
mask     bool (…, H or 1, Lq or 1, Lk or 1), three axes at least
bias     any supported floating type, shaped like mask
alibi_slopes  float64 (B or 1, H)
sink     float64 (H,)
softcap  0.0: none
dropout_p, seed   probability, and the 64-bit key of the random bits
threads  size of the team
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

def show_build() -> dict[str, str]: ...
def default_num_threads() -> int: ...
def cpu_quota(root: str = "") -> int:
    """Processors that the control group under root/proc and root/sys may use; 0: no limit."""

def fail_allocation(nth: int) -> None:
    """Make the nth allocation of a work area from now on fail, from 1; 0 disarms. For tests."""

def attention_forward(
    query: Array,  # (*batch, H, Lq, D)
    key: Array,  # (*batch, Hkv, Lk, D)
    value: Array,  # (*batch, Hkv, Lk, Dv)
    out: Array,  # (*batch, H, Lq, Dv), written
    lse: Array | None,  # T (*batch, H, Lq), written
    batch: Sequence[int],
    items: NDArray[np.int64] | None,
    offset: int,
    scale: float,
    softcap: float,
    left: int,
    right: int,
    mask: NDArray[np.bool_] | None,
    bias: Array | None,
    alibi_slopes: NDArray[np.float64] | None,
    sink: NDArray[np.float64] | None,
    dropout_p: float,
    seed: int,
    threads: int,
) -> None: ...
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
    batch: Sequence[int],
    items: NDArray[np.int64] | None,
    offset: int,
    scale: float,
    softcap: float,
    left: int,
    right: int,
    mask: NDArray[np.bool_] | None,
    bias: Array | None,
    alibi_slopes: NDArray[np.float64] | None,
    dropout_p: float,
    seed: int,
    threads: int,
) -> None: ...
def attention_scores(
    query: Array,
    key: Array,
    scores: Array,  # T (*batch, H, n, Lk), written, in natural units; n = Lq, or len(rows)
    rows: NDArray[np.int64] | None,  # the query rows wanted, None: all
    batch: Sequence[int],
    items: NDArray[np.int64] | None,
    offset: int,
    scale: float,
    softcap: float,
    left: int,
    right: int,
    mask: NDArray[np.bool_] | None,
    bias: Array | None,
    alibi_slopes: NDArray[np.float64] | None,
    threads: int,
) -> None: ...
def attention_weights(
    query: Array,
    key: Array,
    lse: Array,  # T (*batch, H, Lq), from attention_forward (a value of depth 0 gives it alone)
    weights: Array,  # T (*batch, H, n, Lk), or (*batch, n, Lk) with average_heads; written
    rows: NDArray[np.int64] | None,
    average_heads: bool,
    batch: Sequence[int],
    items: NDArray[np.int64] | None,
    offset: int,
    scale: float,
    softcap: float,
    left: int,
    right: int,
    mask: NDArray[np.bool_] | None,
    bias: Array | None,
    alibi_slopes: NDArray[np.float64] | None,
    dropout_p: float,
    seed: int,
    threads: int,
) -> None: ...
def merge_attention(
    outs: Sequence[Array],  # each (*batch, H, Lq, Dv)
    lses: Sequence[Array],  # each T (*batch, H, Lq)
    out: Array,  # written
    lse: Array,  # T, written
    threads: int,
) -> None: ...
