"""What editors and notebooks complete: attributes by dir, arguments of calls by their signature."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

from heedful.layers import (
    Encoder,
    Layer,
    Linear,
    MultiHeadAttention,
    Parameter,
    ReLU,
    Sequential,
)

pytestmark = pytest.mark.once


class Gated(Layer):
    """A layer of a user."""

    def __init__(self, size: int) -> None:
        self.gain = Parameter(np.ones(size))
        self.more = [Parameter(np.ones(size))]

    def call(self, x: Any, *, twice: bool = False) -> Any:
        return x * self.gain


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_parameter_that_is_an_attribute_is_listed(case: LayerCase) -> None:
    layer = case.make(dtype=np.float32, rng=0)
    listed = dir(layer)
    for name, _ in layer.parameters_here():
        assert (name in listed) is name.isidentifier(), name
    assert listed == sorted(set(listed))
    assert {"forward", "parameters", "compile"} <= set(listed)


def test_scales_of_quantised_weights_are_listed() -> None:
    layer = Linear(3, 2, rng=0)
    layer.quantize()
    assert {"weight", "weight_scale", "bias"} <= set(dir(layer))


def test_parameters_in_lists_are_no_attributes() -> None:
    assert "gain" in dir(Gated(2))
    assert not [name for name in dir(Gated(2)) if "." in name]


def test_the_signature_of_a_layer_is_that_of_its_call() -> None:
    names = list(inspect.signature(MultiHeadAttention(4, 2)).parameters)
    assert names[:4] == ["query", "key", "value", "mask"]
    assert {"causal", "window", "cache", "return_weights"} <= set(names)
    assert "mode" not in names
    assert str(inspect.signature(Gated(2))) == "(x: 'Any', *, twice: 'bool' = False)"
    assert list(inspect.signature(ReLU()).parameters) == ["x"]


def test_a_model_with_attention_takes_return_weights() -> None:
    assert "return_weights" in inspect.signature(Encoder(1, 4, 2, 8)).parameters
    assert "return_weights" not in inspect.signature(Linear(3, 2)).parameters
    passing = inspect.signature(Sequential(MultiHeadAttention(4, 2))).parameters
    assert list(passing) == ["x", "more", "options"]


def test_the_signature_of_a_class_is_that_of_its_constructor() -> None:
    assert list(inspect.signature(Gated).parameters) == ["size"]
    assert "in_features" in inspect.signature(Linear).parameters


def test_a_copy_has_the_same_signature_and_attributes() -> None:
    layer = MultiHeadAttention(4, 2, rng=0)
    copied = copy.deepcopy(layer)
    assert inspect.signature(copied) == inspect.signature(layer)
    assert dir(copied) == dir(layer)


def completions(text: str, names: dict[str, Any], by_jedi: bool) -> list[str]:
    """What IPython completes at the end of a line."""
    completer = pytest.importorskip("IPython.core.completer")
    if by_jedi:
        pytest.importorskip("jedi")
    one = completer.IPCompleter(namespace=names, use_jedi=by_jedi)
    with completer.provisionalcompleter():
        return [found.text.lstrip(".") for found in one.completions(text, len(text))]


@pytest.mark.parametrize("by_jedi", [False, True], ids=["names", "jedi"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linear.wei", "weight"),
        ("attend.in_proj_w", "in_proj_weight"),
        ("attend(x, wind", "window="),
        ("encoder(x, return_w", "return_weights="),
        ("heedful.attention(x, x, x, wind", "window="),
        ("layers.MultiHeadAttention(4, 2, rota", "rotary="),
    ],
)
@pytest.mark.filterwarnings("default")  # those of IPython and jedi are not ours
def test_ipython_completes(text: str, expected: str, by_jedi: bool) -> None:
    import heedful
    from heedful import layers

    names: dict[str, Any] = {
        "heedful": heedful, "layers": layers, "x": np.ones((2, 3, 4)),
        "linear": Linear(4, 2), "attend": MultiHeadAttention(4, 2),
        "encoder": Encoder(1, 4, 2, 8),
    }  # fmt: skip
    assert expected in completions(text, names, by_jedi)
