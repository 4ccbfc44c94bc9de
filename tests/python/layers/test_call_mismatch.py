"""Calls with arguments that a layer does not take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import Decoder, Encoder, Layer, Linear, MultiHeadAttention, Sequential

TAKES = "^MultiHeadAttention takes query, key, value, mask, .*, return_weights"


def test_what_does_not_fit_is_named_as_it_was_written() -> None:
    layer, x = MultiHeadAttention(6, 2), np.ones((2, 5, 6))
    with pytest.raises(TypeError, match=TAKES + ": got an unex.* 'need_weights'; .*=True"):
        layer(x, need_weights=True)
    with pytest.raises(TypeError, match=TAKES + ", rng: got an unex.* 'need_weights'; .*=True"):
        layer.forward(x, need_weights=True)
    with pytest.raises(TypeError, match=TAKES + ": got an unexpected .* 'mode'$"):
        layer(x, mode="train")
    with pytest.raises(TypeError, match=TAKES + ": missing a required argument: 'query'$"):
        layer()
    with pytest.raises(TypeError, match=TAKES + ": too many positional arguments$"):
        layer(x, x, x, x)
    with pytest.raises(TypeError, match=TAKES + ": multiple values for argument 'key'$"):
        layer(x, x, key=x)


def test_errors_of_layers_inside_name_their_arguments() -> None:
    x = np.ones((2, 5, 6))
    with pytest.raises(TypeError, match=r"^Encoder takes x, mask, .*, caches.*: .*'wrong'$"):
        Encoder(1, 6, 2)(x, wrong=True)
    taken = "x, memory, mask, .*, caches, return_weights"
    with pytest.raises(TypeError, match=rf"^Decoder takes {taken}: .*'wrong'$"):
        Decoder(1, 6, 2)(x, x, wrong=True)
    with pytest.raises(TypeError, match=rf"^Decoder takes {taken}, rng: .*'wrong'$"):
        Decoder(1, 6, 2).forward(x, x, wrong=True)
    with pytest.raises(TypeError, match=r"^Linear takes x, residual: .* 'lengths'$"):
        Sequential(Linear(6, 2))(x, lengths=[1, 2])


@pytest.mark.parametrize("name", ["need_weights", "output_attentions", "return_attention_scores"])
def test_a_layer_with_attention_inside_suggests_return_weights(name: str) -> None:
    """Its `compute` does not take it, its call does."""

    class Own(Layer):
        def __init__(self) -> None:
            self.attend = MultiHeadAttention(6, 2)

        def call(self, x: Any) -> Any:
            return self.attend(x)

    x = np.ones((2, 5, 6))
    for layer in (Encoder(1, 6, 2), Own()):
        with pytest.raises(TypeError, match=f"{name} is not supported: write return_weights=True$"):
            layer(x, **{name: True})
    with pytest.raises(TypeError, match=rf"^Linear takes x, residual: .* '{name}'$"):
        Linear(6, 2)(x, **{name: True})


def test_other_errors_are_passed_on_as_they_are() -> None:
    class Wrong(Layer):
        def compute(self, mode: Any, x: Any) -> Any:
            return Linear(3, 4).compute(mode, x, wrong=1)  # type: ignore[call-arg]

    with pytest.raises(TypeError, match=r"^Linear.compute\(\) got an unexpected"):
        Wrong()(np.ones((2, 3)))
