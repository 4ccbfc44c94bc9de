"""What files beside tokenizer.json say of a tokenizer: special tokens, sides, chat templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heedful._checks import named
from heedful.models._config import Config, read_object
from heedful.models._files import file_in

SETTINGS = "tokenizer_config.json"
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
           "mask_token")  # fmt: skip
# classes of transformers whose models have no segments
_WITHOUT_SEGMENTS = ("CamembertTokenizer", "DistilBertTokenizer", "RobertaTokenizer",
                     "XLMRobertaTokenizer")  # fmt: skip


def read_settings(folder: Path) -> Config:
    """tokenizer_config.json, with the special tokens of special_tokens_map.json it lacks."""
    found: dict[str, Any] = {}
    for name in ("special_tokens_map.json", SETTINGS):
        path = file_in(folder, name)
        if path is not None:
            found |= {key: value for key, value in read_object(path).items() if value is not None}
    return Config(found, SETTINGS)


def special_tokens(settings: Config) -> dict[str, Any]:
    """By their names, such as bos_token: text, or a mapping with "content"."""
    return {name: settings[name] for name in SPECIAL if name in settings}


def added_tokens(settings: Config) -> list[Mapping[str, Any]]:
    """Tokens that tokenizer.json may lack, in the order of their numbers."""
    listed = settings.section("added_tokens_decoder", Config({}))
    wrong = [key for key in listed if not key.isdecimal() or not isinstance(listed[key], Mapping)]
    if wrong:
        raise TypeError(
            f"added_tokens_decoder of {SETTINGS} must be tokens by their numbers: "
            f"got {named(wrong[0])}: {named(listed[wrong[0]])}"
        )
    return [listed[key] for key in sorted(listed, key=int)]


def content_of(name: str, token: Any) -> str:
    """The text of a token that a file describes."""
    text = token.get("content") if isinstance(token, Mapping) else token
    if not isinstance(text, str):
        raise TypeError(f"{name} of {SETTINGS} must be a token: got {named(token)}")
    return text


def has_segments(settings: Config) -> bool:
    inputs = settings.get("model_input_names")
    if inputs is not None and not isinstance(inputs, list):
        raise TypeError(f"model_input_names of {SETTINGS} must be a list: got {named(inputs)}")
    if inputs is not None:
        return "token_type_ids" in inputs
    return settings.text("tokenizer_class", "").removesuffix("Fast") not in _WITHOUT_SEGMENTS


def chat_templates(folder: Path, settings: Config) -> dict[str, str]:
    """Templates by name; the only one is "default"."""
    given = settings.get("chat_template")
    found: dict[str, str] = {}
    if isinstance(given, str):
        found["default"] = given
    elif isinstance(given, list):
        for entry in given:
            if not isinstance(entry, Mapping):
                raise TypeError(f"chat_template of {SETTINGS} must be text: got {named(entry)}")
            found[str(entry.get("name"))] = str(entry.get("template"))
    elif given is not None:
        raise TypeError(f"chat_template of {SETTINGS} must be text: got {named(given)}")
    names = ["chat_template.jinja"]
    if (folder / "additional_chat_templates").is_dir():
        inside = sorted((folder / "additional_chat_templates").glob("*.jinja"))
        names += [f"additional_chat_templates/{path.name}" for path in inside]
    for name in names:
        path = file_in(folder, name)
        if path is not None:
            key = "default" if path.parent == folder else path.stem
            found[key] = path.read_text(encoding="utf-8")
    return found
