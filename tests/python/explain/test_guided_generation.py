"""generate(…, guidance=…): the same as a with around it, in every model that generates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L
from heedful.explain import AttentionFeedback, Guidance, guide, steer, watch

Array = NDArray[Any]
F64: dict[str, Any] = {"dtype": np.float64, "rng": 3}
PROMPTS = [[1, 2, 3], [4, 5, 6, 7], [8]]
EACH = [
    guide(["a", "b", "c"], attract="b", strength=6),
    guide(["a", "b", "c", "d"], repel="a", strength=2),
    guide(["a"], attract="a", strength=1),
]


def drawn(model: Any, outputs: int) -> Any:
    """The model with logits that differ, and attention that matters."""
    model.projection.weight = np.random.default_rng(0).standard_normal((outputs, 12))
    for name, layer in model.named_layers():
        if name.endswith("out_proj"):
            layer.weight *= 60
    return model


def language_model() -> L.LanguageModel:
    made: L.LanguageModel = drawn(L.LanguageModel(20, 12, 2, 2, 16, 32, 0.0, **F64), 20)
    return made


def segment_recurrent(**options: Any) -> L.SegmentRecurrentLM:
    model = L.SegmentRecurrentLM(20, 12, 2, 2, 16, rate=0.0, tied=False, **options, **F64)
    model.embedding.weight *= 50
    made: L.SegmentRecurrentLM = drawn(model, 20)
    return made


def transformer(**options: Any) -> L.Transformer:
    made: L.Transformer = drawn(L.Transformer(20, 12, 12, 2, 1, 16, 0.0, **options, **F64), 12)
    return made


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"temperature": 1.0, "rng": 5}])
def test_texts_are_those_of_a_guided_with(options: dict[str, Any]) -> None:
    model, guidance = language_model(), Guidance.stack(EACH)
    with guidance.steer(model):
        expected = model.generate(PROMPTS, max_length=8, stop=19, **options)
    for found in (
        model.generate(PROMPTS, max_length=8, stop=19, guidance=guidance, **options),
        L.generate(model, PROMPTS, max_length=8, stop=19, guidance=guidance, **options),
    ):
        assert [text.tolist() for text in found] == [text.tolist() for text in expected]
    plain = model.generate(PROMPTS, max_length=8, stop=19, **options)
    assert any(a.tolist() != b.tolist() for a, b in zip(plain, expected, strict=True))


def causal_lm() -> L.CausalLM:
    made: L.CausalLM = drawn(L.CausalLM(20, 12, 2, 2, 16, tied=False, **F64), 20)
    return made


@pytest.mark.parametrize("make", [language_model, causal_lm])
def test_a_streamed_text_is_guided_and_the_model_is_not_while_a_token_is_held(make: Any) -> None:
    model, guidance, prompt = make(), EACH[0], PROMPTS[0]
    guided, plain = (
        model.generate([prompt], max_length=6, guidance=how)[0][3:].tolist()
        for how in (guidance, None)
    )
    tokens = L.stream(model, prompt, max_length=6, guidance=guidance)
    found = [next(tokens)]
    assert model.generate([prompt], max_length=6)[0][3:].tolist() == plain
    assert found + list(tokens) == guided != plain
    with pytest.raises(ValueError, match="guidance needs a model"):
        L.stream(model.generation_steps(), prompt, guidance=guidance)


def test_guidance_holds_at_its_layers_and_heads_and_ends_with_the_text() -> None:
    model = language_model()
    strict = guide(["a", "b", "c"], attract="b", strict=True, queries=2)
    with watch(model) as seen:
        model.generate(PROMPTS[:1], max_length=2, guidance=strict.at("encoder.layers.1", heads=[1]))
    first, second = (seen[f"encoder.layers.{i}.self_attn"] for i in (0, 1))
    of_prompt = seen.of("encoder.layers.1.self_attn")[0].weights[0]
    np.testing.assert_array_equal(of_prompt[1, 2], [0, 1, 0])
    assert (of_prompt[0, 2] > 0).all()
    assert (first > 0).all()
    assert (second > 0).all()  # of the token that was generated
    before = model([[1, 2, 3]])
    np.testing.assert_array_equal(before, language_model()([[1, 2, 3]]))


def test_a_translation_is_guided_in_the_source() -> None:
    """Of target positions nothing is said: their weights are those of no bias."""
    model, guidance = transformer(), guide(["a", "b", "c"], attract="b", strength=4)
    sources = [[3, 4, 5]]
    with watch(model) as seen:
        targets = model.generate(sources, start=1, max_length=4, guidance=guidance)
    where = ("encoder", "decoder.*.multihead_attn")
    with steer(model, bias=guidance.bias, where=where), watch(model) as expected:
        assert model.generate(sources, start=1, max_length=4)[0].tolist() == targets[0].tolist()
    for name in expected:
        np.testing.assert_array_equal(seen[name], expected[name])
    with watch(model) as free:
        model.generate(sources, start=1, max_length=4)
    own, encoder = "decoder.layers.0.self_attn", "encoder.layers.0.self_attn"
    np.testing.assert_array_equal(seen.of(own)[1].weights, free.of(own)[1].weights)
    odds = [found[encoder][..., 1] / found[encoder][..., 0] for found in (free, seen)]
    np.testing.assert_allclose(odds[1], odds[0] * np.exp(4))
    with pytest.raises(ValueError, match=r"\Amodel must have attention layers with scores"):
        transformer(mixer="linear").generate(sources, start=1, max_length=2, guidance=guidance)


@pytest.mark.parametrize("memory_length", [32, 3])
def test_a_segment_recurrent_model_is_guided_at_positions_of_the_text(memory_length: int) -> None:
    """Weights of each step are those of the text at once, without a memory, with its bias."""
    model, bias = segment_recurrent(memory_length=memory_length), np.array([0.0, 3.0, 0, -2, 1.5])
    guidance = Guidance(np.stack([bias, bias[::-1], -bias])[:, None, None])
    with watch(model) as seen:
        texts = model.generate(PROMPTS, max_length=4, guidance=guidance)
    assert guidance.bias is not None
    for item, text in enumerate(texts):
        placed = np.zeros(len(text))
        placed[:5] = guidance.bias[item, 0, 0][: len(text)]
        with steer(model, bias=placed), watch(model) as at_once:
            model([text])
        name = "layers.0.self_attn"  # of later layers the inputs differ where the memory is short
        for call in seen.of(name)[3:]:
            row, rows = int(call.rows[item, 0]), memory_length + 1
            expected = at_once[name][0, :, row, : row + 1][:, -rows:]
            expected = expected / expected.sum(-1, keepdims=True)
            found = call.weights[item, :, 0]
            found = found[:, -min(rows, row + 1) :]
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_long_prompts_are_guided_in_every_segment() -> None:
    model, bias = segment_recurrent(memory_length=16), np.linspace(-2, 2, 9)
    tokens = np.arange(9)[None]
    with steer(model, bias=bias):
        at_once = model(tokens)
        logits, _ = model.read(tokens, segment=4)
    np.testing.assert_allclose(logits, at_once[:, 8:], atol=1e-12)


def test_feedback_guides_a_generation_at_the_heads_it_trusts() -> None:
    model = language_model()
    feedback = AttentionFeedback(model, where="encoder.layers.1", heads=0)
    feedback.look_here("b", ["a", "b", "c"], strength=9)
    guidance = feedback.guide(["a", "b", "c"])
    assert (guidance.where, guidance.heads) == (feedback.where, feedback.heads)
    with feedback.steer(model, ["a", "b", "c"]):
        expected = model.generate(PROMPTS[:1], max_length=5)
    found = model.generate(PROMPTS[:1], max_length=5, guidance=guidance)
    assert found[0].tolist() == expected[0].tolist()


def test_places_are_kept_and_must_agree() -> None:
    a, b = EACH[0].at("x", heads=[1]), guide(3, attract=1)
    assert [((a + b).where, (b + a).heads), (2 * a).where] == [("x", [1]), "x"]
    assert Guidance.stack([a, b]).where == "x"
    assert repr(a) == "Guidance(bias (3,), 1 not 0; at 'x' [1])"
    with pytest.raises(ValueError, match=r"guidance must be for the same layers and heads"):
        a + b.at("y")
    heads = ([1], (1,), 1, np.array([1]))
    for same in (*(b.at("x", heads=each) for each in heads), b.at(["x"], heads=[1])):
        assert (a + same).heads == [1]
    by_layer = b.at("x", heads={"x.y": np.array([0, 1])})
    assert (by_layer + b.at("x", heads={"x.y": [0, 1]})).where == "x"
    for other in (b.at("x", heads=[0, 1]), b.at("x"), by_layer):
        with pytest.raises(ValueError, match=r"guidance must be for the same layers and heads"):
            a + other


def test_what_cannot_guide_is_refused_in_one_sentence() -> None:
    model = language_model()
    for wrong in (np.zeros(3), AttentionFeedback(model), "b", EACH):
        with pytest.raises(TypeError, match=r"\Aguidance must be what heedful.explain.guide ret"):
            model.generate(PROMPTS, max_length=2, guidance=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\Aguidance needs a model: guide that of Steps by"):
        L.generate(model.generation_steps(), PROMPTS, max_length=2, guidance=EACH[0])
    with pytest.raises(ValueError, match=r"\Awhere must match attention layers of the model"):
        model.generate(PROMPTS, max_length=2, guidance=EACH[0].at("decoder"))
