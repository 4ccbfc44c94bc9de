"""RotaryAngles beside the formulas of the papers, feature by feature."""

from __future__ import annotations

import math

import numpy as np
import pytest

import heedful
from heedful.layers import MultiHeadAttention, RotaryAngles


def plain(base: float, rotated: int) -> list[float]:
    return [base ** (-2 * i / rotated) for i in range(rotated // 2)]


def dynamic(angles: RotaryAngles, rotated: int, length: int) -> list[float]:
    longer = max(length / angles.original_length, 1)
    grown = angles.factor * longer - (angles.factor - 1)
    return plain(angles.base * grown ** (rotated / (rotated - 2)), rotated)


def llama3(angles: RotaryAngles, rotated: int) -> list[float]:
    found = []
    for f in plain(angles.base, rotated):
        wave = 2 * math.pi / f
        if wave < angles.original_length / angles.high_frequency_factor:
            found.append(f)
        elif wave > angles.original_length / angles.low_frequency_factor:
            found.append(f / angles.factor)
        else:
            smooth = angles.original_length / wave - angles.low_frequency_factor
            smooth /= angles.high_frequency_factor - angles.low_frequency_factor
            found.append((1 - smooth) * f / angles.factor + smooth * f)
    return found


def yarn(angles: RotaryAngles, rotated: int) -> list[float]:
    def feature(rotations: float) -> float:
        return rotated * math.log(angles.original_length / (rotations * 2 * math.pi)) / (
            2 * math.log(angles.base)
        )  # fmt: skip

    low, high = feature(angles.beta_fast), feature(angles.beta_slow)
    if angles.whole_features:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotated - 1)
    found = []
    for i, f in enumerate(plain(angles.base, rotated)):
        seldom = min(max((i - low) / (high - low), 0), 1)
        found.append(f / angles.factor * seldom + f * (1 - seldom))
    return found


LONG = {"factor": 4.0, "original_length": 32}


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        (RotaryAngles(300.0, rule="linear", factor=3.0), lambda a, r, n: [f / 3 for f in
         plain(300.0, r)]),
        (RotaryAngles(300.0, rule="dynamic", **LONG), dynamic),
        (RotaryAngles(50.0, rule="llama3", **LONG), lambda a, r, n: llama3(a, r)),
        (RotaryAngles(50.0, rule="yarn", beta_fast=4.0, **LONG), lambda a, r, n: yarn(a, r)),
        (RotaryAngles(50.0, rule="yarn", beta_fast=4.0, whole_features=False, **LONG),
         lambda a, r, n: yarn(a, r)),
    ],
    ids=lambda one: getattr(one, "rule", ""),
)  # fmt: skip
@pytest.mark.parametrize("length", [7, 90])
def test_frequencies_are_those_of_the_rule(
    angles: RotaryAngles, expected: object, length: int
) -> None:
    wanted = expected(angles, 16, length)  # type: ignore[operator]
    options = angles.options(18, length) if angles.rotary_dim else angles.options(16, length)
    np.testing.assert_allclose(options["frequencies"], wanted, rtol=1e-14)


def test_the_amplitude_of_yarn_multiplies_queries_and_keys() -> None:
    angles = RotaryAngles(rule="yarn", factor=4.0, original_length=32)
    assert angles.options(8, 5)["amplitude"] == pytest.approx(0.1 * math.log(4) + 1)
    given = RotaryAngles(rule="yarn", factor=4.0, original_length=32, amplitude=1.5)
    x = np.random.default_rng(0).standard_normal((2, 5, 8))
    plain_x = heedful.rotary_embedding(x, frequencies=given.options(8, 5)["frequencies"])
    np.testing.assert_allclose(
        heedful.rotary_embedding(x, **given.options(8, 5)), 1.5 * plain_x, rtol=1e-15
    )


@pytest.mark.parametrize("first", [0, 5])
@pytest.mark.parametrize("rotary_dim", [None, 4])
def test_a_layer_rotates_by_them(first: int, rotary_dim: int | None) -> None:
    angles = RotaryAngles(50.0, rotary_dim, rule="llama3", **LONG)
    layer = MultiHeadAttention(16, 2, rotary=angles, causal=True, dtype=np.float64, rng=0)
    x = np.random.default_rng(0).standard_normal((1, 3 + first, 16))
    q, k, v = np.split(x @ layer.in_proj_weight.T + layer.in_proj_bias, 3, -1)
    q, k, v = (one.reshape(1, 3 + first, 2, 8).swapaxes(1, 2) for one in (q, k, v))
    speeds = llama3(angles, rotary_dim or 8)
    q, k = (heedful.rotary_embedding(one, rotary_dim=rotary_dim, frequencies=speeds)
            for one in (q, k))  # fmt: skip
    heads = heedful.attention(q, k, v, causal=True).swapaxes(1, 2).reshape(1, -1, 16)
    expected = heads @ layer.out_proj.weight.T + layer.out_proj.bias
    cache = layer.new_cache()
    parts = [layer(part, cache=cache) for part in (x[:, :first], x[:, first:]) if part.shape[1]]
    np.testing.assert_allclose(np.concatenate(parts, 1), expected, rtol=0, atol=1e-13)


def test_wrong_angles_are_refused() -> None:
    for wrong, message in [
        ({"rule": "nonsense"}, "rule must be"), ({"base": 0.0}, "base must be"),
        ({"rule": "yarn"}, "original_length must be given for the rule 'yarn'"),
        ({"rule": "llama3", "original_length": 9, "high_frequency_factor": 1.0},
         "high_frequency_factor must be above low_frequency_factor"),
        ({"factor": -1.0}, "factor must be"), ({"amplitude": 0.0}, "amplitude must be"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            RotaryAngles(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rotary_dim must be even and at most the depth 4"):
        MultiHeadAttention(8, 2, rotary=RotaryAngles(rotary_dim=6))
    with pytest.raises(ValueError, match=r"frequencies must have shape \(2,\)"):
        heedful.rotary_embedding(np.ones((3, 4)), frequencies=[1.0])
    with pytest.raises(ValueError, match="frequencies must keep the angles finite"):
        heedful.rotary_embedding(np.ones((3, 4)), frequencies=[1.0, np.inf])
