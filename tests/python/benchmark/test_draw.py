"""The shapes of the sweep are the same ones everywhere, of every kind, and within bounds."""

import hashlib

import pytest

from heedful.benchmark.draw import ARRAYS, SCORES, WORK, drawn_cases

pytestmark = pytest.mark.once

CASES = drawn_cases()


def test_the_seed_decides() -> None:
    assert drawn_cases() == CASES
    assert drawn_cases(seed=1) != CASES
    assert drawn_cases(7) == CASES[:7]
    assert str(CASES[3]).startswith(
        "drawn_03 (4, 2, 4250x4250, 80, causal, lengths 1062 to 4250), float32, forward"
    )


def test_the_shapes_are_those_drawn_before_there_were_layouts() -> None:
    written = "\n".join(str(case.shape) for case in CASES)
    assert hashlib.sha256(written.encode()).hexdigest()[:16] == "5086bb1c23b681f1"


def test_sizes_are_within_their_bounds() -> None:
    assert len(CASES) == 60
    for shape in (case.shape for case in CASES):
        assert 1 <= shape.B <= 64
        assert 1 <= shape.H <= 32
        assert shape.H % shape.Hkv == 0
        assert 1 <= shape.H // shape.Hkv <= 8
        assert 1 <= shape.Lq <= 5000
        assert 1 <= shape.Lk <= 5000
        assert 8 <= shape.D <= 256
        pairs = shape.B * shape.H * shape.Lq * shape.Lk
        rows = 2 * shape.B * (shape.H * shape.Lq + shape.Hkv * shape.Lk)
        assert 4 * pairs * shape.D <= WORK
        assert 4 * pairs <= SCORES
        assert 4 * rows * shape.D <= ARRAYS


def test_every_kind_is_drawn() -> None:
    shapes = [case.shape for case in CASES]
    kinds = {
        "(B, L, H, D) memory": [case.layout == "blhd" for case in CASES],
        "causal": [shape.causal for shape in shapes],
        "mask": [shape.mask for shape in shapes],
        "padding": [shape.padding is not None for shape in shapes],
        "grouped": [shape.Hkv < shape.H for shape in shapes],
        "from one sequence to another": [shape.Lq != shape.Lk for shape in shapes],
        "an odd depth": [shape.D % 2 == 1 for shape in shapes],
        "long": [shape.Lq > 4000 for shape in shapes],
        "short": [shape.Lq < 20 for shape in shapes],
    }
    for kind, found in kinds.items():
        assert 4 <= sum(found) <= 56, kind
