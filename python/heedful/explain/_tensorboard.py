"""TensorBoard: where a model looks while it is trained, for TensorBoard."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heedful._checks import named, size
from heedful._printable import printable
from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain._attention_map_of import attention_map
from heedful.explain._layer_choice import chosen_layers
from heedful.explain._thumbnails import thumbnails
from heedful.training import AttentionMonitor, Callback

_FILES = itertools.count()
_SIDE = 64  # pixels of a head, at most
_MIN_SIDE = 48  # and at least about: small maps are enlarged
_PAPER, _FULL = np.array([255, 255, 255]), np.array([190, 75, 0])


class TensorBoard(Callback):
    """A callback that writes the training, and where the model looks, for TensorBoard.

    ::

        history/<name>                     scalar      loss, metrics, val_…
        <layer>/<statistic>/<head>         scalar      as AttentionMonitor, of the probe
        entropy/<layer>                    histogram   −Σ_j w log w of each head and query, in nats
        attention/<layer>                  image       the heads: queries down, keys to the right
        model, probe                       text        once in a fit

    History is written after each epoch, what is computed of the probe after the first and then
    after every `every` epochs; the step is that of the optimizer. ``tensorboard --logdir <folder>``
    shows them.

    Parameters
    ----------
    folder : str or path
        Where the files of events go; it is created. Another fit adds a file.
    probe : array_like, or a tuple of them, optional
        Inputs of the model, the same for every row: a few are enough. Without it no attention is
        written.
    layers : str or sequence of str, default "*"
        Patterns of the dotted names of attention layers, see :func:`attention_map`.
    every : int, default 1
        Epochs from one look at the probe to the next.
    tokens : sequence of str, or a pair of them, optional
        What stands at the positions of the probe's first item; positions past them are padding.
    rows : int or sequence of int, optional
        Queries of the images and histograms; None is all. For long inputs some are enough: their
        weights alone are computed.

    Raises
    ------
    ImportError
        Without tensorboardX or Pillow.
    NotADirectoryError
        For a folder that is a file.
    ValueError, TypeError
        In fit: layers that the model lacks, and what :func:`attention_map` refuses.

    Notes
    -----
    Images and histograms are of the probe's first item; in an image every row is coloured relative
    to its strongest key. Each look computes the probe twice in inference.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import TensorBoard
    >>> from heedful.layers import GlobalAveragePooling, Linear, MultiHeadAttention, Sequential
    >>> model = Sequential(MultiHeadAttention(4, 2), GlobalAveragePooling(), Linear(4, 1))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> x = np.ones((8, 3, 4), np.float32)
    >>> board = TensorBoard("runs/first", probe=x[:1])  # doctest: +SKIP
    >>> history = model.fit(x, x[:, 0, :1], callbacks=board, verbose=False)  # doctest: +SKIP
    """

    folder: Path
    layers: str | Sequence[str]
    tokens: Any
    rows: int | Sequence[int] | None
    model: Any

    def __init__(
        self, folder: str | os.PathLike[str], probe: Any = None, layers: str | Sequence[str] = "*",
        every: int = 1, *, tokens: Any = None, rows: int | Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(folder, (str, os.PathLike)):
            raise TypeError(f"folder must be a str or a path: got {named(folder)}")
        if Path(folder).exists() and not Path(folder).is_dir():
            raise NotADirectoryError(f"folder must be a folder: got the file {os.fspath(folder)!r}")
        self._writer_class = _summary_writer()
        self.folder, self.layers, self.tokens, self.rows = Path(folder), layers, tokens, rows
        self.probe: tuple[Any, ...] | None = (
            None if probe is None else probe if isinstance(probe, tuple) else (probe,)
        )
        self.every: int = size("every", every)
        self._writer: Any = None
        self._monitor: AttentionMonitor | None = None

    def on_begin(self, model: Any) -> None:
        self.model, self._monitor = model, None
        found = {} if self.probe is None else chosen_layers(model, "layers", self.layers)
        # by its own name a file of the same second would replace the one before
        self._writer = self._writer_class(
            str(self.folder), filename_suffix=f".{os.getpid()}.{next(_FILES):04}",
            max_queue=1000,  # of 10 events: the training would wait for the disk
        )  # fmt: skip
        names = [name for name, layer in found.items() if layer.score_kind == "dot product"]
        if names:  # those that it can read; it leaves warnings to the user's own
            self._monitor = AttentionMonitor(
                names, min_evenness=0, max_score=np.finfo(np.float64).max, writer=self._writer
            )
        self._write_text("model", repr(model))
        if self.tokens is not None:
            self._write_text("probe", " ".join(_flat(self.tokens)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        step = self.model.optimizer.steps
        for name, value in logs.items():
            self._writer.add_scalar(f"history/{name}", float(value), step)
        if self.probe is None or epoch % self.every:
            return
        if self._monitor is not None:
            self._monitor.record(self.model, *self.probe)
        self._write_map(
            attention_map(self.model, self.probe, self.layers, rows=self.rows, tokens=self.tokens),
            step,
        )

    def on_end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_map(self, found: AttentionMap, step: int) -> None:
        for layer in found.layers:
            name = layer.name or "attention"
            self._writer.add_histogram(f"entropy/{name}", _entropy(layer.weights).ravel(), step)
            picture = _coloured(_side_by_side(thumbnails(layer, _SIDE)))
            self._writer.add_image(f"attention/{name}", picture, step, dataformats="HWC")

    def _write_text(self, tag: str, text: str) -> None:
        """As it stands: a block of code, in which Markdown is no markup."""
        shown = "\n".join(f"    {printable(line)}" for line in text.split("\n"))
        self._writer.add_text(tag, shown, self.model.optimizer.steps)


def _summary_writer() -> Any:
    try:
        import PIL.Image  # noqa: F401, tensorboardX needs it for images
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ImportError(
            "TensorBoard needs the packages tensorboardX and Pillow: "
            "pip install tensorboardX pillow"
        ) from None
    return SummaryWriter


def _entropy(weights: Array) -> Array:
    """(H, Lq) of weights (H, Lq, Lk), in nats."""
    exact = weights.astype(np.float64)
    found: Array = -(exact * np.log(np.where(exact > 0, exact, 1))).sum(-1)
    return found


def _side_by_side(pictures: Array) -> Array:
    """Pictures (H, h, w) in rows, about as many as in a column, with a line between them."""
    heads, height, width = pictures.shape
    scale = max(1, _MIN_SIDE // max(height, width))
    enlarged = pictures.repeat(scale, 1).repeat(scale, 2)
    columns = math.ceil(math.sqrt(heads))
    rows = math.ceil(heads / columns)
    height, width = height * scale + 2, width * scale + 2
    sheet = np.full((rows * height, columns * width), -1, np.int16)
    for head, picture in enumerate(enlarged):
        top, left = head // columns * height, head % columns * width
        sheet[top : top + height - 2, left : left + width - 2] = picture
    return sheet[:-2, :-2]


def _coloured(sheet: Array) -> Array:
    """uint8 (height, width, 3) of 0 to 255; grey where there is no picture, −1."""
    share = np.maximum(sheet, 0)[..., None] / 255
    colours = np.where(sheet[..., None] < 0, 128, _PAPER + share * (_FULL - _PAPER))
    return np.rint(colours).astype(np.uint8)


def _flat(tokens: Any) -> list[str]:
    """Of one sequence, or of source and target, in their order."""
    return [one for token in tokens for one in ([token] if isinstance(token, str) else token)]
