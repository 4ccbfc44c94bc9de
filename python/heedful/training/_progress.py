"""A bar that moves while an epoch is computed, by tqdm where it is installed."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """The bar of one epoch; nothing where tqdm is missing or nobody looks."""

    def __init__(self, steps: int, title: str, shown: bool) -> None:
        self.bar: Any = None
        if shown and sys.stderr is not None and sys.stderr.isatty():
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            self.bar = tqdm(total=steps, desc=title, leave=False)

    def advance(self, logs: dict[str, float]) -> None:
        if self.bar is not None:
            self.bar.set_postfix({name: f"{value:.4g}" for name, value in logs.items()}, False)
            self.bar.update()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self.bar is not None:
            self.bar.close()

    @staticmethod
    def line(epoch: int, last: int, logs: dict[str, float]) -> None:
        """What stays of an epoch."""
        shown = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        print(f"epoch {epoch}/{last}  {shown}", flush=True)
