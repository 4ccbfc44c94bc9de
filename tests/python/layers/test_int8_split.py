"""The form of int8 weights that products of bytes read: made once, and never out of date."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import int8_reference
import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray

from heedful._core import native
from heedful.base._int8_parameter import Int8Parameter
from heedful.layers import Conv1d, Linear, MultiHeadAttention

Array = NDArray[Any]


@pytest.fixture(autouse=True)
def bytes_without_vnni() -> Iterator[None]:
    reason = native.force_int8("bytes")
    if reason:
        pytest.skip(reason)
    yield
    native.force_int8("")


def weight_of(layer: Any, name: str = "weight") -> Int8Parameter:
    found = layer.parameter(name)
    assert isinstance(found, Int8Parameter)
    return found


def expected(layer: Linear, x: Array) -> Array:
    own = weight_of(layer)
    return int8_reference.product(x, own.value, own.scale.value)


@pytest.fixture
def x(rng: np.random.Generator) -> Array:
    return rng.standard_normal((53, 131), dtype=np.float32)


def test_it_is_made_by_the_first_call_and_read_by_the_next(x: Array) -> None:
    layer = Linear(131, 67, bias=False, rng=0).quantize()
    assert not weight_of(layer)._split
    assert_same_bits(layer(x), expected(layer, x))
    made = weight_of(layer)._split[0]
    assert_same_bits(layer(x), expected(layer, x))
    assert weight_of(layer)._split[0] is made


def test_few_rows_and_other_ways_do_not_make_it(x: Array) -> None:
    layer = Linear(131, 67, bias=False, rng=0).quantize()
    layer(x[:1])
    native.force_int8("widened")
    layer(x)
    assert not weight_of(layer)._split


def test_main_and_extra_add_up_to_the_weight(rng: np.random.Generator) -> None:
    weight = rng.integers(-128, 128, (19, 131), dtype=np.int8)
    split = native.int8_split(weight)
    assert split is not None
    main, begins, extra = split
    total = main.astype(int)
    for row, (begin, end) in enumerate(pairwise(begins)):
        for place, word in extra[begin:end]:
            total[row, 4 * place : 4 * place + 4] += np.array([word]).view(np.int8)
    assert np.array_equal(total[:, :131], weight)
    assert not total[:, 131:].any()


def test_weights_of_which_too_much_is_set_apart_are_not_split(rng: np.random.Generator) -> None:
    uniform = rng.integers(-127, 128, (64, 256), dtype=np.int8)
    native.force_int8("")
    if native.show_build()["int8"] != "bytes":
        pytest.skip("this processor multiplies int8 in another way")
    assert native.int8_split(uniform) is None
    assert native.int8_split(uniform // 4) is not None


def test_a_loaded_state_replaces_it(x: Array) -> None:
    layer, other = (Linear(131, 67, bias=False, rng=seed).quantize() for seed in (0, 1))
    layer(x)
    layer.load_state_dict(other.state_dict())
    assert not weight_of(layer)._split
    assert_same_bits(layer(x), other(x))
    layer.load_state_dict({"weight": np.full((67, 131), 0.5, np.float32)})
    assert_same_bits(layer(x), expected(layer, x))


def test_the_array_that_it_is_made_of_is_read_only(x: Array) -> None:
    layer = Linear(131, 67, rng=0).quantize()
    layer(x)
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 3


def test_copies_and_pickles_do_not_have_it(x: Array) -> None:
    layer = Linear(131, 67, bias=False, rng=0).quantize()
    before = len(pickle.dumps(layer))
    y = layer(x)
    assert len(pickle.dumps(layer)) == before
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert not weight_of(other)._split
        assert_same_bits(other(x), y)
    assert_same_bits(layer.dequantize().quantize()(x), y)


def test_threads_that_make_it_at_once_compute_the_same(x: Array) -> None:
    layer = Linear(131, 67, bias=False, rng=0).quantize()
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(lambda _: layer(x), range(16)):
            assert_same_bits(y, expected(layer, x))


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 53])
def test_all_numbers_of_rows_have_the_bits_of_exact_integers(x: Array, rows: int) -> None:
    layer = Linear(131, 67, bias=False, rng=0).quantize()
    assert_same_bits(layer(x[:rows]), expected(layer, x[:rows]))


def test_parts_of_a_weight_are_parts_of_it(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 29, 24), dtype=np.float32)
    heads = MultiHeadAttention(24, 4, num_kv_heads=2, rng=0).quantize()
    windows = Conv1d(24, 34, 3, groups=2, padding=1, rng=0).quantize()
    found = [heads(x), windows(x)]
    native.force_int8("widened")
    for layer, y in zip((heads, windows), found, strict=True):
        assert_same_bits(layer(x), y)
