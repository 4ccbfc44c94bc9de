"""Pruned heads in PyTorch: where H · D = E a pruned layer loads, otherwise its unpruned state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import Encoder, MultiHeadAttention
from heedful.pruning import prune_heads, unpruned_state_dict

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")
nn = torch.nn


def tensors(state: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.tensor(array) for name, array in state.items()}


def test_a_layer_that_was_wider_than_its_model_loads_as_it_is(rng: np.random.Generator) -> None:
    whole = MultiHeadAttention(12, 4, head_dim=6, rng=0, dtype=np.float64)
    pruned = prune_heads(whole, {"": [0, 3]})  # 2 · 6 = 12
    module = nn.MultiheadAttention(12, 2, batch_first=True).double()
    module.load_state_dict(tensors(pruned.state_dict()))
    x = rng.standard_normal((3, 5, 12))
    leaf = torch.tensor(x, requires_grad=True)
    expected = module(leaf, leaf, leaf, need_weights=False)[0]
    y, backward = pruned.forward(x)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-11, atol=1e-12)
    dy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(backward(dy), leaf.grad.numpy(), rtol=1e-10, atol=1e-12)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(
            pruned.grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-11
        )


def test_one_that_is_narrower_is_computed_by_functions_of_torch(rng: np.random.Generator) -> None:
    pruned = prune_heads(MultiHeadAttention(12, 4, rng=0, dtype=np.float64), {"": [2]})
    state, x = tensors(pruned.state_dict()), rng.standard_normal((3, 5, 12))
    functional = nn.functional
    joint = functional.linear(torch.tensor(x), state["in_proj_weight"], state["in_proj_bias"])
    heads = [part.unflatten(-1, (3, 3)).transpose(1, 2) for part in joint.chunk(3, -1)]
    out = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(-2)
    expected = functional.linear(out, state["out_proj.weight"], state["out_proj.bias"])
    np.testing.assert_allclose(pruned(x), expected.numpy(), rtol=1e-11, atol=1e-12)
    with pytest.raises(RuntimeError, match="size mismatch"):
        nn.MultiheadAttention(12, 4).load_state_dict(state)


def test_the_unpruned_state_of_an_encoder_loads(rng: np.random.Generator) -> None:
    whole = Encoder(2, 12, 4, 16, 0.0, rng=0, dtype=np.float64)
    pruned = prune_heads(whole, {"layers.0.self_attn": [1, 2], "layers.1.self_attn": [0]})
    layer = nn.TransformerEncoderLayer(12, 4, 16, 0.0, batch_first=True)
    module = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).double()
    module.load_state_dict(tensors(unpruned_state_dict(pruned)))
    x = rng.standard_normal((3, 5, 12))
    expected = module(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(pruned(x), expected, rtol=1e-10, atol=1e-11)
