"""Options: the arguments of a class, a method or a function, as written and as documented."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

_HIDDEN = ("self", "mode")  # of a layer's compute, which the layer passes


def in_signature(function: Any) -> list[str]:
    """Of a class those of its constructor; not what is only forwarded by * or **."""
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [one.name for one in parameters if one.kind not in kinds]
    return [name for name in named if name not in _HIDDEN] if "self" in named else named


class Entry(NamedTuple):
    """Of the numpydoc section Parameters, such as ``causal, window : form`` and its text."""

    names: list[str]  # "…" abbreviates those between its neighbours in the signature
    form: str
    text: str


def entries(function: Any) -> list[Entry]:
    text = inspect.getdoc(function) or ""
    found = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.M | re.S)
    if not found:
        return []
    # after the text before the first head come head, form and text of each
    parts = re.split(r"^(\*{0,2}\w[^\n:]*?)(?: :([^\n]*))?$", found[1], flags=re.M)[1:]
    return [
        Entry([name.strip() for name in head.split(",")], (form or "").strip(), said)
        for head, form, said in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


def documented(function: Any) -> list[str]:
    names = [name for entry in entries(function) for name in entry.names]
    return [name for name in names if re.fullmatch(r"\w+", name)]


def options_of(function: Any) -> list[str]:
    return list(dict.fromkeys([*in_signature(function), *documented(function)]))


def assert_refused(
    call: Any, kind: type[Exception], name: str, own: Iterable[str], everywhere: Iterable[str],
    owner: str, public: Iterable[str],
) -> None:  # fmt: skip
    """`call` raises `kind` itself, in one sentence that is about `name` and about no inner thing.

    own : the arguments that the caller can see, those of this function
    everywhere : the arguments of all functions
    public : the names of classes and functions, of which the sentence may name `owner` alone
    """
    raised: Exception | None = None
    try:
        call()
    except (TypeError, ValueError) as error:
        raised = error
    assert raised is not None, "is accepted"
    message = str(raised)
    assert type(raised) is kind, f"{type(raised).__name__}, expected {kind.__name__}: {message}"
    words = set(re.findall(r"\w+", message))
    assert name in words, f"does not name {name}: {message}"
    about = set(re.findall(r"\w+", re.split(r" must | needs | has no | got ", message)[0]))
    inner = (about & set(everywhere)) - set(own) - {name}
    assert not inner, f"is about {sorted(inner)}, which the caller does not know: {message}"
    others = (about & set(public)) - {owner, name}
    assert not others, f"is about {sorted(others)}, which the caller did not call: {message}"
    assert "\n" not in message, message
