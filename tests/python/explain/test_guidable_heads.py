"""find_guidable_heads: the heads of a model whose reading heads are known, and their ranking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L
from heedful.explain import find_guidable_heads, guide

pytestmark = pytest.mark.once
Array = NDArray[Any]
INPUTS = list(np.random.default_rng(1).standard_normal((6, 5, 8)))
WANTED = [0, 1, 2, 3, 4, 0]  # the key that each example's guidance is for
GUIDANCES = [guide(5, attract=wanted, strength=4) for wanted in WANTED]


def model_that_copies(head: int) -> L.MultiHeadAttention:
    """Features of `head` are those of the keys it reads; all other heads give nothing."""
    model = L.MultiHeadAttention(8, 4, bias=False, dtype=np.float64, rng=0)
    model.in_proj_weight[...] = 0
    model.in_proj_weight[16:] = np.eye(8)
    model.out_proj.weight = np.diag(np.arange(8) // 2 == head).astype(float)
    return model


def copies(head: int) -> Any:
    def metric(results: list[Array], examples: Array) -> float:
        part = slice(2 * head, 2 * head + 2)
        pairs = zip(results, examples, strict=True)
        return -float(np.mean([np.abs(y - INPUTS[i][WANTED[i]])[:, part].mean() for y, i in pairs]))

    return metric


@pytest.mark.parametrize("head", [1, 3])
def test_the_head_that_the_result_is_of_comes_first(head: int) -> None:
    model = model_that_copies(head)
    found = find_guidable_heads(model, INPUTS, GUIDANCES, copies(head))
    assert [one.head for one in found] == [head, *sorted({0, 1, 2, 3} - {head})]
    assert found[0].score == pytest.approx(found.all_guided)
    assert found[1].score == pytest.approx(found.unguided)
    # weights of equal scores with one bias: e⁴ / (e⁴ + 4) at the wanted key, 1 / (e⁴ + 4) elsewhere
    expected = []
    for x, wanted in zip(INPUTS, WANTED, strict=True):
        weights = np.exp(4 * (np.arange(5) == wanted))
        read = weights @ x / weights.sum()
        expected.append(np.abs(read - x[wanted])[2 * head : 2 * head + 2].mean())
    assert found.all_guided == pytest.approx(-np.mean(expected))
    assert found.best(2) == {"where": [""], "heads": {"": sorted([head, found[1].head])}}
    with GUIDANCES[0].steer(model, **found.best(1)):
        np.testing.assert_allclose(model(INPUTS[0])[0, 2 * head], read_first(head), atol=1e-12)
    assert "without guidance" in repr(found)


def read_first(head: int) -> float:
    weights = np.exp(4 * (np.arange(5) == 0))
    return float(weights @ INPUTS[0][:, 2 * head] / weights.sum())


def test_heads_of_some_layers_and_results_of_a_function() -> None:
    model = L.Encoder(2, 8, 2, 16, rng=0)
    found = find_guidable_heads(
        model, INPUTS, GUIDANCES, lambda results, examples: float(np.sum(results)),
        where="layers.1", call=lambda model, x: model(x)[0, 0],
    )  # fmt: skip
    assert {(one.layer, one.head) for one in found} == {("layers.1.self_attn", h) for h in (0, 1)}
    assert found[0].score >= found[1].score


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metric": lambda *_: np.nan}, ValueError, "metric must return a finite number: got nan"),
        ({"metric": lambda *_: "good"}, TypeError, "metric's result must be a number: got 'good'"),
        ({"metric": 3}, TypeError, "metric must be a function: got 3"),
        ({"guidance": GUIDANCES[:2]}, ValueError, "one for each of the 6 inputs: got 2"),
        ({"guidance": GUIDANCES[0]}, ValueError, "one for each of the 6 inputs: got 1"),
        ({"guidance": [[3]] * 6}, TypeError, r"guidance must hold what guide\(\) returns: got 3"),
        ({"inputs": "text"}, TypeError, "inputs must be a sequence of examples: got 'text'"),
        ({"inputs": [], "guidance": []}, ValueError, "inputs must hold an example: got none"),
        ({"where": "layers.9"}, ValueError, "where must match attention layers of the model"),
    ],
)
def test_what_cannot_be_meant_is_said(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"inputs": INPUTS, "guidance": GUIDANCES, "metric": lambda *_: 0.0, **arguments}
    with pytest.raises(error, match=message):
        find_guidable_heads(L.Encoder(1, 8, 2, 16, rng=0), **given)
