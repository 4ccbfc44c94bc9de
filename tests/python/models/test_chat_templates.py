"""Chat templates: what they write, and that they reach nothing outside of their sandbox."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.models import Tokenizer

pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

from written_tokenizer import write_tokenizer

pytestmark = pytest.mark.once

CHAT = (
    "{{ bos_token }}{% for message in messages %}\n"
    "{% if message.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}\n"
    "[{{ message.role }}] {{ message.content }}\n"
    "{% endfor %}\n"
    "{% if tools %}{{ tools | tojson }}{% endif %}\n"
    "{% if add_generation_prompt %}[{% generation %}assistant{% endgeneration %}]{% endif %}"
)


def chat(folder: Path, template: Any = CHAT) -> Tokenizer:
    return Tokenizer.from_pretrained(
        write_tokenizer(folder, {"bos_token": "<s>", "chat_template": template})
    )


MESSAGES = [{"role": "user", "content": "<b>é"}, {"role": "assistant", "content": "yes"}]


def test_a_conversation_is_written_as_the_template_says(tmp_path: Path) -> None:
    tokenizer = chat(tmp_path)
    assert tokenizer.apply_chat_template(MESSAGES) == "<s>[user] <b>é\n[assistant] yes\n"
    found = tokenizer.apply_chat_template(
        MESSAGES[:1], tools=[{"name": "<look>"}], add_generation_prompt=True
    )
    assert found == '<s>[user] <b>é\n[{"name": "<look>"}][assistant]'


def test_a_template_is_chosen_by_name_or_by_tools_or_from_a_file(tmp_path: Path) -> None:
    several = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
    tokenizer = chat(tmp_path, several)
    assert tokenizer.apply_chat_template(MESSAGES) == "plain"
    assert tokenizer.apply_chat_template(MESSAGES, tools=[{}]) == "tools"
    assert tokenizer.apply_chat_template(MESSAGES, template="tool_use") == "tools"
    with pytest.raises(ValueError, match=r"template must be a chat template of the model, \['def"):
        tokenizer.apply_chat_template(MESSAGES, template="other")
    (tmp_path / "chat_template.jinja").write_text("of a file", encoding="utf-8")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("rag", encoding="utf-8")
    tokenizer = chat(tmp_path)
    assert tokenizer.apply_chat_template(MESSAGES) == "of a file"
    assert tokenizer.apply_chat_template(MESSAGES, template="rag") == "rag"


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ namespace(__init__=1) }}",
        "{{ messages.append(1) }}",
        "{{ dict.__call__.__globals__ }}",
        "{{ raise_exception.__globals__.keys() }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{% for x in range(10**9) %}{% endfor %}",
        "{% for",
        "{{ raise_exception('no') }}",
        "{{ 1 / 0 }}",
        "{{ messages[0].content + 1 }}",
    ],
)
def test_a_template_that_fails_or_reaches_out_of_the_sandbox_is_refused(
    template: str, tmp_path: Path
) -> None:
    tokenizer = chat(tmp_path, template)
    with pytest.raises(ValueError, match="the chat template refuses this: ") as caught:
        tokenizer.apply_chat_template(MESSAGES)
    assert str(caught.value).isprintable()


def test_a_template_sees_plain_values_alone(tmp_path: Path) -> None:
    class Secret(str):
        def read(self) -> str:
            return "secret"

    tokenizer = chat(tmp_path, "{{ given }} {{ given.read is defined }} {{ flag }} {{ other }}")
    found = tokenizer.apply_chat_template(
        MESSAGES, given=Secret("x"), flag=np.bool_(False), other=np.ones(3)
    )
    assert found == "x False False <ndarray>"


@pytest.mark.parametrize("messages", ["hello", [], {"role": "user"}, ["hello"], None, 3])
def test_what_are_no_messages_is_refused(messages: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="messages must be "):
        chat(tmp_path).apply_chat_template(messages)


def test_messages_without_a_value_are_as_without_the_key(tmp_path: Path) -> None:
    tokenizer = chat(tmp_path, "{{ messages[0].content is defined }}")
    assert tokenizer.apply_chat_template([{"role": "user", "content": None}]) == "False"


def test_a_model_without_a_template_says_so(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(write_tokenizer(tmp_path))
    with pytest.raises(ValueError, match="the model has no chat template"):
        tokenizer.apply_chat_template(MESSAGES)


@pytest.mark.parametrize("package", ["tokenizers", "jinja2"])
def test_a_package_that_is_absent_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = chat(tmp_path)
    known = builtins.__import__

    def absent(name: str, *given: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return known(name, *given)

    monkeypatch.setattr(builtins, "__import__", absent)
    calls = {"jinja2": lambda: tokenizer.apply_chat_template(MESSAGES),
             "tokenizers": lambda: Tokenizer.from_pretrained(tmp_path)}  # fmt: skip
    with pytest.raises(ImportError, match=f"need.* the package {package}: pip install"):
        calls[package]()
