"""Totals: sums of the loss and the metrics over examples."""

from __future__ import annotations

import math
from typing import Any

from heedful.training.losses._loss import LOSSES
from heedful.training.metrics._metrics import Metric
from heedful.training.metrics._sums import Mean, Sum


class Totals:
    """Sums over batches that can be added; those of no batch initially."""

    def __init__(self, metrics: list[tuple[str, Metric]]) -> None:
        self.sums: dict[str, Sum | None] = dict.fromkeys(["loss", *(name for name, _ in metrics)])

    @classmethod
    def of(
        cls, metrics: list[tuple[str, Metric]], loss_fn: Any, loss: float, target: Any,
        prediction: Any, weight: Any, penalty: float | None = None,
    ) -> Totals:  # fmt: skip
        totals = cls(metrics)
        counted = float(_count(loss_fn, target, weight))
        totals.sums["loss"] = Mean(loss * counted, counted)
        for name, metric in metrics:
            totals.sums[name] = metric(target, prediction, weight)
        if penalty is not None:
            totals.sums["penalty"] = Mean(penalty * counted, counted)
        return totals

    def __iadd__(self, other: Totals) -> Totals:
        for name, more in other.sums.items():
            before = self.sums.get(name)
            if before is None or more is None:
                self.sums[name] = before or more
            else:
                before.add(more)
        return self

    def means(self) -> dict[str, float]:
        return {name: math.nan if own is None else own.value() for name, own in self.sums.items()}

    def latest(self) -> dict[str, float]:
        """The same after a batch, where it must be fast."""
        return {name: math.nan if own is None else own.latest() for name, own in self.sums.items()}


def _count(loss_fn: Any, target: Any, weight: Any) -> int:
    if isinstance(loss_fn, LOSSES):
        return loss_fn.count(target, weight)
    count_of = getattr(loss_fn, "count", None)  # of a loss that ignores targets
    return len(target) if count_of is None else int(count_of(target))
