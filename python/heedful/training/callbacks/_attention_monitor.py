"""AttentionMonitor: statistics of the attention weights of a model while it is trained."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import below_one, named, one_of, positive, size
from heedful.base._types import Array
from heedful.training.callbacks._attention_statistics import (
    AttentionStatistics,
    attention_statistics,
)
from heedful.training.callbacks._callback import Callback, Logs
from heedful.training.callbacks._recorder import Recorder, attention_layers

_REMEDIES = (
    'try qk_norm="rms" or "l2", a lower learning rate, a longer warmup, or a softcap of the scores'
)


class Finding(NamedTuple):
    """What :class:`AttentionMonitor` warned of.

    Attributes
    ----------
    step : int
        The number of the optimizer's steps before it.
    layer : str
        The dotted name of the attention layer.
    head : int
        The one with the lowest evenness, or with the largest score.
    message : str
    """

    step: int
    layer: str
    head: int
    message: str


class AttentionMonitor(Callback):
    """Records what the attention of a model does while it is trained, and warns when it collapses.

    ::

        entropy        = mean over queries i of −Σ_j w[i, j] log w[i, j]      w the weights
        evenness       = entropy / entropy of equal weights of the same keys
        largest_score  = max_ij score[i, j]            largest_weight = mean_i max_j w[i, j]
        first_token    = mean_i w[i, 0]                itself         = mean_i w[i, i]

    of each head, over the queries that see a key. It warns once in a fit of each layer whose
    weights collapse, where the mean evenness of its heads falls below `min_evenness`, and whose
    scores explode, above `max_score`. Both come before the loss stops falling: weights that are
    nearly one-hot have nearly no gradient.

    Parameters
    ----------
    layers : str or sequence of str, optional
        Dotted names of :class:`MultiHeadAttention` layers, such as "encoder.layers.0.self_attn";
        None is all.
    every : int, default 10
        It looks at every step whose number is a multiple of it.
    probe : array_like, or a tuple of them, optional
        Inputs of the model: the same for every row of the history, in a pass of their own without
        dropout. None is the batch of the step itself, which needs no other pass.
    max_queries : int, default 512
        About how many queries of a call are looked at, evenly spaced over all items, at least one
        of each.
    min_evenness : float, default 0.05
        At least 0 and below 1; 0 never warns.
    max_score : float, default 100
    writer : optional
        With a method ``add_scalar(tag, value, step)``, as ``SummaryWriter`` of TensorBoard has in
        PyTorch and tensorboardX: it receives every statistic of every head.

    Attributes
    ----------
    steps : list of int
        Numbers of the optimizer's steps before each row.
    history : dict of dict of list of numpy.ndarray, (H,)
        ``history[layer][statistic][row]``; `itself` is NaN for attention to another sequence.
    findings : list of Finding
        What it has warned of.

    Raises
    ------
    ValueError
        In fit: names of layers that the model lacks, or a model without any.

    Notes
    -----
    Zhai et al. 2023, https://arxiv.org/abs/2303.06296, on entropy collapse; Dehghani et al. 2023,
    https://arxiv.org/abs/2302.05442, on scores that explode. Weights are those before dropout and
    noise, in memory for a few query rows at a time. Models that were trained well have single heads
    with an evenness near 0, such as those that read the previous token.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import GlobalAveragePooling, Linear, MultiHeadAttention, Sequential
    >>> from heedful.training import AttentionMonitor
    >>> model = Sequential(MultiHeadAttention(4, 2, rng=0), GlobalAveragePooling(), Linear(4, 1))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> monitor = AttentionMonitor(every=2)
    >>> x = np.random.default_rng(0).standard_normal((8, 5, 4))
    >>> history = model.fit(x, x[:, 0, :1], batch_size=2, callbacks=monitor, verbose=False)
    >>> monitor.steps
    [0, 2]
    >>> np.array(monitor.history["0"]["entropy"]).shape  # rows, heads
    (2, 2)
    """

    every: int
    max_queries: int

    def __init__(
        self, layers: str | Sequence[str] | None = None, *, every: int = 10, probe: Any = None,
        max_queries: int = 512, min_evenness: float = 0.05, max_score: float = 100.0,
        writer: Any = None,
    ) -> None:  # fmt: skip
        self.layers: list[str] | None = _names(layers)
        self.every, self.max_queries = size("every", every), size("max_queries", max_queries)
        self.min_evenness: float = below_one("min_evenness", min_evenness)
        self.max_score: float = positive("max_score", max_score)
        self.probe: tuple[Any, ...] | None = (
            None if probe is None else probe if isinstance(probe, tuple) else (probe,)
        )
        if writer is not None and not callable(getattr(writer, "add_scalar", None)):
            raise TypeError(
                "writer must have add_scalar(tag, value, step), as TensorBoard's SummaryWriter: "
                f"got {named(writer)}"
            )
        self.writer = writer
        self.steps: list[int] = []
        self.history: dict[str, dict[str, list[Array]]] = {}
        self.findings: list[Finding] = []
        self._found: dict[str, Any] = {}
        self._recorder: Recorder | None = None
        self._warned: set[tuple[str, str]] = set()

    def on_begin(self, model: Any) -> None:
        self._found = attention_layers(model, self.layers)
        self._warned.clear()
        self.model = model

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._before_step()

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._take()
        self._before_step()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._detach()

    def on_end(self) -> None:
        self._take()  # what the step that failed has recorded
        self._found = {}

    def record(self, model: Any, *inputs: Any, **options: Any) -> None:
        """Adds a row for these inputs of the model, in inference: for training loops of your own.

        Its step is that of the model's optimizer, or if it was not compiled one more than the last.
        """
        self._found = attention_layers(model, self.layers)
        trainer = vars(model).get("_trainer")
        following = self.steps[-1] + 1 if self.steps else 0
        self._attach(following if trainer is None else trainer.optimizer.steps, False)
        try:
            model(*inputs, **options)
        except BaseException:
            self._detach()
            raise
        self._take()

    def plot(self, statistic: str = "entropy", *, ax: Any = None) -> Any:
        """A picture of one statistic: the mean over the heads of each layer, and their range.

        Parameters
        ----------
        statistic : str
            A name in the history of a layer.
        ax : matplotlib.axes.Axes, optional
            Where to draw; None is a new figure, ``ax.figure``. It is not shown.

        Returns
        -------
        matplotlib.axes.Axes
        """
        statistic = one_of("statistic", statistic, AttentionStatistics._fields)
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(7, 4), layout="constrained").subplots()
        for name, rows in self.history.items():
            values = np.array(rows[statistic])
            (line,) = ax.plot(self.steps, values.mean(1), label=name or "attention")
            ax.fill_between(
                self.steps, values.min(1), values.max(1), color=line.get_color(), alpha=0.2
            )
        ax.set_xlabel("step")
        ax.set_ylabel(statistic.replace("_", " "))
        if self.history:
            ax.legend()
        return ax

    def _before_step(self) -> None:
        steps = self.model.optimizer.steps
        if steps % self.every or self.steps[-1:] == [steps]:
            return
        if self.probe is None:
            self._attach(steps, True)
        else:
            self.record(self.model, *self.probe)

    def _attach(self, step: int, training: bool) -> None:
        self._detach()
        self._step, self._recorder = step, Recorder(self._found, training)
        self._recorder.begin()

    def _detach(self) -> dict[str, list[Any]]:
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return {}
        recorder.end()
        return recorder.calls

    def _take(self) -> None:
        """The row of a pass that was recorded."""
        calls = self._detach()
        if not any(calls.values()):
            return
        self.steps.append(self._step)
        for name, of_layer in calls.items():
            if of_layer:
                found = attention_statistics(of_layer, self.max_queries)
            else:  # this pass did without the layer
                found = AttentionStatistics(*np.full((6, self._found[name].num_heads), np.nan))
            rows = self.history.setdefault(name, {field: [] for field in found._fields})
            for statistic, values in found._asdict().items():
                rows[statistic].append(values)
                self._write(f"{name or 'attention'}/{statistic}", values)
            self._warn(name, found)

    def _write(self, tag: str, values: Array) -> None:
        if self.writer is not None:
            for head, value in enumerate(values):
                self.writer.add_scalar(f"{tag}/{head}", float(value), self._step)

    def _warn(self, name: str, found: AttentionStatistics) -> None:
        shown, at = repr(name) if name else "the attention", f"at step {self._step}"
        evenness, score = found.evenness, found.largest_score
        if np.mean(evenness) < self.min_evenness:
            self._find(
                "collapse", name, int(np.argmin(evenness)),
                f"the weights of {shown} collapse {at}: the mean entropy of its heads is "
                f"{np.mean(found.entropy):.2g} nats, {100 * np.mean(evenness):.2g} % of that of "
                f"equal weights; {_REMEDIES}",
            )  # fmt: skip
        if np.nanmax(score, initial=-np.inf) > self.max_score:
            head = int(np.nanargmax(score))
            self._find(
                "explosion", name, head,
                f"the scores of {shown} explode {at}: the largest, of head {head}, is "
                f"{score[head]:.3g}; {_REMEDIES}",
            )  # fmt: skip

    def _find(self, kind: str, name: str, head: int, message: str) -> None:
        if (kind, name) in self._warned:
            return
        self._warned.add((kind, name))
        self.findings.append(Finding(self._step, name, head, message))
        warnings.warn(message, UserWarning, stacklevel=2)


def _names(given: Any) -> list[str] | None:
    if given is None:
        return None
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"layers must be names of attention layers: got {named(given)}")
    if not names:
        raise ValueError("layers must be names of attention layers, or None for all: got none")
    return list(names)
