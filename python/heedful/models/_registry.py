"""The families of models that are known, and which of them a config asks for."""

from __future__ import annotations

from heedful._checks import listed, named
from heedful.models import _bert, _distilbert, _gemma, _gpt2, _llama, _roberta, _t5, _vit
from heedful.models._architecture import Architecture
from heedful.models._config import Config

ARCHITECTURES: dict[str, Architecture] = {
    family.model_type: family
    for family in (
        *_bert.ARCHITECTURES,
        *_roberta.ARCHITECTURES,
        *_distilbert.ARCHITECTURES,
        _vit.ARCHITECTURE,
        _gpt2.ARCHITECTURE,
        *_llama.ARCHITECTURES,
        *_gemma.ARCHITECTURES,
        *_t5.ARCHITECTURES,
    )
}


def architecture_of(config: Config, head: str | None = None) -> tuple[Architecture, str]:
    """The family that "model_type" names, and `head` or the first known one of "architectures"."""
    kind = config.text("model_type")
    if kind not in ARCHITECTURES:
        raise ValueError(
            f"model_type of {config.file} must be one of {listed(sorted(ARCHITECTURES))}: "
            f"got {named(kind)}"
        )
    family = ARCHITECTURES[kind]
    return family, _head(config, family, head)


def _head(config: Config, family: Architecture, head: str | None) -> str:
    if head is not None and not isinstance(head, str):
        raise TypeError(f"head must be a string or None: got {named(head)}")
    given = config.get("architectures", [])
    asked = [head] if head is not None else given
    if not isinstance(asked, (list, tuple)) or not all(isinstance(name, str) for name in asked):
        raise TypeError(
            f"architectures of {config.file} must be a list of names: got {named(given)}"
        )
    known: list[str] = [name for name in asked if name in family.heads]
    if known:
        return known[0]
    if asked:
        place = "head" if head is not None else f"architectures of {config.file}"
        raise ValueError(
            f"{place} must be one of {listed(list(family.heads))} for {family.model_type}: "
            f"got {named(asked[0])}"
        )
    return next(iter(family.heads))
