"""InputBatches: inputs for predict, batch by batch, without targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from heedful._checks import named
from heedful.base._types import Array
from heedful.training._batches import Inputs, slices
from heedful.training._stream import yields_batches


class InputBatch(NamedTuple):
    by_position: tuple[Array, ...]
    by_name: dict[str, Array]
    examples: int


class InputBatches:
    """Arrays split into batches of a size, or an iterable of batches, which may have targets."""

    def __init__(self, x: Any, batch_size: int, steps: int | None) -> None:
        self.batch_size, self.steps = batch_size, steps
        self.given: Inputs | Iterable[Any] = x if yields_batches(x) else Inputs("x", x)

    @property
    def count(self) -> int | None:
        """Number of batches, None if unknown."""
        if isinstance(self.given, Inputs):
            there = -(-self.given.count // self.batch_size)
        else:
            try:
                there = len(self.given)  # type: ignore[arg-type]
            except TypeError:
                return self.steps
        return there if self.steps is None else min(there, self.steps)

    def __iter__(self) -> Iterator[InputBatch]:
        return islice(self._all(), self.steps)

    def _all(self) -> Iterator[InputBatch]:
        if isinstance(self.given, Inputs):
            whole = self.given
            for rows in slices(whole.count, self.batch_size):
                yield InputBatch(*whole.take(rows), rows.stop - rows.start)
            if not whole.count:  # no example: the outputs still have a shape
                yield InputBatch(*whole.take(slice(0, 0)), 0)
            return
        number = 0
        for number, given in enumerate(self.given, 1):
            inputs = Inputs(f"batch {number}, x", _without_targets(given, number))
            yield InputBatch(inputs.by_position, inputs.by_name, inputs.count)
        if not number:
            raise ValueError("x must yield at least one batch: got none")


def _without_targets(given: Any, number: int) -> Any:
    """x of x, (x,), (x, y) and (x, y, sample_weight), which may be lists as of a DataLoader."""
    listed = isinstance(given, list) and any(hasattr(part, "__array__") for part in given)
    if not listed and not isinstance(given, tuple):
        return given
    if len(given) not in (1, 2, 3):
        raise ValueError(
            f"batch {number} must be x, (x,), (x, y) or (x, y, sample_weight), where several "
            f"inputs are a tuple ((a, b),): got {named(given)}"
        )
    return given[0]
