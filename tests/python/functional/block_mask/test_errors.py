"""What block masks refuse: which call, which exception, which message. Read them aloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful import BlockMask

pytestmark = pytest.mark.once

X = np.ones((2, 4, 6, 5), np.float32)  # (B, H, L, D)
ONES = np.ones((4, 4), bool)
CAUSAL = BlockMask.causal(8, block_size=2)
THREE_HEADS = BlockMask(np.ones((3, 1, 1), bool), 6)


def from_function(f: Any, *lengths: Any, **options: Any) -> Callable[[], Any]:
    return lambda: BlockMask.from_function(f, *(lengths or (8,)), **options)


REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    # the constructor
    ("numbers", lambda: BlockMask(np.ones((4, 4))), TypeError,
     "blocks must be boolean, True where a block exists: got type float64"),
    ("codes", lambda: BlockMask(CAUSAL.blocks), TypeError,
     "blocks must be boolean, True where a block exists: got type int32"),
    ("one_axis", lambda: BlockMask([True]), ValueError,
     ("blocks must have shape (…, nq, nk), a block at least for queries and for keys: "
     "got shape (1,)")),
    ("no_block", lambda: BlockMask(np.ones((3, 0), bool)), ValueError,
     ("blocks must have shape (…, nq, nk), a block at least for queries and for keys: "
     "got shape (3, 0)")),
    ("ragged", lambda: BlockMask([[True], [True, False]]), ValueError,
     "blocks must be rectangular: got lists of different lengths"),
    ("masked", lambda: BlockMask(np.ma.masked_array(ONES)), TypeError,
     "blocks must be a plain array: got a masked array"),
    ("lengths_that_do_not_fit", lambda: BlockMask(ONES, 128, (500, 600)), ValueError,
     ("blocks must have shape (…, 4, 5), one for each 128 × 128 of lengths (500, 600): "
     "got shape (4, 4)")),
    ("block_size_that_does_not_fit", lambda: BlockMask(ONES, (64, 128), 512), ValueError,
     ("blocks must have shape (…, 8, 4), one for each 64 × 128 of lengths (512, 512): "
     "got shape (4, 4)")),
    # sizes, the same in all builders
    ("no_length", lambda: BlockMask.causal(0), ValueError, "lengths must be at least 1: got 0"),
    ("negative_length", lambda: BlockMask.causal((5, -1)), ValueError,
     "lengths must be at least 1: got -1"),
    ("length_of_half", lambda: BlockMask.causal(5.5), TypeError,
     "lengths must be an integer or a pair (Lq, Lk): got 5.5"),
    ("three_lengths", lambda: BlockMask.causal((5, 5, 5)), ValueError,
     "lengths must be an integer or a pair (Lq, Lk): got (5, 5, 5)"),
    ("length_of_flag", lambda: BlockMask.causal((True, 5)), TypeError,
     "lengths must be an integer: got True"),
    ("no_block_size", lambda: BlockMask.causal(5, block_size=0), ValueError,
     "block_size must be at least 1: got 0"),
    ("block_size_of_word", lambda: BlockMask.causal(5, block_size="a"), TypeError,
     "block_size must be an integer or a pair (queries, keys): got 'a'"),
    ("block_size_of_float", lambda: BlockMask.causal(5, block_size=(2, 2.0)), TypeError,
     "block_size must be an integer: got 2.0"),
    ("block_of_too_many_pairs", lambda: BlockMask(ONES[:1, :1], 2**40), ValueError,
     f"block_size must be at most {2**63 - 1} pairs: got ({2**40}, {2**40})"),
    ("too_long", lambda: BlockMask.causal(2**40, block_size=1), MemoryError,
     f"no room for the blocks: shape (1, {2**40}, {2**40}), type int32"),
    # diagonals
    ("no_align", lambda: BlockMask.causal((3, 5)), ValueError,
     ("align must be given where the lengths differ, 'upper_left' puts the first query at the "
     "first key, 'lower_right' the last at the last: got None for lengths (3, 5)")),
    ("align_of_items", lambda: BlockMask.causal(5, align=[1, 2]), ValueError,
     "align must be a single integer or a word: got an array of shape (2,) and type object"),
    ("align_of_float", lambda: BlockMask.causal(5, align=1.5), TypeError,
     "align must be integers: got type float64"),
    ("left", lambda: BlockMask.window(5, -1, 0), ValueError, "left must not be negative: got -1"),
    ("right", lambda: BlockMask.window(5, 0, 0.5), TypeError,
     "right must be an integer or None: got 0.5"),
    ("dilation", lambda: BlockMask.dilated(5, 1, 1, 0), ValueError,
     "dilation must be at least 1: got 0"),
    ("stride", lambda: BlockMask.strided(5, -2), ValueError, "stride must be at least 1: got -2"),
    # tokens
    ("global_beyond", lambda: BlockMask.window_and_global(5, 1, 1, [0, 5]), ValueError,
     "global_tokens must lie between 0 and 4: got 5"),
    ("global_before", lambda: BlockMask.window_and_global(5, 1, 1, -1), ValueError,
     "global_tokens must lie between 0 and 4: got -1"),
    ("global_flags", lambda: BlockMask.window_and_global(4, 1, 1, ONES[0]), TypeError,
     "global_tokens must be integers: got type bool"),
    ("ids_of_floats", lambda: BlockMask.documents([0.0, 1.0]), TypeError,
     "ids must be integers: got 0.0"),
    ("no_ids", lambda: BlockMask.documents(np.zeros((2, 0), int)), ValueError,
     "ids must have shape (…, L), a token at least: got shape (2, 0)"),
    ("one_id", lambda: BlockMask.documents(3), ValueError,
     "ids must have shape (…, L), a token at least: got shape ()"),
    # BigBird
    ("even_window", lambda: BlockMask.bigbird(64, 2), ValueError,
     "window must be odd, the query's own block in its middle: got 2"),
    ("global_blocks", lambda: BlockMask.bigbird(64, 3, -1), ValueError,
     "global_blocks must not be negative: got -1"),
    ("random_blocks", lambda: BlockMask.bigbird(64, 3, 1, 1.5), TypeError,
     "random_blocks must be an integer: got 1.5"),
    ("rng", lambda: BlockMask.bigbird(64, rng="a"), TypeError,
     "rng must be None, an integer from 0 on or a numpy.random.Generator: got 'a'"),
    ("heads", lambda: BlockMask.bigbird(64, heads=0), ValueError,
     "heads must be at least 1: got 0"),
    # a mask, a function
    ("mask_of_numbers", lambda: BlockMask.from_mask(np.ones((3, 3))), TypeError,
     "mask must be boolean, True where a query may attend: got type float64"),
    ("mask_of_one_axis", lambda: BlockMask.from_mask(ONES[0]), ValueError,
     "mask must have shape (…, Lq, Lk), a query and a key at least: got shape (4,)"),
    ("mask_without_keys", lambda: BlockMask.from_mask(ONES[:, :0]), ValueError,
     "mask must have shape (…, Lq, Lk), a query and a key at least: got shape (4, 0)"),
    ("no_function", from_function(ONES), TypeError,
     ("f must be a function of (batch, head, query_index, key_index): "
     "got an array of shape (4, 4) and type bool")),
    ("function_of_numbers", from_function(lambda b, h, i, j: i - j), TypeError,
     "f must return booleans, True where a query may attend: got type int64"),
    ("function_of_fewer_axes", from_function(lambda b, h, i, j: (i >= j)[0, 0]), ValueError,
     ("f must return an array that broadcasts to the shape of its arguments, here (1, 1, 8, 8): "
     "got shape (8, 8)")),
    ("function_of_another_shape", from_function(lambda b, h, i, j: (i >= j)[..., 1:]), ValueError,
     ("f must return an array that broadcasts to the shape of its arguments, here (1, 1, 8, 8): "
     "got shape (1, 1, 8, 7)")),
    ("function_of_nothing", from_function(lambda b, h, i, j: None), TypeError,
     "f must return booleans, True where a query may attend: got type object"),
    ("batch", from_function(lambda b, h, i, j: i >= j, batch=0), ValueError,
     "batch must be at least 1: got 0"),
    # data
    ("no_mass", lambda: BlockMask.from_weights(X, X, 0), ValueError,
     "mass must be above 0 and at most 1: got 0"),
    ("too_much_mass", lambda: BlockMask.from_similarity(X, X, 1.5), ValueError,
     "mass must be above 0 and at most 1: got 1.5"),
    ("mass_of_nan", lambda: BlockMask.from_weights(X, X, float("nan")), ValueError,
     "mass must be above 0 and at most 1: got nan"),
    ("similarity", lambda: BlockMask.from_similarity(X, X, similarity=2), ValueError,
     "similarity must lie between -1 and 1: got 2"),
    ("depth", lambda: BlockMask.from_weights(X, X[..., 1:]), ValueError,
     "key and query must have the same depth: query has 5, key has 4"),
    ("key_heads", lambda: BlockMask.from_similarity(X, X[:, :3]), ValueError,
     "the heads of query must be a multiple of the heads of key: query has 4, key has 3"),
    ("a_single_query", lambda: BlockMask.from_weights(X[0, 0, 0], X[0, 0]), ValueError,
     "query must have two axes at least: got shape (5,)"),
    ("no_keys", lambda: BlockMask.from_similarity(X, X[..., :0, :]), ValueError,
     ("query and key must have a row at least: query has shape (2, 4, 6, 5), "
     "key has (2, 4, 0, 5)")),
    ("complex_query", lambda: BlockMask.from_similarity(X * 1j, X), TypeError,
     "query must be of type float32, float64, float16, bfloat16, integer or bool: got complex64"),
    ("layout", lambda: BlockMask.from_weights(X, X, layout="lbhd"), ValueError,
     "layout must be 'bhld' or 'blhd': got 'lbhd'"),
    ("dropout", lambda: BlockMask.from_weights(X, X, dropout_p=0.5), TypeError,
     "from_weights() got an unexpected keyword argument 'dropout_p'"),
    ("rows", lambda: BlockMask.from_weights(X, X, rows=3), TypeError,
     "from_weights() got an unexpected keyword argument 'rows'"),
    ("a_mask_that_is_none", lambda: BlockMask.from_similarity(X, X, block_mask=ONES), TypeError,
     "block_mask must be a heedful.BlockMask: got an array of shape (4, 4) and type bool"),
    ("a_mask_of_other_lengths", lambda: BlockMask.from_similarity(X, X, block_mask=CAUSAL),
     ValueError, "block_mask must have lengths (6, 6): got (8, 8)"),
    ("a_mask_of_other_blocks",
     lambda: BlockMask.from_similarity(X, X, block_mask=BlockMask.causal(6, block_size=2)),
     ValueError, "block_mask must have block_size (128, 128): got (2, 2)"),
    ("a_mask_of_other_heads",
     lambda: BlockMask.from_similarity(X, X, block_size=6, block_mask=THREE_HEADS), ValueError,
     "block_mask must broadcast to the leading axes and heads, here (2, 4): got (3,)"),
    # combinations
    ("other_lengths", lambda: CAUSAL & BlockMask.causal(7, block_size=2), ValueError,
     "block masks must have equal lengths to be combined: got (8, 8) and (7, 7)"),
    ("other_blocks", lambda: CAUSAL | BlockMask.causal(8, block_size=4), ValueError,
     "block masks must have equal block_size to be combined: got (2, 2) and (4, 4)"),
    ("other_heads", lambda: BlockMask(np.ones((2, 1, 1), bool), 6) | THREE_HEADS, ValueError,
     "the leading axes of block masks must broadcast to be combined: got (2,) and (3,)"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_a_wrong_call_is_refused_in_one_sentence(case: Any) -> None:
    _, call, kind, message = case
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value) == message
