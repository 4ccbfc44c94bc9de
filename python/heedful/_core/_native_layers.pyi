"""The compiled functions of layers and of their training, a part of `_native`."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

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
    split: tuple[Array, Array, Array] | None,  # of these rows of the weight
) -> None:
    """A dense layer of which a row of the weight is scale[o] · weight[o].

    Each row of x is quantised to 8 bits by its own range; products are summed in int32.
    """

def int8_split(weight: NDArray[np.int8]) -> tuple[Array, Array, Array] | None:
    """(Out, In) in the form that products of bytes read without VNNI; None if that is no faster.

    main (Out, bytes of a row), begins (Out + 1) and extra (words, 2): row o is main[o] and, besides
    it, the words extra[begins[o] : begins[o + 1]], each with its place.
    """

def int8_reads_split(rows: int) -> bool:
    """Whether int8_forward reads it for so many rows of x."""

def bfloat16_forward(
    x: NDArray[np.float32],  # (N, In)
    weight: NDArray[np.uint16],  # (Out, In): the bits of bfloat16
    bias: NDArray[np.float32] | None,  # (Out,), contiguous
    residual: NDArray[np.float32] | None,  # (N, Out), may be y
    activation: str,
    y: NDArray[np.float32],  # (N, Out), written
) -> None:
    """As linear_forward of the weight in float32, with the same bits."""

# Activations and dropout, of arrays of one shape, all contiguous; outputs may be inputs.

def activation_forward(kind: str, x: Array, y: Array) -> None: ...
def activation_backward(kind: str, before: Array, dy: Array, dbefore: Array) -> None:
    """dbefore = dy · activation′(before)"""

# A gate and what it lets through in each row, all contiguous.

def gated_activation_forward(
    kind: str,
    x: Array,  # (N, 2 F)
    y: Array,  # (N, F), written: activation(x[:, :F]) · x[:, F:]
) -> None: ...
def gated_activation_backward(
    kind: str,
    x: Array,  # (N, 2 F)
    dy: Array,  # (N, F)
    dx: Array,  # (N, 2 F), written; may be x
) -> None: ...
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

# Recurrent layers: valid rows of padded sequences, step after step; of step t those of the first
# counts[t] sequences from begins[t] on. Arrays of T of two axes as for dense layers; `first` states
# are of all sequences. Nothing overlaps.

def gru_forward(
    gates: Array,  # (rows, 3 H): W_ih x + b_ih; overwritten by r, z and n
    weight: Array,  # (3 H, H), for gates of float32 also bits of bfloat16 or int8
    scale: Array | None,  # (3 H,), of int8
    bias: Array | None,  # (3 H,), contiguous
    counts: NDArray[np.int64],  # (steps,), falling, contiguous
    begins: NDArray[np.int64],  # (steps,), contiguous
    reverse: bool,  # from the last step to the first
    first: Array,  # (B, H)
    update: Array,  # (rows, H), written: W_hn h + b_hn
    y: Array,  # (rows, H), written: h after each step
) -> None: ...
def gru_backward(
    gates: Array,  # r, z and n; overwritten by the gradients of their input sums
    weight: Array,
    counts: NDArray[np.int64],
    begins: NDArray[np.int64],
    reverse: bool,
    first: Array,
    update: Array,  # overwritten by its gradient
    y: Array,
    dy: Array,  # (rows, H)
    dstate: Array,  # (B, H): of the last states, overwritten by those of the first ones
) -> None: ...
def lstm_forward(
    gates: Array,  # (rows, 4 H): W_ih x + b_ih; overwritten by i, f, g and o
    weight: Array,  # (4 H, H), for gates of float32 also bits of bfloat16 or int8
    scale: Array | None,  # (4 H,), of int8
    bias: Array | None,  # (4 H,), contiguous
    counts: NDArray[np.int64],
    begins: NDArray[np.int64],
    reverse: bool,
    first: Array,  # (B, H)
    first_cell: Array,  # (B, H)
    cells: Array,  # (rows, H), written: c after each step
    y: Array,  # (rows, H), written: h after each step
) -> None: ...
def lstm_backward(
    gates: Array,  # i, f, g and o; overwritten by the gradients of their sums
    weight: Array,
    counts: NDArray[np.int64],
    begins: NDArray[np.int64],
    reverse: bool,
    first_cell: Array,
    cells: Array,
    dy: Array,  # (rows, H)
    dstate: Array,  # (B, H): of the last states, overwritten by those of the first ones
    dcell: Array,  # likewise
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
