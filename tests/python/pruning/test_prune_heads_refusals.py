"""What prune_heads refuses changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prunable import FIRST, SECOND, encoder, layer

from heedful.layers import Encoder, Layer, Linear, Sequential
from heedful.pruning import prune_heads


class Tied(Layer):
    """Two attentions with one weight."""

    def __init__(self) -> None:
        self.one, self.other = layer(12, 4), layer(12, 4)
        self.other.in_proj_weight = self.one.in_proj_weight


class OneProjection(Layer):
    """Two attentions with one output projection."""

    def __init__(self) -> None:
        self.one, self.other = layer(12, 4), layer(12, 4)
        self.other.out_proj = self.one.out_proj


def replaced() -> Encoder:
    model = encoder()
    model.layers[0].self_attn.out_proj = Sequential(Linear(12, 12))
    return model


ONES = {FIRST: np.ones(4), SECOND: np.ones(4)}
WRONG: list[tuple[Any, Any, Any, type[Exception], str]] = [
    (np.ones(3), {}, None, TypeError, "model must be a layer: got an array"),
    (Linear(2, 2), {}, None, ValueError, "model must have a MultiHeadAttention: Linear has none"),
    (encoder(), [0], None, TypeError, "heads must be a mapping from names of layers: got [0]"),
    (encoder(), {"layers.2.self_attn": [0]}, None, ValueError,
     ("heads must name attention layers of the model, ['layers.0.self_attn', "
      "'layers.1.self_attn']: got 'layers.2.self_attn'")),
    (encoder(), {"layers.0": [0]}, None, ValueError, "heads must name attention layers"),
    (encoder(), {FIRST: [1], SECOND: [4]}, None, ValueError,
     "heads['layers.1.self_attn'] must lie in [0, 4): got 4"),
    (encoder(), {FIRST: [-1]}, None, ValueError,
     "heads['layers.0.self_attn'] must lie in [0, 4): got -1"),
    (encoder(), {FIRST: [1, 3, 1]}, None, ValueError,
     "heads['layers.0.self_attn'] must name a head once: got 1 twice"),
    (encoder(), {FIRST: [0, 1, 2, 3]}, None, ValueError,
     "heads['layers.0.self_attn'] must leave at least one of 4 heads: got all"),
    (encoder(), {FIRST: [0.5]}, None, TypeError, "heads['layers.0.self_attn'] must be integers"),
    (encoder(), {FIRST: [True]}, None, TypeError, "heads['layers.0.self_attn'] must be integers"),
    (encoder(), {FIRST: None}, None, TypeError, "heads['layers.0.self_attn'] must be integers"),
    (encoder(), ONES, 1.0, ValueError, "fraction must be at least 0 and below 1: got 1.0"),
    (encoder(), ONES, -0.1, ValueError, "fraction must be at least 0 and below 1: got -0.1"),
    (encoder(), ONES, float("nan"), ValueError, "fraction must be at least 0 and below 1: got nan"),
    (encoder(), ONES, "half", TypeError, "fraction must be a number: got 'half'"),
    (encoder(), ONES, 0.9, ValueError,
     "fraction must leave every layer a head, 2 of 8: got 0.9"),
    (encoder(), {FIRST: np.ones(3)}, 0.5, ValueError,
     "heads['layers.0.self_attn'] must be the importance of 4 heads: got shape (3,)"),
    (encoder(), {FIRST: [1, 2, 3, np.nan]}, 0.5, ValueError,
     "heads['layers.0.self_attn'] must be finite: got NaN or infinity"),
    (encoder(), {FIRST: ["a"] * 4}, 0.5, TypeError,
     "heads['layers.0.self_attn'] must hold real numbers"),
    (Tied(), {"one": [0]}, None, ValueError,
     ("heads['one'] must be of a layer with parameters of its own: in_proj_weight is shared with "
      "another layer")),
    (OneProjection(), {"other": [0]}, None, ValueError, "out_proj.weight is shared"),
    (replaced(), {FIRST: [0]}, None, TypeError,
     "layers.0.self_attn.out_proj must be a Linear: got"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "heads", "fraction", "kind", "message"), WRONG)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    model: Any, heads: Any, fraction: Any, kind: type[Exception], message: str
) -> None:
    before = model.state_dict() if isinstance(model, Layer) else {}
    with pytest.raises(kind) as caught:
        prune_heads(model, heads, fraction=fraction)
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    for name, array in before.items():
        assert model.state_dict()[name].tobytes() == array.tobytes()
