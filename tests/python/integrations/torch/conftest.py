"""heedful's kernels in PyTorch: all sizes, the calls that reach them, and PyTorch's own again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def restored() -> Iterator[None]:
    """PyTorch's random numbers from the beginning, and its own kernels afterwards."""
    import torch

    import heedful.integrations.torch as heedful_torch

    torch.manual_seed(0)
    yield
    heedful_torch.restore()


@pytest.fixture
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of all sizes are computed by heedful."""
    from heedful.integrations.torch import _flash_attention

    for limits in (_flash_attention.SMALL_FORWARD, _flash_attention.SMALL_BACKWARD):
        for narrow in limits:
            monkeypatch.setitem(limits, narrow, 0)


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch, every_size: None) -> list[str]:
    """The names of heedful's functions that calls reach."""
    from heedful.integrations.torch import _flash_attention

    names: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        function = getattr(_flash_attention.heedful, name)

        def noted(*arrays: Any, **options: Any) -> Any:
            names.append(name)
            return function(*arrays, **options)

        return noted

    for name in ("attention", "attention_backward"):
        monkeypatch.setattr(_flash_attention.heedful, name, noting(name))
    return names
