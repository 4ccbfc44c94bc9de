"""Tokenizers and chat templates beside those of transformers, on files that it saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heedful.models import Tokenizer

pytestmark = [pytest.mark.peer, pytest.mark.once]

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

TEXTS = ["The cat sat on the mat.", "", "A naïve café, isn't it?  Two  spaces", "漢字 and 😀 emoji",
         "[MASK] the <s> </s>", "won't can't I'm they've", "\ttabs\nand lines\n"]  # fmt: skip


def trained(kind: str) -> Any:
    """A tokenizer with a small vocabulary, in the manner of BERT, GPT-2 or SentencePiece."""
    models, trainers = tokenizers.models, tokenizers.trainers
    pre, decoders = tokenizers.pre_tokenizers, tokenizers.decoders
    if kind == "wordpiece":
        made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer, made.decoder = pre.BertPreTokenizer(), decoders.WordPiece()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special)
    elif kind == "bytes":
        made = tokenizers.Tokenizer(models.BPE())
        made.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<s>", "<pad>", "</s>"],
            initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False,
        )  # fmt: skip
    else:
        made = tokenizers.Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = pre.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>",
            show_progress=False,
        )  # fmt: skip
    made.train_from_iterator([text.lower() for text in TEXTS] + TEXTS, trainer)
    if kind == "wordpiece":
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
        )  # fmt: skip
    return made


SPECIAL = {
    "wordpiece": {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]",
                  "sep_token": "[SEP]", "mask_token": "[MASK]"},
    "bytes": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
    "unigram": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>",
                "unk_token": "<unk>"},
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "left": {"padding_side": "left", "truncation_side": "left"},
    "ends": {"add_bos_token": True, "add_eos_token": True},
    "cleaned": {"clean_up_tokenization_spaces": True},
    "extra": {"extra_special_tokens": ["<tool>"], "mask_token": "<hidden>"},
}


def pair(kind: str, settings: str, folder: Path, **more: Any) -> tuple[Any, Tokenizer]:
    options = {**SPECIAL[kind], **SETTINGS[settings], **more}
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=trained(kind), **options)
    made.save_pretrained(folder)
    peer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    return peer, Tokenizer.from_pretrained(folder)


CASES = [
    (kind, settings)
    for kind in SPECIAL
    for settings in SETTINGS
    if settings != "ends" or kind != "wordpiece"  # which has no such tokens
]


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_tokens_and_texts_are_those_of_transformers(
    kind: str, settings: str, tmp_path: Path
) -> None:
    peer, own = pair(kind, settings, tmp_path)
    assert len(own) == len(peer)
    assert own.special_tokens == peer.special_tokens_map
    assert (own.pad_id, own.eos_id) == (peer.pad_token_id, peer.eos_token_id)
    for text in [*TEXTS, "<tool> and <hidden>"]:
        for added in (True, False):
            tokens = peer.encode(text, add_special_tokens=added)
            assert own.encode(text, add_special_tokens=added) == tokens, text
            for skipped in (True, False):
                expected = peer.decode(tokens, skip_special_tokens=skipped)
                assert own.decode(tokens, skip_special_tokens=skipped) == expected, text
        assert own.encode(text, "the mat") == peer.encode(text, "the mat")


@pytest.mark.parametrize("max_length", [None, 6])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_batches_are_those_of_transformers(
    kind: str, settings: str, pairs: bool, max_length: int | None, tmp_path: Path
) -> None:
    peer, own = pair(kind, settings, tmp_path)
    seconds = TEXTS[::-1] if pairs else None
    options: dict[str, Any] = {}
    if max_length is not None:
        options = {"truncation": True, "max_length": max_length}
    options["return_token_type_ids"] = True
    expected = peer(TEXTS, seconds, padding=True, return_tensors="np", **options)
    found = own.batch(TEXTS, seconds, max_length=max_length)
    assert found["tokens"].tolist() == expected["input_ids"].tolist()
    assert found["mask"].astype(int).tolist() == expected["attention_mask"].tolist()
    if pairs:
        assert found["segments"].tolist() == expected["token_type_ids"].tolist()


TEMPLATES = {
    "turns": (
        "{%- for message in messages %}\n    {{- '<|' + message['role'] + '|>\\n' }}\n"
        "    {{- message['content'] | trim + eos_token }}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}"
    ),
    "tools": (
        "{% if tools %}\n{% for tool in tools %}\n    {{ tool | tojson(indent=2) }}\n"
        "{% endfor %}\n{% endif %}\n"
        "{% set ns = namespace(last='') %}\n{% for message in messages %}\n"
        "  {% if loop.last %}{% set ns.last = message.role %}{% continue %}{% endif %}\n"
        "  {% generation %}{{ message.content }}{% endgeneration %}\n{% endfor %}\n"
        "{{ ns.last }} {{ messages | length }} {{ documents }} {{ date }}"
        "{{ bos_token if bos_token is defined }}"
    ),
    "dict": "{% set d = dict(a=1) %}{{ d.a }}{{ {'b': '<é>'} | tojson }}{{ messages[0] }}",
}
CHATS = {
    "short": [{"role": "user", "content": " Hello <b>there</b> "}],
    "long": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Héllo"},
             {"role": "assistant", "content": "Yes.", "tool_calls": None}],
}  # fmt: skip


@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize("tools", [None, [{"name": "look", "parameters": {"type": "<object>"}}]])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_conversations_are_written_as_by_transformers(
    template: str, chat: str, tools: Any, prompt: bool, tmp_path: Path
) -> None:
    peer, own = pair("bytes", "plain", tmp_path, chat_template=TEMPLATES[template])
    options = {"tools": tools, "add_generation_prompt": prompt, "date": "today"}
    expected = peer.apply_chat_template(CHATS[chat], tokenize=False, **options)
    found = own.apply_chat_template(CHATS[chat], **options)
    assert found == expected
    tokens = peer.apply_chat_template(CHATS[chat], return_dict=False, **options)
    assert own.encode(found, add_special_tokens=False) == tokens


def test_several_templates_are_chosen_as_by_transformers(tmp_path: Path) -> None:
    several = {"default": "plain", "tool_use": "with tools", "rag": "{{ documents }}"}
    peer, own = pair("bytes", "plain", tmp_path, chat_template=several)
    assert own.chat_templates == several
    for tools, template in ((None, None), ([{"name": "look"}], None), (None, "rag")):
        expected = peer.apply_chat_template(
            CHATS["short"], tools=tools, chat_template=template, tokenize=False
        )
        assert own.apply_chat_template(CHATS["short"], tools=tools, template=template) == expected
    names = {path.name for path in tmp_path.iterdir()}
    assert "chat_template.jinja" in names or "chat_template" in json.loads(
        (tmp_path / "tokenizer_config.json").read_text(encoding="utf-8")
    )
