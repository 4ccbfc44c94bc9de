"""The named shapes and their inputs."""

import copy
import dataclasses
import json

import numpy as np
import pytest

from heedful.benchmark.layout import LAYOUTS
from heedful.benchmark.shapes import FORWARD, PACKED, PADDED, SHAPES, Case, Shape, kept, make_inputs
from heedful.benchmark.worker import decode_case, encode_case

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("name", "gflop"),
    [
        ("sq4096_d128", 4 * 8 * 4096**2 * 128 / 1e9),
        ("gpt2_1k", 4 * 12 * 1024**2 * 64 / 2 / 1e9),  # causal: half
        ("decode_8k_gqa", 4 * 32 * 8192 * 128 / 1e9),
    ],
)
def test_operations_are_those_of_the_two_products(name: str, gflop: float) -> None:
    assert SHAPES[name].flops / 1e9 == pytest.approx(gflop)


def test_operations_within_a_window_are_those_of_the_pairs_it_keeps() -> None:
    shape = Shape("odd", 2, 3, 3, 11, 17, 5, window=(2, 3))
    pairs = sum(i - 2 <= j <= i + 3 for i in range(11) for j in range(17))
    assert shape.flops == 4 * 2 * 3 * pairs * 5


def test_every_process_gets_the_same_inputs() -> None:
    case = Case(
        Shape("odd", 2, 6, 3, 11, 17, 5, bias=True, mask=True, padding=(3, 17)), backward=True
    )
    first, second = (
        make_inputs(case),
        make_inputs(decode_case(json.loads(json.dumps(encode_case(case))))),
    )
    for name in ("query", "key", "value", "dout", "bias", "mask", "kv_lengths"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.query.shape == first.dout.shape == (2, 6, 11, 5)
    assert first.key.shape == first.value.shape == (2, 3, 17, 5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_layouts_hold_the_same_numbers_in_another_order_of_memory(dtype: str) -> None:
    shape = Shape("odd", 2, 6, 3, 11, 17, 5)
    plain, other = (
        make_inputs(Case(shape, dtype, backward=True, layout=layout)) for layout in LAYOUTS
    )
    for name in ("query", "key", "value", "dout"):
        contiguous, view = getattr(plain, name), getattr(other, name)
        np.testing.assert_array_equal(contiguous, view)
        assert contiguous.flags.c_contiguous
        assert view.swapaxes(1, 2).flags.c_contiguous
        assert not view.flags.c_contiguous
        assert copy.deepcopy(view).strides == view.strides  # what decoding cycles through


def test_a_case_has_two_layouts_where_its_heads_have_neighbours() -> None:
    case = Case(SHAPES["gpt2_1k"], "float16", backward=True)
    plain, other = case.laid_out(LAYOUTS)
    assert plain == case
    assert other == dataclasses.replace(case, layout="blhd")
    assert case.laid_out(["blhd"]) == [other]
    assert other.laid_out(LAYOUTS) == other.laid_out(["blhd"]) == [other]
    assert other.laid_out(["bhld"]) == []
    assert Case(SHAPES["overhead"]).laid_out(LAYOUTS) == [Case(SHAPES["overhead"])]
    assert str(other) == f"{case}, (B, L, H, D)"


def test_cases_written_before_there_were_layouts_are_contiguous() -> None:
    case = Case(SHAPES["bert_384_pad"])
    fields = encode_case(case)
    assert fields.pop("layout") == "bhld"
    assert decode_case(json.loads(json.dumps(fields))) == case


@pytest.mark.slow
def test_packed_and_padded_hold_the_same_numbers() -> None:
    padded, packed = (make_inputs(Case(shape)) for shape in (PADDED, PACKED))
    for name in ("query", "key", "value", "kv_lengths", "q_lengths"):
        np.testing.assert_array_equal(getattr(padded, name), getattr(packed, name))
    np.testing.assert_array_equal(padded.q_lengths, padded.kv_lengths)


@pytest.mark.parametrize(
    "shape",
    [
        Shape("odd", 3, 2, 2, 11, 17, 5),
        Shape("odd", 3, 2, 2, 11, 17, 5, padding=(3, 17)),
        Shape("odd", 3, 2, 2, 17, 17, 5, padding=(3, 17), ragged="padded"),
        Shape("odd", 3, 2, 2, 11, 17, 5, window=(2, 3)),
    ],
)
def test_the_kept_fraction_is_that_of_visible_pairs(shape: Shape) -> None:
    inputs = make_inputs(Case(shape))
    pairs = 0
    for b in range(shape.B):
        for i in range(shape.Lq if inputs.q_lengths is None else inputs.q_lengths[b]):
            seen = np.ones((shape.B, shape.Lq, shape.Lk), bool)
            if inputs.seen is not None:
                seen &= inputs.seen[:, 0]
            pairs += seen[b, i].sum()
    assert kept(Case(shape)) == pytest.approx(pairs / (shape.B * shape.Lq * shape.Lk))


def test_the_mask_for_others_holds_lengths_window_and_mask() -> None:
    shape = Shape("odd", 2, 3, 3, 11, 17, 5, mask=True, padding=(3, 17), window=(2, 3))
    inputs = make_inputs(Case(shape))
    assert inputs.seen is not None
    assert inputs.mask is not None
    assert inputs.kv_lengths is not None
    for b in range(2):
        for i in range(11):
            for j in range(17):
                expected = (
                    inputs.mask[0, 0, i, j] and j < inputs.kv_lengths[b] and i - 2 <= j <= i + 3
                )
                assert inputs.seen[b, 0, i, j] == expected


def test_names_are_unique_and_every_shape_prints_its_sizes() -> None:
    assert len({shape.name for shape in FORWARD}) == len(FORWARD)
    assert str(SHAPES["llama_2k"]) == "1, 32/8, 2048x2048, 128, causal"
