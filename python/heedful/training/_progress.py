"""The progress bar of an epoch, by tqdm where it is installed."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Any

import numpy as np

from heedful._checks import is_integer, named


class Progress:
    """The bar of one epoch; nothing where tqdm is missing or the output is not interactive."""

    def __init__(self, steps: int | None, title: str, shown: bool) -> None:
        self.bar: Any = None
        if shown and is_interactive():
            with warnings.catch_warnings():
                # tqdm warns where it is imported in a notebook without widgets: it has a text bar
                warnings.simplefilter("ignore")
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
    def line(title: str, logs: dict[str, float]) -> None:
        """The line that is printed after an epoch."""
        shown = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        print(f"{title}  {shown}", flush=True)


def is_interactive() -> bool:
    """Whether stderr is a terminal, or this is a notebook, whose stderr is not."""
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if shell_of is None else shell_of()
    return "IPKernelApp" in (getattr(shell, "config", None) or ())


def as_verbose(given: Any) -> tuple[bool, bool]:
    """Whether lines are printed, and whether a bar is shown; Keras's numbers are accepted."""
    if isinstance(given, (bool, np.bool_)):
        return bool(given), bool(given)
    if is_integer(given) and given in (0, 1, 2):
        return bool(given), given == 1
    if isinstance(given, str) and given == "auto":
        return True, True
    kind = ValueError if isinstance(given, str) or is_integer(given) else TypeError
    raise kind(f"verbose must be True, False, 0, 1, 2 or 'auto': got {named(given)}")
