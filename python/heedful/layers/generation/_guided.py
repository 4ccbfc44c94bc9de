"""Guiding: what a generation is told about where attention should go."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

from heedful._checks import named
from heedful.base._taps import attention_layers


@runtime_checkable
class Guiding(Protocol):
    """What :func:`heedful.explain.guide` returns; layers do not import it."""

    bias: Any
    mask: Any
    where: Any  # the layers that it is for; None: not said
    heads: Any

    def at(self, where: Any = "*", heads: Any = None) -> Guiding:
        """The same for these layers and heads."""

    def steer(self, model: Any) -> AbstractContextManager[Any]:
        """Within it the model's attention is guided."""


def guided(
    guidance: Guiding | None, model: Any, where: str | Sequence[str] = "*"
) -> AbstractContextManager[Any]:
    """A ``with`` in which guidance holds, at these layers if it does not name any itself."""
    if guidance is None:
        return nullcontext()
    if not isinstance(guidance, Guiding):
        raise TypeError(
            "guidance must be what heedful.explain.guide returns, Guidance.stack of several: "
            f"got {named(guidance)}"
        )
    return (guidance if guidance.where is not None else guidance.at(where)).steer(model)


def layers_of_source(model: Any) -> list[str]:
    """The layers of an encoder-decoder that have scores of the source's tokens."""
    return [
        name
        for name, layer in attention_layers(model).items()
        if layer.score_kind != "linear" and ("encoder" in name or "multihead_attn" in name)
    ]
