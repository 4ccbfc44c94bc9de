"""The transformers library's own tests of models, with heedful in the place of "sdpa".

Its mixin makes models without a name of an implementation, or with "sdpa"; here they all get
"heedful". So "eager matches sdpa" compares heedful, in float32, float16 and bfloat16.
"""

from __future__ import annotations

import unittest
from typing import Any

import pytest

# the mixin counts warnings: none may be ignored
pytestmark = [pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("always")]

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("parameterized")

import tiny_transformers as tiny  # noqa: E402
import transformers_mixin  # noqa: E402

from heedful.integrations.transformers import _registration  # noqa: E402

SOURCE = transformers_mixin.source()
if SOURCE is None:
    pytest.skip(
        "TRANSFORMERS_SOURCE is not set: see `nox -s transformers`", allow_module_level=True
    )
ModelTesterMixin = transformers_mixin.mixin(SOURCE)

CLASSES = {
    "bert": ("BertModel", "BertForMaskedLM", "BertForSequenceClassification",
             "BertForTokenClassification", "BertForQuestionAnswering"),
    "modernbert": ("ModernBertModel", "ModernBertForMaskedLM"),
    "vit": ("ViTModel", "ViTForImageClassification"),
    "gpt2": ("GPT2Model", "GPT2LMHeadModel"),
    "llama": ("LlamaModel", "LlamaForCausalLM"),
    "gemma2": ("Gemma2Model", "Gemma2ForCausalLM"),
    "gpt_oss": ("GptOssModel", "GptOssForCausalLM"),
    "bart": ("BartModel", "BartForConditionalGeneration"),
}  # fmt: skip
NO_TOKENS = "it has no tokens: the library's own tests of it leave this one out"
# what is not run, and why; heedful's numbers are in none of them
EXCEPTIONS = {
    "": {
        "test_sdpa_can_dispatch_non_composite_models": 'it asserts that the name is "sdpa"',
        "test_can_set_attention_dynamically": 'it asserts that the name is "sdpa"',
        "test_generation_tester_mixin_inheritance": "the archive has no tests of generation",
        "test_bc_torch_dtype": "it compares thousands of parameters, and computes nothing",
    },
    "vit": dict.fromkeys(
        ("test_model_get_set_embeddings", "test_resize_tokens_embeddings"), NO_TOKENS
    ),
}


class ModelTester:
    """What the mixin asks of a model: its configuration, its inputs and their sizes."""

    is_training = True
    batch_size = 2

    def __init__(self, name: str) -> None:
        self.name = name
        config = self.get_config()
        self.seq_length = 17 if name == "vit" else 11  # 16 patches and the class
        self.num_masks, self.mask_length = 3, self.seq_length - 1
        self.hidden_size = config.hidden_size
        self.num_hidden_layers = config.num_hidden_layers
        self.num_attention_heads = config.num_attention_heads

    def get_config(self) -> Any:
        configuration, _, sizes = tiny.MODELS[self.name]
        # matrices so large that attention is sharp: with the library's, scores are about 0. The
        # pictures of ViT are large already, and its float16 would be too coarse for the mixin
        spread = 0.1 if self.name == "vit" else 0.25
        name = "init_std" if self.name == "bart" else "initializer_range"
        return getattr(transformers, configuration)(**sizes, **{name: spread})

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, Any]]:
        found = tiny.inputs(self.name, None if self.name == "vit" else "right")
        if self.name == "bart":
            found["decoder_input_ids"] = found["input_ids"].flip(0)
        return self.get_config(), found

    def prepare_config_and_inputs_for_model_class(self, kind: Any) -> tuple[Any, dict[str, Any]]:
        return self.prepare_config_and_inputs_for_common()


@pytest.fixture(autouse=True)
def _heedful_is_sdpa(monkeypatch: pytest.MonkeyPatch) -> None:
    _registration.register()
    own = transformers.PreTrainedModel._check_and_adjust_attn_implementation

    def check(self: Any, asked: str | None, *arguments: Any, **options: Any) -> Any:
        asked = "heedful" if asked in (None, "sdpa") else asked
        return own(self, asked, *arguments, **options)

    monkeypatch.setattr(
        transformers.PreTrainedModel, "_check_and_adjust_attn_implementation", check
    )


def class_of(name: str) -> type[unittest.TestCase]:
    def set_up(self: Any) -> None:
        self.model_tester = ModelTester(name)

    skipped = {
        test: unittest.skip(reason)(lambda self: None)
        for test, reason in (EXCEPTIONS[""] | EXCEPTIONS.get(name, {})).items()
    }
    return type(
        f"Test_{name}", (ModelTesterMixin, unittest.TestCase),
        {"all_model_classes": tuple(getattr(transformers, each) for each in CLASSES[name]),
         "setUp": set_up, "is_encoder_decoder": name == "bart",
         "test_resize_embeddings": name != "vit", "__module__": __name__, **skipped},
    )  # fmt: skip


for each in CLASSES:
    globals()[f"Test_{each}"] = class_of(each)


@pytest.mark.parametrize("name", CLASSES)
def test_heedful_computes_what_the_mixin_makes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def forward(module: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(module)
        return _registration.forward(module, *arguments, **options)

    transformers.AttentionInterface.register("heedful", forward)
    config, inputs = ModelTester(name).prepare_config_and_inputs_for_common()
    for kind in CLASSES[name]:
        getattr(transformers, kind)(config)(**inputs)
    per_model = config.num_hidden_layers * (3 if name == "bart" else 1)
    assert len(calls) == len(CLASSES[name]) * per_model


def test_every_exception_is_a_test_of_the_mixin() -> None:
    assert set(EXCEPTIONS) <= {"", *CLASSES}
    assert all(hasattr(ModelTesterMixin, test) for tests in EXCEPTIONS.values() for test in tests)
