"""Tiny models of the transformers library with random weights, saved to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

transformers.utils.logging.disable_progress_bar()


def random_peer(config: Any, head: str, seed: int = 0) -> Any:
    """The model in evaluation, every parameter drawn: zeros and ones would hide mistakes."""
    torch.manual_seed(seed)
    peer = getattr(transformers, head)._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            deviation = 1.5 * parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3
            parameter.normal_(std=deviation)
    return peer


def save(peer: Any, folder: Path, dtype: str = "float32", **options: Any) -> None:
    """The files of `save_pretrained`; the peer has the rounded weights in float32 afterwards."""
    peer.to(getattr(torch, dtype)).save_pretrained(folder, **options)
    peer.float()


def computed(peer: Any, **inputs: Any) -> Any:
    """The peer's outputs for arrays, all hidden states too."""
    given = {
        name: torch.tensor(np.asarray(value)) for name, value in inputs.items() if value is not None
    }
    with torch.no_grad():
        return peer(**given, output_hidden_states=True, return_dict=True)
