"""Block masks from boolean masks and from functions, against every pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from block_masks import GRIDS, assert_shows, drawn, every_pair, shown_by

from heedful import BlockMask
from heedful.functional.block_mask import _construction

pytestmark = pytest.mark.once

each_grid = pytest.mark.parametrize("grid", GRIDS, ids=shown_by)
# pairs that are looked at together: everything, few blocks of one item, less than a block
each_amount = pytest.mark.parametrize("at_once", [2**19, 40, 1])


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0, 2)], ids=str)
@each_amount
@each_grid
def test_from_mask(
    grid: Any, at_once: int, leading: Any, rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(_construction, "_AT_ONCE", at_once)
    monkeypatch.setattr(_construction, "_KEYS", 1)
    lengths, block_size = grid
    dense = drawn((*leading, *lengths), rng)
    mask = BlockMask.from_mask(dense, block_size=block_size)
    assert mask.blocks.shape[:-2] == (leading or (1,))
    assert_shows(mask, dense)


def test_from_a_mask_of_any_strides(rng: np.random.Generator) -> None:
    dense = drawn((2, 11, 14), rng)
    for view in (dense[:, ::-1, ::2], dense.swapaxes(1, 2), np.broadcast_to(dense[0, 0], (9, 14))):
        assert_shows(BlockMask.from_mask(view, block_size=4), view)


def test_from_nested_lists() -> None:
    mask = BlockMask.from_mask([[True, False, True]], block_size=2)
    assert_shows(mask, np.array([[True, False, True]]))


@pytest.mark.parametrize(("batch", "heads"), [(None, None), (3, None), (None, 2), (3, 2)])
@each_amount
@each_grid
def test_from_function(
    grid: Any, at_once: int, batch: Any, heads: Any, rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(_construction, "_AT_ONCE", at_once)
    monkeypatch.setattr(_construction, "_KEYS", 1)
    lengths, block_size = grid
    dense = drawn((batch or 1, heads or 1, *lengths), rng)
    mask = BlockMask.from_function(
        lambda b, h, i, j: dense[b, h, i, j], lengths, batch, heads, block_size=block_size
    )
    assert mask.blocks.shape[:-2] == ((heads or 1,) if batch is None else (batch, heads or 1))
    assert_shows(mask, dense if batch is not None else dense[0])


@pytest.mark.parametrize(
    "f",
    [
        lambda b, h, i, j: j <= i,
        lambda b, h, i, j: (j < b) | (i == 3),
        lambda b, h, i, j: i + h > 4,
        lambda b, h, i, j: b == 1,
        lambda b, h, i, j: True,
        lambda b, h, i, j: np.bool_(False),
    ],
    ids=["positions", "item", "head", "item_alone", "constant", "scalar"],
)
@pytest.mark.parametrize("at_once", [2**19, 40])
def test_a_function_may_depend_on_some_indices_only(
    f: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_construction, "_AT_ONCE", at_once)
    monkeypatch.setattr(_construction, "_KEYS", 1)
    wanted = np.array([[every_pair((11, 13), lambda i, j, b=b, h=h: bool(f(b, h, i, j)))
                        for h in range(2)] for b in range(3)])  # fmt: skip
    assert_shows(BlockMask.from_function(f, (11, 13), 3, 2, block_size=4), wanted)


def test_a_function_sees_integer_arrays_that_broadcast() -> None:
    calls: list[Any] = []

    def f(*indices: Any) -> Any:
        # bounds, which are no arrays, fail here: it is then asked for every pair
        assert all(type(index) is np.ndarray and index.dtype == np.int64 for index in indices)
        calls.append(indices)
        return indices[2] >= indices[3]

    BlockMask.from_function(f, 1000, 2, 3, block_size=64)
    shapes = [np.broadcast_shapes(*(one.shape for one in call)) for call in calls]
    assert {len(shape) for shape in shapes} == {4}
    asked = [np.prod(shape) for shape in shapes]
    assert sum(asked) == 2 * 3 * 1000 * 1000  # each pair once
    assert max(asked) <= 2**19


def test_what_a_function_raises_comes_through() -> None:
    def f(*indices: Any) -> Any:
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        BlockMask.from_function(f, 5)


def test_a_function_cannot_change_its_indices() -> None:
    def f(b: Any, h: Any, i: Any, j: Any) -> Any:
        i += 1
        return i > j

    with pytest.raises(ValueError, match="read-only"):
        BlockMask.from_function(f, 5)


def test_builders_agree_with_functions() -> None:
    documents = np.sort(np.random.default_rng(0).integers(0, 5, 300))
    wanted = BlockMask.from_function(
        lambda b, h, i, j: (documents[i] == documents[j]) & (i >= j), 300, block_size=32
    )
    causal = BlockMask.causal(300, block_size=32)
    assert BlockMask.documents(documents, block_size=32) & causal == wanted
