"""steer of PyTorch's modules and of transformers, against attention written out in PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful.explain import attention_map, guide, steer, watch

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.peer, pytest.mark.once]
SHAPES = [(5,), (5, 5), (2, 1, 1, 5), (1, 2, 5, 1), (2, 2, 5, 5)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def attended(module: Any, x: Any, bias: Any, visible: Any) -> tuple[Any, Any]:
    """Output and weights (B, H, L, L) of self-attention, by its equation."""
    heads = module.num_heads
    parts = (x @ module.in_proj_weight.T + module.in_proj_bias).chunk(3, -1)
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias
    weights = scores.masked_fill(~visible, -torch.inf).softmax(-1)
    return module.out_proj((weights @ v).transpose(1, 2).flatten(-2)), weights


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_bias_and_a_mask_of_nn_attention_are_in_its_scores(
    shape: tuple[int, ...], batch_first: bool
) -> None:
    module = torch.nn.MultiheadAttention(8, 2, batch_first=batch_first).double()
    draw, x = np.random.default_rng(1), torch.randn(2, 5, 8, dtype=torch.float64)
    bias, mask = draw.standard_normal(shape), draw.random(shape) < 0.7
    mask[..., 0] = True
    causal = torch.ones(5, 5, dtype=torch.bool).triu(1)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    visible = ~causal & ~padding[:, None, None] & torch.from_numpy(mask)
    expected, weights = attended(module, x, torch.from_numpy(bias), visible)
    given = x if batch_first else x.transpose(0, 1)
    with steer(module, bias=bias, mask=mask):
        y, seen = module(
            given, given, given, attn_mask=causal, key_padding_mask=padding,
            average_attn_weights=False,
        )  # fmt: skip
    torch.testing.assert_close(seen, weights)
    torch.testing.assert_close(y if batch_first else y.transpose(0, 1), expected)
    assert (seen[~visible.expand_as(seen)] == 0).all()
    assert not module._forward_pre_hooks
    found, _ = module(given, given, given, attn_mask=causal, key_padding_mask=padding)
    assert shape[-1] == 1 or not torch.allclose(found, y)


def test_some_heads_of_some_layers_of_an_nn_transformer_are_steered() -> None:
    model = torch.nn.Transformer(8, 2, 2, 1, 16, batch_first=True).eval()
    inputs, where = (torch.randn(1, 5, 8), torch.randn(1, 3, 8)), "decoder.*.multihead_attn"
    before = attention_map(model, inputs)
    with steer(model, bias=[0, 0, 1.5, 0, 0], where=where, heads=[-1]):
        after = attention_map(model, inputs)
        with torch.no_grad():
            steered = model(*inputs)
    *same, old = before
    *untouched, new = after
    for one, other in zip(same, untouched, strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-6)
    np.testing.assert_allclose(old.weights[0], new.weights[0], atol=1e-6)
    moved = old.weights[1] * np.exp(1.5 * (np.arange(5) == 2))
    np.testing.assert_allclose(new.weights[1], moved / moved.sum(-1, keepdims=True), atol=1e-6)
    assert torch.backends.mha.get_fastpath_enabled()
    with torch.no_grad():
        assert not torch.allclose(model(*inputs), steered)


def test_training_is_steered_with_the_gradient_of_the_bias() -> None:
    module = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    bias, x = np.random.default_rng(1).standard_normal((2, 5, 5)), torch.randn(3, 5, 8).double()
    bias = bias[None]
    every = torch.ones(5, 5, dtype=torch.bool)
    with steer(module, bias=bias) as steering:
        for _ in range(2):
            y, _ = module(x, x, x)
            y.square().sum().backward()
    wanted = torch.from_numpy(bias).requires_grad_()
    attended(module, x, wanted, every)[0].square().sum().backward()
    np.testing.assert_allclose(steering.grad, 2 * wanted.grad.numpy(), rtol=1e-5, atol=1e-8)


def config(name: str, **options: Any) -> Any:
    return getattr(pytest.importorskip("transformers"), name)(
        bos_token_id=1, eos_token_id=2, pad_token_id=0, **options
    )


def bert() -> Any:
    made = config(
        "BertConfig", vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16,
    )  # fmt: skip
    return pytest.importorskip("transformers").BertModel(made).eval()


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_transformers_are_steered_by_the_odds_of_a_guidance(implementation: str) -> None:
    model, tokens = bert(), torch.tensor([[1, 5, 6, 7, 2], [1, 8, 2, 0, 0]])
    model.set_attn_implementation(implementation)
    inputs = {"input_ids": tokens, "attention_mask": (tokens != 0).long()}
    before = [attention_map(model, inputs, item=item) for item in (0, 1)]
    guidance = guide(list("abcde"), attract=[1, 3], repel="e", strength=2)
    with guidance.steer(model, "encoder.layer.1", heads=[1]):
        after = [attention_map(model, inputs, item=item) for item in (0, 1)]
        with torch.no_grad():
            steered = model(**inputs).last_hidden_state
    assert model.config._attn_implementation == implementation
    for one, other in zip(before, after, strict=True):
        (first, second), (untouched, changed) = one, other
        np.testing.assert_allclose(first.weights, untouched.weights, atol=1e-6)
        np.testing.assert_allclose(second.weights[0], changed.weights[0], atol=1e-6)
        keys = second.weights.shape[-1]
        moved = second.weights[1] * np.exp(guidance.bias)[:keys]  # type: ignore[arg-type]
        moved /= moved.sum(-1, keepdims=True)
        np.testing.assert_allclose(changed.weights[1], moved, atol=1e-6)
    with torch.no_grad():
        assert not torch.allclose(model(**inputs).last_hidden_state, steered)
    strict = guide(5, attract=1, strict=True)
    with strict.steer(model, "encoder.layer.0"):
        weights = attention_map(model, {"input_ids": tokens[:1]}).layers[0].weights
    np.testing.assert_array_equal(weights[..., 1], 1)
    np.testing.assert_array_equal(np.delete(weights, 1, -1), 0)


def gpt2() -> Any:
    made = config("GPT2Config", vocab_size=20, n_embd=8, n_layer=2, n_head=2, n_positions=16)
    model = pytest.importorskip("transformers").GPT2LMHeadModel(made).eval()
    for block in model.transformer.h:
        torch.nn.init.normal_(block.attn.c_attn.weight)
    return model


@pytest.mark.parametrize("beams", [1, 3])
def test_a_generation_of_transformers_is_steered_at_positions_of_the_text(beams: int) -> None:
    """Each token is that of one call, without a cache, with the bias of the text so far."""
    model, prompts = gpt2(), torch.tensor([[1, 5, 9], [3, 4, 6]])
    bias = np.random.default_rng(2).standard_normal((2, 1, 1, 5)) * 8
    options = {
        "max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "num_beams": beams,
        "attention_mask": torch.ones_like(prompts),
    }  # fmt: skip
    with steer(model, bias=bias):
        texts = model.generate(prompts, **options)
    plain = model.generate(prompts, **options)
    assert not torch.equal(texts, plain)
    alone = {**options, "attention_mask": torch.ones(1, 3)}
    for item, text in enumerate(texts):
        with steer(model, bias=bias[item : item + 1]):
            own = model.generate(prompts[item : item + 1], **alone)
        with steer(model, bias=bias[1 - item][None]):
            others = model.generate(prompts[item : item + 1], **alone)
        assert torch.equal(own[0], text)
        assert not torch.equal(others[0], text)
        if beams == 1:
            placed = np.pad(bias[item, 0, 0], (0, 4))
            with steer(model, bias=placed), torch.no_grad():
                logits = model(text[None], use_cache=False).logits
            logits[..., 2] = -torch.inf  # min_new_tokens
            assert torch.equal(logits[0, 2:-1].argmax(-1), text[3:])


def test_a_translation_of_transformers_is_steered_at_the_source() -> None:
    transformers = pytest.importorskip("transformers")
    made = config("T5Config", vocab_size=20, d_model=8, d_kv=4, num_heads=2, num_layers=1, d_ff=16)
    model = transformers.T5ForConditionalGeneration(made).eval()
    source = torch.tensor([[4, 5, 6, 7]])
    guidance = guide(4, attract=2, strict=True)
    seen: list[Any] = []
    hook = (
        model.decoder.block[0]
        .layer[1]
        .EncDecAttention.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    )
    with guidance.steer(model, "*EncDecAttention"):
        model.generate(source, max_new_tokens=3, do_sample=False, output_attentions=True,
                       return_dict_in_generate=True)  # fmt: skip
    hook.remove()
    assert seen
    weights = [output[-1] for output in seen]
    for found in weights:
        np.testing.assert_array_equal(found[..., 2].detach().numpy(), 1)


def test_nested_ones_add_up_and_another_thread_computes_as_before() -> None:
    tokens, one, two = torch.tensor([[1, 5, 6, 7, 2]]), np.arange(5.0), np.array([2.0, 0, 1, 0, 3])
    nn = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x, encoder = torch.randn(1, 5, 8), bert()
    calls: list[tuple[Any, Callable[[], Any]]] = [
        (nn, lambda: nn(x, x, x)[0]), (encoder, lambda: encoder(tokens).last_hidden_state)
    ]  # fmt: skip
    for model, compute in calls:
        plain, elsewhere = compute(), []
        with steer(model, bias=one):
            alone = compute()
        with steer(model, bias=one + two):
            both = compute()
        with steer(model, bias=one):
            with steer(model, bias=two):
                torch.testing.assert_close(compute(), both)
            torch.testing.assert_close(compute(), alone)
            thread = threading.Thread(target=lambda: elsewhere.append(compute()))  # noqa: B023
            thread.start()
            thread.join()
        torch.testing.assert_close(elsewhere, [plain])
        torch.testing.assert_close(compute(), plain)
        assert not torch.allclose(alone, both, atol=1e-3)
        assert not torch.allclose(alone, plain, atol=1e-3)


def test_caches_that_drop_keys_are_refused() -> None:
    made = config(
        "MistralConfig", vocab_size=20, hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, sliding_window=4,
    )  # fmt: skip
    model = pytest.importorskip("transformers").MistralForCausalLM(made).eval()
    prompt = torch.tensor([[3, 4]])
    options = {"attention_mask": torch.ones_like(prompt), "do_sample": False}
    with steer(model, bias=[3.0, 0]):
        model.generate(prompt, max_new_tokens=2, min_new_tokens=2, **options)
        with pytest.raises(ValueError, match=r"\Asteer needs caches that keep all keys: 'model.la"):
            model.generate(prompt, max_new_tokens=8, min_new_tokens=8, **options)


def test_what_cannot_be_steered_is_said_in_one_sentence() -> None:
    model, x = torch.nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(1, 4, 8)
    with pytest.raises(ValueError, match="bias or mask must be given: got neither"):
        steer(model)
    with pytest.raises(TypeError, match="heads must be the same of every layer of PyTorch"):
        steer(model, bias=[0.0], heads={"x": 1})
    with steer(model, bias=np.zeros(3)), pytest.raises(ValueError, match="bias must broadcast to"):
        model(x, x, x)
    with steer(model, bias=[0.0], heads=2), pytest.raises(ValueError, match="heads must lie betw"):
        model(x, x, x)
    with (
        pytest.raises(ValueError, match="where must match attention of the model, which is ''"),
        steer(model, bias=[0.0], where="third"),
    ):
        model(x, x, x)
    linear = torch.nn.Linear(8, 8)
    with (
        pytest.raises(ValueError, match="model must have computed attention that can be steered"),
        steer(linear, bias=[0.0]),
    ):
        linear(x)
    with steer(model, bias=[1.0, 0, 0, 0]) as steering:
        model(x, x, x)
        with pytest.raises(RuntimeError, match="steer is active already"):
            steering.__enter__()
    assert not model._forward_pre_hooks


def test_watching_a_model_of_torch_names_what_takes_it() -> None:
    with pytest.raises(TypeError, match=r"^model must be a layer.*attention_map and steer take"):
        watch(torch.nn.Linear(2, 2))
