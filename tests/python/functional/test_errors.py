"""What attention refuses: which call, which exception, which message. Read the messages aloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful import additive_attention, attention, attention_scores

pytestmark = pytest.mark.once

Q = np.ones((2, 4, 3, 5), np.float32)  # (B, H, Lq, D)
K = np.ones((2, 2, 7, 5), np.float32)  # (B, Hkv, Lk, D)
V = np.ones((2, 2, 7, 6), np.float32)  # (B, Hkv, Lk, Dv)


def of(**options: Any) -> Callable[[], Any]:
    """A call of attention that is valid except for these options."""
    return lambda: attention(Q, K, V, **options)


NAMES_BOTH_CHOICES = (
    "align must be given where query and key differ in length and {} is used, 'upper_left' puts "
    "the first query at the first key, 'lower_right' the last at the last: got None, {}"
)
FLOATING = "float32, float64, float16 or bfloat16"

REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    # shapes
    ("depth", lambda: attention(Q, K[..., :4], V), ValueError,
     "key and query must have the same depth: query has 5, key has 4"),
    ("length", lambda: attention(Q, K, V[..., :6, :]), ValueError,
     "value and key must have the same length: key has 7, value has 6"),
    ("key_and_value_heads", lambda: attention(Q, K, V[:, :1]), ValueError,
     "value and key must have the same number of heads: key has 2, value has 1"),
    ("heads", lambda: attention(Q[:, :3], K, V), ValueError,
     "the heads of query must be a multiple of the heads of key: query has 3, key has 2"),
    ("fewer_query_heads", lambda: attention(Q[:, :1], K, V), ValueError,
     "the heads of query must be a multiple of the heads of key: query has 1, key has 2"),
    ("no_key_heads", lambda: attention(Q, K[:, :0], V[:, :0]), ValueError,
     "the heads of query must be a multiple of the heads of key: query has 4, key has 0"),
    ("leading_axes", lambda: attention(Q, np.ones((3, 2, 7, 5)), V), ValueError,
     ("the leading axes of query, key and value must broadcast: "
     "query has (2,), key has (3,), value has (2,)")),
    ("key_of_one_axis", lambda: attention([1.0, 2.0], [1.0, 2.0], [[1.0], [2.0]]), ValueError,
     ("key must have a row for each key, write (L, 1) for a column of numbers: "
     "got shape (2,), reshape it to (2, 1)")),
    ("value_of_one_axis", lambda: attention([[1.0], [2.0]], [[1.0], [2.0]], [1, 2]), ValueError,
     ("value must have a row for each key, write (L, 1) for a column of numbers: "
     "got shape (2,), reshape it to (2, 1)")),
    ("value_of_no_axis", lambda: attention([[1.0]], [[1.0]], 1.0), ValueError,
     ("value must have a row for each key, write (L, 1) for a column of numbers: "
     "got shape (), reshape it to (L, 1)")),
    ("query_of_no_axis", lambda: attention(1.0, [[1.0]], [[1.0]]), ValueError,
     "query must have one axis at least: got shape ()"),
    ("single_query_of_many_heads", lambda: attention(Q[0, 0, 0], K[0], V[0]), ValueError,
     "a query of one axis needs a key of two: query has shape (5,), key has (2, 7, 5)"),
    ("ragged", lambda: attention([[1, 2], [3]], K, V), ValueError,
     "query must be rectangular: got lists of different lengths"),
    ("ragged_lengths", of(kv_lengths=[[1], [2, 3]]), TypeError,
     "kv_lengths must be integers: got [1]"),
    # types
    ("complex", lambda: attention(Q.astype(complex), K, V), TypeError,
     f"query must be of type {FLOATING.replace(' or', ',')}, integer or bool: got complex128"),
    ("long_double", lambda: attention(Q, K.astype(np.longdouble), V), TypeError,
     (f"key must be of type {FLOATING.replace(' or', ',')}, integer or bool: got "
     f"{np.dtype(np.longdouble)}")),
    ("object", lambda: attention(Q, K, V.astype(object)), TypeError, "value must be of type "),
    ("strings", lambda: attention([["a"]], [["a"]], [["a"]]), TypeError, "query must be of type "),
    ("nothing", lambda: attention(None, K, V), TypeError, "query must be of type "),
    ("no_value", lambda: attention(Q, K, None), TypeError, "value must be of type "),
    ("dates", lambda: attention(Q, K.astype("M8[s]"), V), TypeError, "key must be of type "),
    ("masked_array", lambda: attention(Q, np.ma.masked_array(K), V), TypeError,
     "key must be a plain array: got a masked array, use mask="),
    # mask and bias
    ("mask_of_numbers", of(mask=np.zeros((3, 7), np.float32)), TypeError,
     ("mask must be boolean, True where a query may attend; numbers to be added to the scores "
     "belong in bias: got type float32")),
    ("mask_of_integers", of(mask=np.ones((3, 7), int)), TypeError,
     "belong in bias: got type int64"),
    ("mask_shape", of(mask=np.ones((7, 3), bool)), ValueError,
     "mask must broadcast to the scores' shape (2, 4, 3, 7): got shape (7, 3)"),
    ("mask_of_keys", of(mask=np.ones((2, 7), bool)), ValueError,
     "got shape (2, 7); for padding (B, Lk) write mask[:, None, None, :] or give kv_lengths"),
    ("mask_widens", of(mask=np.ones((5, 1, 1, 3, 7), bool)), ValueError,
     "mask must broadcast to the scores' shape (2, 4, 3, 7): got shape (5, 1, 1, 3, 7)"),
    ("bias_of_bools", of(bias=np.ones((3, 7), bool)), TypeError,
     f"bias must be of type {FLOATING}, True and False belong in mask: got bool"),
    ("bias_of_integers", of(bias=np.ones((3, 7), np.int32)), TypeError,
     f"bias must be of type {FLOATING}: got int32"),
    ("bias_shape", of(bias=np.ones((2, 3, 7))), ValueError,
     "bias must broadcast to the scores' shape (2, 4, 3, 7): got shape (2, 3, 7)"),
    # causal, window, align
    ("causal_number", of(causal=1), TypeError, "causal must be True or False: got 1"),
    ("causal_undecided", of(causal=True), ValueError,
     NAMES_BOTH_CHOICES.format("causal", "query has 3 rows, key has 7")),
    ("window_undecided", of(window=(1, None)), ValueError,
     NAMES_BOTH_CHOICES.format("window", "query has 3 rows, key has 7")),
    ("alibi_undecided", of(alibi_slopes=np.ones(4)), ValueError,
     NAMES_BOTH_CHOICES.format("alibi_slopes", "query has 3 rows, key has 7")),
    ("window_number", of(window=3), TypeError, "window must be a pair (left, right): got 3"),
    ("window_triple", of(window=(1, 2, 3)), ValueError,
     "window must be a pair (left, right): got (1, 2, 3)"),
    ("window_negative", of(window=(-1, 0), align=0), ValueError,
     "window must hold no negative number: got (-1, 0)"),
    ("window_of_floats", of(window=(1.5, 0), align=0), TypeError,
     "window must hold integers or None: got (1.5, 0)"),
    ("align_word", of(align="right"), ValueError,
     "align must be 'upper_left', 'lower_right' or integers: got 'right'"),
    ("align_float", of(align=0.5), TypeError, "align must be integers: got type float64"),
    ("align_floats", of(align=[0.5, 1.0]), TypeError, "align must be integers: got 0.5"),
    ("align_flag", of(align=True), TypeError, "align must be integers: got True"),
    ("align_shape", of(align=[1, 2, 3]), ValueError,
     ("align must be a single integer or have shape (2,), that of the leading axes: "
     "got shape (3,)")),
    # lengths
    ("length_negative", of(q_lengths=[3, -1]), ValueError,
     "q_lengths must lie between 0 and 3: got -1 for item 1"),
    ("length_too_large", of(kv_lengths=[8, 1]), ValueError,
     "kv_lengths must lie between 0 and 7: got 8 for item 0"),
    ("length_beyond_64_bits", of(kv_lengths=[1, 2**70]), ValueError,
     f"kv_lengths must lie between 0 and 7: got {2**70} for item 1"),
    ("length_that_would_wrap", of(kv_lengths=np.array([1, 2**64 - 1], np.uint64)), ValueError,
     f"kv_lengths must lie between 0 and 7: got {2**64 - 1} for item 1"),
    ("length_of_floats", of(kv_lengths=np.array([1.0, 2.0])), TypeError,
     "kv_lengths must be integers: got type float64"),
    ("length_of_flags", of(kv_lengths=[True, False]), TypeError,
     "kv_lengths must be integers: got True"),
    ("length_shape", of(kv_lengths=[[1, 2]]), ValueError,
     "kv_lengths must have shape (2,), that of the leading axes: got shape (1, 2)"),
    ("length_for_all", of(kv_lengths=3), ValueError,
     "kv_lengths must have shape (2,), that of the leading axes: got shape ()"),
    ("lengths_without_leading_axes", lambda: attention(Q[0], K[0], V[0], q_lengths=[3]), ValueError,
     "q_lengths must have no axes: a single number; three axes are (H, L, D), "),
    ("additive_lengths_without_leading_axes",
     lambda: additive_attention(Q[0], K[0], V[0], np.ones(Q.shape[-1]), kv_lengths=[3]), ValueError,
     "kv_lengths must have no axes: a single number; three axes are (H, L, D), "),
    ("lengths_of_one_item_length_first",
     lambda: attention(Q[0], Q[0], Q[0], q_lengths=[3], layout="blhd"), ValueError,
     "q_lengths must have no axes: a single number: got shape (1,)"),
    ("lengths_of_one_head", lambda: attention(Q[0, 0], K[0, 0], V[0, 0], q_lengths=[3]), ValueError,
     "q_lengths must have no axes: a single number: got shape (1,)"),
    # numbers
    ("scale_nan", of(scale=np.nan), ValueError, "scale must be finite: got nan"),
    ("scale_infinite", of(scale=np.inf), ValueError, "scale must be finite: got inf"),
    ("scale_too_large", of(scale=10**400), ValueError, "scale must be finite: got 1000"),
    ("scale_word", of(scale="auto"), TypeError, "scale must be a number: got 'auto'"),
    ("scale_complex", of(scale=1j), TypeError, "scale must be a number: got 1j"),
    ("scale_flag", of(scale=True), TypeError, "scale must be a number: got True"),
    ("scale_array", of(scale=np.ones(2)), TypeError,
     "scale must be a number: got an array of shape (2,) and type float64"),
    ("softcap_zero", of(softcap=0.0), ValueError, "softcap must be finite and above 0: got 0.0"),
    ("softcap_negative", of(softcap=-1), ValueError, "softcap must be finite and above 0: got -1"),
    ("softcap_nan", of(softcap=np.nan), ValueError, "softcap must be finite and above 0: got nan"),
    ("softcap_infinite", of(softcap=np.inf), ValueError, "softcap must be finite and above 0"),
    # per head
    ("alibi_shape", of(alibi_slopes=np.ones(3), align=0), ValueError,
     "alibi_slopes must have shape (4,) or (2, 4): got (3,)"),
    ("alibi_nan", of(alibi_slopes=np.full(4, np.nan), align=0), ValueError,
     "alibi_slopes must be finite: got NaN or infinity"),
    ("alibi_complex", of(alibi_slopes=np.ones(4, complex), align=0), TypeError,
     f"alibi_slopes must be of type {FLOATING}: got complex128"),
    ("sink_shape", of(sink=np.ones(3)), ValueError,
     "sink must have shape (4,), one element per head: got (3,)"),
    ("sink_of_integers", of(sink=[1, 2, 3, 4]), TypeError,
     f"sink must be of type {FLOATING}: got int64"),
    # dropout
    ("dropout_above_1", of(dropout_p=1.5), ValueError,
     "dropout_p must lie between 0 and 1: got 1.5"),
    ("dropout_negative", of(dropout_p=-0.1), ValueError,
     "dropout_p must lie between 0 and 1: got -0.1"),
    ("dropout_nan", of(dropout_p=np.nan), ValueError,
     "dropout_p must lie between 0 and 1: got nan"),
    ("dropout_word", of(dropout_p="0.1"), TypeError, "dropout_p must be a number: got '0.1'"),
    ("seed_negative", of(dropout_p=0.1, rng=-1), ValueError,
     "rng must be a seed from 0 to 2**64 - 1: got -1"),
    ("seed_too_large", of(dropout_p=0.1, rng=2**64), ValueError,
     f"rng must be a seed from 0 to 2**64 - 1: got {2**64}"),
    ("seed_float", of(dropout_p=0.1, rng=1.0), TypeError,
     "rng must be None, an integer or a numpy.random.Generator: got 1.0"),
    ("seed_flag", of(rng=True), TypeError,
     "rng must be None, an integer or a numpy.random.Generator: got True"),
    # layout and what is returned
    ("layout", of(layout="hbld"), ValueError, "layout must be 'bhld' or 'blhd': got 'hbld'"),
    ("layout_packed", of(layout="packed"), ValueError,
     "layout must be 'bhld' or 'blhd': got 'packed'"),
    ("layout_number", of(layout=1), TypeError, "layout must be 'bhld' or 'blhd': got 1"),
    ("return_lse", of(return_lse=1), TypeError, "return_lse must be True or False: got 1"),
    ("return_weights", of(return_weights="yes"), TypeError,
     "return_weights must be True or False: got 'yes'"),
    # too large
    ("more_than_memory", lambda: attention(np.broadcast_to(Q, (2**50, 2, 4, 3, 5)), K, V),
     MemoryError, f"no room for the output: shape ({2**50}, 2, 4, 3, 6), type float32"),
    ("more_than_addresses",
     lambda: attention_scores(np.broadcast_to(np.float32(1), (2**40, 2)),
                              np.broadcast_to(np.float32(1), (2**40, 2))),
     MemoryError, f"no room for the scores: shape (1, {2**40}, {2**40}), type float32"),
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


def test_the_right_call_is_not_refused() -> None:
    """Otherwise the table would show nothing."""
    assert of()().shape == (2, 4, 3, 6)


def test_float16_with_bfloat16_is_refused() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    says = "must not mix float16 and bfloat16"
    with pytest.raises(TypeError, match=f"{says}: got float16, bfloat16, float16"):
        attention(Q.astype("f2"), K.astype(bfloat16), V.astype("f2"))
    with pytest.raises(TypeError, match=says):
        attention(Q, K.astype(bfloat16), V.astype("f2"))


def test_floats_of_8_bits_are_refused() -> None:
    float8 = pytest.importorskip("ml_dtypes").float8_e4m3fn
    with pytest.raises(TypeError, match=r"key must be of type .*: got float8_e4m3fn"):
        attention(Q, K.astype(float8), V)


def test_lengths_changed_during_the_check_change_nothing() -> None:
    """They are copied first: later changes have no effect."""

    class Sly:
        asked = 0

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
            self.asked += 1
            return np.array([7, 7 if self.asked == 1 else 10**6])

    lengths = Sly()
    attention(Q, K, V, kv_lengths=lengths)
    assert lengths.asked == 1


def test_a_wrong_out_of_a_list_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"out must be a numpy array: got \[\]"):
        attention(Q, K, V, out=[])
