"""heedful on no more threads than PyTorch uses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

import heedful


def as_many_threads() -> AbstractContextManager[Any]:
    """Within it at most ``torch.get_num_threads()``; fewer where heedful was told so."""
    allowed: int = torch.get_num_threads()
    return heedful.num_threads(allowed) if allowed < heedful.get_num_threads() else nullcontext()
