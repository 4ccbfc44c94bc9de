"""Architectures of the transformers library: "heedful" against "eager", with random weights."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import tiny_transformers as tiny  # noqa: E402

from heedful.integrations.transformers import register  # noqa: E402

QUICK = ("modernbert", "gemma2", "gpt_oss", "t5")  # between them everything that layers ask for
CASES = [
    pytest.param(name, padding, marks=[] if name in QUICK else pytest.mark.slow)
    for name in tiny.MODELS
    for padding in ((None, "left", "right") if name in tiny.PADDED else (None,))
]


@pytest.fixture(autouse=True)
def _registered() -> None:
    register()


def result(model: Any, inputs: dict[str, Any], by: str) -> tuple[Any, dict[str, Any]]:
    """Logits or hidden states at the tokens that are no padding, and all gradients."""
    model.set_attn_implementation(by)
    model.zero_grad()
    found = model(**inputs)
    out = found["logits"] if "logits" in found else found["last_hidden_state"]
    if "attention_mask" in inputs and "decoder_input_ids" not in inputs:
        out = out[inputs["attention_mask"].bool()]
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    (out * upstream).sum().backward()
    gradients = {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return out.detach(), gradients


@pytest.mark.parametrize(("name", "padding"), CASES)
def test_logits_and_gradients_are_those_of_eager(name: str, padding: str | None) -> None:
    model = tiny.made(name)
    inputs = {**tiny.inputs(name, padding), **tiny.decoder_inputs(name)}
    expected, true = result(model, inputs, "eager")
    found, gradients = result(model, inputs, "heedful")
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)
    assert gradients.keys() == true.keys()
    # that of the bias of keys is 0, and what is computed for it is the rounding of the others
    largest = max(float(one.abs().max()) for one in true.values())
    for parameter, gradient in gradients.items():
        bound = 1e-5 * float(true[parameter].abs().max()) + 1e-6 * largest
        assert float((gradient - true[parameter]).abs().max()) <= bound, parameter


@pytest.mark.parametrize(
    ("name", "padding", "cache"),
    [pytest.param(name, padding, cache,
                  marks=[] if name == "gemma2" and padding != "right" else pytest.mark.slow)
     for name in tiny.GENERATING
     for padding in ((None, "left", "right") if name in tiny.PADDED else (None,))
     for cache in ("dynamic", "static")],
)  # fmt: skip
def test_greedy_text_is_that_of_eager(name: str, padding: str | None, cache: str) -> None:
    model = tiny.made(name)
    inputs = tiny.inputs(name, padding)
    texts = {}
    for by in ("eager", "heedful"):
        model.set_attn_implementation(by)
        texts[by] = model.generate(
            **inputs, max_new_tokens=8, do_sample=False, cache_implementation=cache,
            disable_compile=True, return_dict_in_generate=True,
        ).sequences  # fmt: skip
    assert texts["heedful"].shape[1] >= 9
    assert texts["heedful"].tolist() == texts["eager"].tolist()


@pytest.mark.parametrize("name", ["mistral", "gemma2"])
def test_a_prompt_in_two_parts_continues_a_cache(name: str) -> None:
    """The second part has several queries, none of which is at the first key."""
    model = tiny.made(name)
    inputs = tiny.inputs(name, "left", length=13)
    seen, tokens = inputs["attention_mask"], inputs["input_ids"]
    found = {}
    for by in ("eager", "heedful"):
        model.set_attn_implementation(by)
        with torch.no_grad():
            first = model(input_ids=tokens[:, :8], attention_mask=seen[:, :8], use_cache=True)
            found[by] = model(
                input_ids=tokens[:, 8:], attention_mask=seen,
                past_key_values=first.past_key_values,
            ).logits  # fmt: skip
    torch.testing.assert_close(found["heedful"], found["eager"], rtol=2e-5, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mistral", "gpt_oss"])
def test_a_compiled_model_is_one_graph(name: str) -> None:
    model = tiny.made(name)
    inputs = tiny.inputs(name, "left")
    with torch.no_grad():
        expected = model(**inputs).logits
        model.set_attn_implementation("heedful")
        torch.compiler.reset()
        found = torch.compile(model, fullgraph=True, backend="aot_eager")(**inputs).logits
    seen = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[seen], expected[seen], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["bert", "gpt_oss"])
def test_attentions_are_those_of_eager(name: str) -> None:
    model = tiny.made(name)
    inputs = tiny.inputs(name, "left")
    expected = model(**inputs, output_attentions=True).attentions
    model.set_attn_implementation("heedful")
    found = model(**inputs, output_attentions=True).attentions
    seen = inputs["attention_mask"].bool()
    assert len(found) == 2
    for mine, one in zip(found, expected, strict=True):
        assert mine.shape == one.shape
        mine, one = mine.transpose(1, 2)[seen], one.transpose(1, 2)[seen]
        torch.testing.assert_close(mine, one, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["mistral", "gpt2"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_compute_the_same_gradients(name: str, reentrant: bool) -> None:
    """GPT-2 passes the mask by position, and a reentrant checkpoint then detaches it."""
    model = tiny.made(name).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    inputs = tiny.inputs(name, "left")
    _, expected = result(model, inputs, "heedful")
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    _, found = result(model, {**inputs, "use_cache": False}, "heedful")
    for parameter, gradient in found.items():
        torch.testing.assert_close(gradient, expected[parameter])


def test_dropout_follows_the_seed_of_torch() -> None:
    model = tiny.made("llama", attention_dropout=0.3).train()
    model.set_attn_implementation("heedful")
    inputs = tiny.inputs("llama")

    def drawn(seed: int) -> Any:
        torch.manual_seed(seed)
        return model(**inputs).logits

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    whole = drawn(1)
    assert torch.equal(model.eval()(**inputs).logits, drawn(2))
    assert not torch.equal(model(**inputs).logits, whole)


def test_bfloat16_is_as_close_to_the_truth_as_eager() -> None:
    pytest.importorskip("ml_dtypes")
    model = tiny.made("llama")
    inputs = tiny.inputs("llama")
    with torch.no_grad():
        true = model(**inputs).logits
        model = model.bfloat16()
        errors = {}
        for by in ("eager", "heedful"):
            model.set_attn_implementation(by)
            errors[by] = float((model(**inputs).logits - true).abs().mean())
    assert errors["heedful"] <= 1.2 * errors["eager"]


def test_a_saved_model_is_loaded_by_its_name(tmp_path: Any) -> None:
    from transformers import AutoModelForCausalLM

    model = tiny.made("llama")
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="heedful")
    assert loaded.config._attn_implementation == "heedful"
    inputs = tiny.inputs("llama")
    with torch.no_grad():
        torch.testing.assert_close(
            loaded(**inputs).logits, model(**inputs).logits, rtol=2e-5, atol=2e-5
        )


@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_with_attention_of_its_own_is_refused(compiled: bool) -> None:
    """The library makes it, and its layers would read the mask as something else."""
    from transformers import BloomConfig, BloomModel

    config = BloomConfig(vocab_size=20, hidden_size=16, n_layer=1, n_head=2)
    model: Any = BloomModel._from_config(config, attn_implementation="heedful")
    if compiled:
        model = torch.compile(model, backend="eager")
    refused = pytest.raises(ValueError, match=r"must not be given to models of BloomConfig.*eager")
    with refused, torch.no_grad():
        model(torch.ones(1, 4, dtype=torch.int64))
