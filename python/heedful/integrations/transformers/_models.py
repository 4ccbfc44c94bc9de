"""Which of the library's models let their attention be chosen."""

from __future__ import annotations

import sys
from typing import Any

import torch
from transformers import PreTrainedModel


def refuse_own_attention(config: Any) -> None:
    """Raise where a configuration's models compute attention themselves, whatever they are told.

    The library lets them be made with any registered name, and they would read its masks wrongly.
    """
    if config is not None and _has_own_attention(type(config)):
        name = type(config).__name__
        raise ValueError(
            f'attn_implementation="heedful" must not be given to models of {name}, which compute '
            'their attention themselves: use attn_implementation="eager"'
        )


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _has_own_attention(kind: type) -> bool:
    module = sys.modules.get(kind.__module__.replace("configuration_", "modeling_"))
    if module is None:  # code of others
        return False
    # the library judges by the source of the module that a class is of
    models: list[Any] = [
        one
        for one in vars(module).values()
        if isinstance(one, type)
        and issubclass(one, PreTrainedModel)
        and one.__module__ == module.__name__
    ]
    return any(not one._can_set_attn_implementation() for one in models)
