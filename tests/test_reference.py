"""The oracle itself, checked with published vectors, finite differences, loops and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import CASES, SMALL_CASES
from philox import gumbel_noise, kept_weights, philox4x32

import reference

pytestmark = pytest.mark.once

# Random123 1.14.0, tests/kat_vectors, "philox4x32 10": counter, key, words
KNOWN_ANSWERS = [
    ("00000000 " * 4, "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff " * 4, "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_returns_the_published_words(counter: str, key: str, words: str) -> None:
    numbers = [[int(word, 16) for word in text.split()] for text in (counter, key, words)]
    result = philox4x32(np.array(numbers[0], np.uint64), (numbers[1][0], numbers[1][1]))
    assert result.tolist() == numbers[2]


def test_dropout_keeps_the_expected_fraction() -> None:
    kept = kept_weights(np.arange(3), 5, 70, 101, 0.3, 42)
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.3 * 0.7 / kept.size)
    by_axis = [kept.mean(axis=axes) for axes in ((1, 2, 3), (0, 2, 3), (0, 1, 2))]
    assert all(np.abs(share - 0.7).max() < 0.07 for share in by_axis)


def test_dropout_of_all_and_of_none() -> None:
    assert not kept_weights(np.arange(1), 2, 3, 5, 1.0, 7).any()
    assert kept_weights(np.arange(1), 2, 3, 5, 0.0, 7).all()


def test_dropout_depends_on_item_head_query_and_key_alone() -> None:
    whole = kept_weights(np.arange(4), 3, 17, 23, 0.5, 99)
    part = kept_weights(np.array([2]), 2, 11, 9, 0.5, 99)
    np.testing.assert_array_equal(part, whole[2:3, :2, :11, :9])
    assert (whole != kept_weights(np.arange(4), 3, 17, 23, 0.5, 99 + 2**32)).any()


def test_forward_is_the_sum_written_out_in_loops(rng: np.random.Generator) -> None:
    query, key, value = (rng.standard_normal(shape) for shape in ((3, 4), (5, 4), (5, 2)))
    result = reference.attention(query, key, value, causal=True, align="lower_right")
    for i in range(3):
        seen = range(i + 3)  # the last query sees all five keys
        scores = [sum(query[i, d] * key[j, d] for d in range(4)) / 2 for j in seen]
        exponentials = [np.exp(score) for score in scores]
        np.testing.assert_allclose(result.lse[i], np.log(sum(exponentials)), rtol=1e-13)
        for c in range(2):
            weighted = sum(exponentials[j] * value[j, c] for j in seen) / sum(exponentials)
            np.testing.assert_allclose(result.out[i, c], weighted, rtol=1e-13)


@pytest.mark.parametrize("case", SMALL_CASES, ids=str)
def test_gradients_are_finite_differences(case: Case) -> None:
    call = case.draw()
    gradients = call.run(backward_with_everything, call=call)
    rng = np.random.default_rng(5)
    arguments = {"query": call.query, "key": call.key, "value": call.value}
    arguments |= {name: call.options[name] for name in ("bias", "sink") if name in call.options}
    for name, array in arguments.items():
        direction = rng.standard_normal(array.shape)
        step = 1e-5
        above = objective(call, **{name: array + step * direction})
        below = objective(call, **{name: array - step * direction})
        gradient = getattr(gradients, name)
        assert gradient.shape == array.shape
        measured = (above - below) / (2 * step)
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction) + abs(above) + 1
        assert abs(measured - (gradient * direction).sum()) < 1e-8 * scale, name


def backward_with_everything(*inputs: Any, call: Call, **options: Any) -> reference.Gradients:
    return reference.attention_backward(
        call.dout, *inputs, dlse=call.dlse, dweights=call.dweights, **options
    )


def objective(call: Call, **changed: Any) -> float:
    inputs = [changed.pop(name, getattr(call, name)) for name in ("query", "key", "value")]
    out, lse, weights, _ = reference.attention(*inputs, **{**call.options, **changed})
    exists = lse > -np.inf
    of_lse = (lse[exists] * call.dlse[exists]).sum()
    return float((out * call.dout).sum() + of_lse + (weights * call.dweights).sum())


@pytest.mark.peer
@pytest.mark.parametrize("case", CASES, ids=str)
def test_reference_agrees_with_torch_autograd(case: Case) -> None:
    torch = pytest.importorskip("torch")
    call = case.draw()
    forward = call.run(reference.steps)
    result = forward.result
    # rows with nothing to attend are NaN in torch: let it see all keys there, and skip them
    something = (result.scores > -np.inf).any(axis=-1)
    arrays = {"query": call.query, "key": call.key, "value": call.value}
    if "bias" in call.options:
        arrays["bias"] = call.options["bias"]
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    group = case.H // (case.Hkv or case.H)
    scores = leaves["query"] @ leaves["key"].repeat_interleave(group, -3).mT
    scores = scores * call.options.get("scale", case.D**-0.5)
    if cap := call.options.get("softcap"):
        scores = cap * torch.tanh(scores / cap)
    if "bias" in leaves:
        scores = scores + torch.where(leaves["bias"] == -torch.inf, 0, leaves["bias"])
    if "alibi_slopes" in call.options:
        slopes = call.options["alibi_slopes"][..., None, None]
        scores = scores - torch.tensor(distance(case, call) * slopes)
    temperature = call.options.get("gumbel_temperature")
    if temperature is not None:
        noise = gumbel_noise(
            np.arange(case.B[0]), case.H, case.Lq, case.Lk, call.options["rng"]
        ).reshape(scores.shape)
        scores = (scores + torch.tensor(noise)) / temperature
    scores = scores.masked_fill(torch.tensor(~forward.allowed & something[..., None]), -torch.inf)
    columns = scores
    if "sink" in call.options:
        sink = (
            torch.tensor(call.options["sink"] / (temperature or 1))
            .reshape(-1, 1, 1)
            .expand(*scores.shape[:-1], 1)
        )
        columns = torch.cat([scores, sink], -1)
    weights = torch.softmax(columns, -1)[..., : case.Lk] * torch.tensor(forward.dropout)
    out = weights @ leaves["value"].repeat_interleave(group, -3)
    lse = torch.logsumexp(columns, -1)
    close = {"rtol": 1e-11, "atol": 1e-12}
    np.testing.assert_allclose(result.out[something], out.detach()[something], **close)
    np.testing.assert_allclose(result.lse[something], lse.detach()[something], **close)
    dout = call.dout * something[..., None]
    out.backward(torch.tensor(dout))
    expected = reference.attention_backward(dout, *call.inputs, **call.options)
    for name, leaf in leaves.items():
        gradient = getattr(expected, name)
        np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-9, atol=1e-11, err_msg=name)


def distance(case: Case, call: Call) -> Any:
    offset = np.zeros(case.B, int)
    if call.options.get("align") == "lower_right":
        offset = offset + call.options.get("kv_lengths", case.Lk)
        offset = offset - call.options.get("q_lengths", case.Lq)
    p = np.arange(case.Lq)[:, None] + offset[..., None, None, None]
    return np.abs(p - np.arange(case.Lk))
