"""What the other functions refuse beyond attention: rows, packed sequences, backward, merging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful import (
    attention_backward,
    attention_scores,
    attention_varlen,
    attention_vjp,
    attention_weights,
    merge_attention,
    scaled_dot_product_attention,
)

pytestmark = pytest.mark.once

Q = np.ones((2, 4, 3, 5), np.float32)  # (B, H, Lq, D)
K = np.ones((2, 2, 7, 5), np.float32)  # (B, Hkv, Lk, D)
V = np.ones((2, 2, 7, 6), np.float32)  # (B, Hkv, Lk, Dv)
OUT = np.ones((2, 4, 3, 6), np.float32)
LSE = np.ones((2, 4, 3), np.float32)
T = np.ones((9, 4, 5), np.float32)  # tokens of packed sequences
SPLIT = [0, 4, 9]


def packed(query: Any = T, starts: Any = SPLIT, starts_k: Any = None, **options: Any) -> Any:
    starts_k = starts if starts_k is None else starts_k
    return lambda: attention_varlen(query, T, T, starts, starts_k, **options)


def backward(**options: Any) -> Callable[[], Any]:
    arrays = {"dout": OUT, "query": Q, "key": K, "value": V, "out": OUT, "lse": LSE}
    return lambda: attention_backward(**{**arrays, **options})


def pulled(*cotangents: Any, **options: Any) -> Callable[[], Any]:
    return lambda: attention_vjp(Q, K, V, **options)[1](*cotangents)


REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    # rows of interest
    ("row_outside", lambda: attention_weights(Q, K, rows=3), IndexError,
     "rows must lie between -3 and 2: got 3"),
    ("row_before_the_first", lambda: attention_weights(Q, K, rows=[0, -4]), IndexError,
     "rows must lie between -3 and 2: got -4"),
    ("rows_of_floats", lambda: attention_weights(Q, K, rows=[0.5]), TypeError,
     "rows must be integers: got 0.5"),
    ("rows_of_flags", lambda: attention_scores(Q, K, rows=np.ones(3, bool)), TypeError,
     "rows must be integers: got type bool"),
    ("rows_of_two_axes", lambda: attention_scores(Q, K, rows=[[0, 1]]), ValueError,
     "rows must have one axis at most: got shape (1, 2)"),
    ("rows_of_a_single_query", lambda: attention_weights(Q[0, 0, 0], K[0, 0], rows=0), ValueError,
     "rows must be None for a query of one axis: it is the only row"),
    ("average_heads", lambda: attention_weights(Q, K, average_heads=1), TypeError,
     "average_heads must be True or False: got 1"),
    # packed sequences
    ("packed_axes", packed(query=Q), ValueError,
     "query must have shape (tokens, heads, depth): got (2, 4, 3, 5)"),
    ("packed_decreasing", packed(starts=[0, 5, 4]), ValueError,
     "cu_seqlens_q must not decrease: got 5, then 4"),
    ("packed_from_1", packed(starts=[1, 5, 9]), ValueError,
     "cu_seqlens_q must start with 0: got 1"),
    ("packed_too_long", packed(starts=[0, 4, 10]), ValueError,
     "cu_seqlens_q must end within query: query has 9 tokens, got 10"),
    ("packed_keys_too_long", packed(starts_k=[0, 4, 2**70]), ValueError,
     f"cu_seqlens_k must end within key: key has 9 tokens, got {2**70}"),
    ("packed_that_would_wrap", packed(starts=np.array([0, 2**63, 9], np.uint64)), ValueError,
     f"cu_seqlens_q must not decrease: got {2**63}, then 9"),
    ("packed_of_floats", packed(starts=[0.0, 9.0]), TypeError,
     "cu_seqlens_q must be integers: got 0.0"),
    ("packed_shape", packed(starts=[[0, 9]]), ValueError,
     "cu_seqlens_q must have shape (n + 1,) for n sequences: got (1, 2)"),
    ("packed_nothing", packed(starts=np.zeros(0, int)), ValueError,
     "cu_seqlens_q must have shape (n + 1,) for n sequences: got (0,)"),
    ("packed_counts", packed(starts_k=[0, 9]), ValueError,
     "cu_seqlens_q and cu_seqlens_k must have the same length: got 3 and 2"),
    ("packed_undecided", packed(starts_k=[0, 4, 8], causal=True), ValueError,
     ("align must be given where query and key differ in length and causal is used, 'upper_left' "
      "puts the first query at the first key, 'lower_right' the last at the last: got None, "
      "sequence 1 has 5 queries and 4 keys")),
    ("packed_length_in_its_own_segment", packed(q_lengths=[4, 6]), ValueError,
     "q_lengths must lie between 0 and 5: got 6 for item 1"),
    ("packed_align_shape", packed(align=[1, 2, 3]), ValueError,
     "align must be a single integer or have shape (2,)"),
    ("packed_mask", packed(mask=np.ones((9, 9), bool)), TypeError, "'mask'"),
    ("packed_bias", packed(bias=np.ones((9, 9))), TypeError, "'bias'"),
    ("packed_weights", packed(return_weights=True), TypeError, "'return_weights'"),
    # backward
    ("dout_shape", pulled(OUT[:, :, :2]), ValueError,
     "dout must have shape (2, 4, 3, 6): got (2, 4, 2, 6)"),
    ("dout_complex", pulled(OUT.astype(complex)), TypeError, "dout must be of type "),
    ("dlse_shape", pulled(OUT, LSE[0]), ValueError,
     "dlse must have shape (2, 4, 3): got (4, 3)"),
    ("dweights_without_weights", pulled(OUT, None, np.ones((2, 4, 3, 7))), ValueError,
     "dweights must be None: the call had no return_weights=True"),
    ("dweights_shape", pulled(OUT, None, OUT, return_weights=True), ValueError,
     "dweights must have shape (2, 4, 3, 7): got (2, 4, 3, 6)"),
    ("backward_dout_shape", backward(dout=OUT[0]), ValueError,
     "dout must have shape (2, 4, 3, 6): got (4, 3, 6)"),
    ("backward_out_shape", backward(out=OUT[..., :5]), ValueError,
     "out must have shape (2, 4, 3, 6): got (2, 4, 3, 5)"),
    ("backward_lse_shape", backward(lse=OUT), ValueError,
     "lse must have shape (2, 4, 3): got (2, 4, 3, 6)"),
    ("backward_without_seed", backward(dropout_p=0.1), ValueError,
     ("rng must be the integer that the forward call was given, where there is dropout or noise: "
     "got None")),
    ("backward_with_generator", backward(dropout_p=0.1, rng=np.random.default_rng(0)), ValueError,
     ("rng must be the integer that the forward call was given, where there is dropout or noise: "
     "got Generator")),
    # merging
    ("merge_nothing", lambda: merge_attention([], []), ValueError,
     "outs must hold one piece at least: got none"),
    ("merge_counts", lambda: merge_attention([OUT, OUT], [LSE]), ValueError,
     "outs and lses must have the same length: got 2 and 1"),
    ("merge_shapes", lambda: merge_attention([OUT, OUT[0]], [LSE, LSE]), ValueError,
     "outs must have the same shape: outs[0] has (2, 4, 3, 6), outs[1] has (4, 3, 6)"),
    ("merge_lse_shape", lambda: merge_attention([OUT, OUT], [LSE, LSE[..., None]]), ValueError,
     "lses[1] must have shape (2, 4, 3): got (2, 4, 3, 1)"),
    ("merge_types", lambda: merge_attention([OUT, OUT.astype(complex)], [LSE, LSE]), TypeError,
     "outs[1] must be of type "),
    ("merge_numbers", lambda: merge_attention([1.0], [1.0]), ValueError,
     "outs[0] must have one axis at least: got shape ()"),
    # PyTorch's signature
    ("torch_axes", lambda: scaled_dot_product_attention(Q[0, 0, 0], K, V), ValueError,
     ("query, key and value must have two axes at least: "
     "got shapes (5,), (2, 2, 7, 5) and (2, 2, 7, 6)")),
    ("torch_mask_and_causal",
     lambda: scaled_dot_product_attention(Q, Q, Q, np.ones((3, 3), bool), is_causal=True),
     ValueError, "attn_mask must be None where is_causal is True: got both"),
    ("torch_mask_of_integers",
     lambda: scaled_dot_product_attention(Q, Q, Q, np.ones((3, 3), int)), TypeError,
     "attn_mask must be boolean or floating: got type int64"),
    ("torch_heads", lambda: scaled_dot_product_attention(Q, K, V), ValueError,
     ("the leading axes of query, key and value must broadcast, heads in groups need "
     "enable_gqa=True: query has (2, 4), key has (2, 2), value has (2, 2)")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_is_refused_in_one_sentence(
    call: Callable[[], Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message


def test_no_two_rows_of_the_table_have_the_same_name() -> None:
    names = [row[0] for row in REFUSED]
    assert len(set(names)) == len(names)


def test_the_right_calls_are_not_refused() -> None:
    """Otherwise the table would show nothing."""
    assert packed()().shape == T.shape
    backward()()
    pulled(OUT, LSE, np.ones((2, 4, 3, 7)), return_weights=True)()
    merge_attention([OUT, OUT], [LSE, LSE])
    attention_weights(Q, K, rows=2)
    scaled_dot_product_attention(Q, K, V, enable_gqa=True)


def test_pieces_of_float16_and_of_bfloat16_are_not_merged() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    with pytest.raises(TypeError, match="outs must not mix float16 and bfloat16"):
        merge_attention([OUT.astype("f2"), OUT.astype(bfloat16)], [LSE, LSE])
