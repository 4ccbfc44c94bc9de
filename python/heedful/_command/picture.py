"""The picture of the main job: test images, the training images attended to, and the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from heedful._whole_file import whole_file

ATTENDED = 5  # training images shown for each test image
INK, ACCENT, WRONG, QUIET = "#222222", "#2a6fbb", "#c0392b", "#c9ced6"


@dataclass(frozen=True)
class Row:
    """One test image with the training images that it attended to most."""

    title: str
    number: int
    image: NDArray[Any]
    label: int
    votes: NDArray[Any]  # (10,) the output of attention: the weight that went to each digit
    attended: Sequence[tuple[int, NDArray[Any], int, float]]  # number, image, label, weight


def save(rows: Sequence[Row], heading: str, path: Path) -> None:
    """Draw the rows and write them to `path`; its extension selects the format."""
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    figure = Figure(figsize=(12.0, 0.8 + 2.05 * len(rows)), dpi=120, facecolor="white")
    top = 1 - 0.75 / float(figure.get_figheight())
    figure.text(
        0.02, 1 - 0.3 / float(figure.get_figheight()), heading, size=14, color=INK, va="center"
    )
    grid = figure.add_gridspec(
        len(rows),
        ATTENDED + 2,
        width_ratios=[1.25, *[1.0] * ATTENDED, 2.1],
        left=0.02, right=0.985, top=top - 0.02, bottom=0.5 / float(figure.get_figheight()),
        wspace=0.22, hspace=0.66,
    )  # fmt: skip
    for index, row in enumerate(rows):
        _draw_row(figure, grid, index, row, last=index == len(rows) - 1)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower())


def _draw_row(figure: Any, grid: Any, index: int, row: Row, last: bool) -> None:
    answer = int(row.votes.argmax())
    colour = ACCENT if answer == row.label else WRONG
    axes = figure.add_subplot(grid[index, 0])
    axes.imshow(row.image, cmap="gray_r", vmin=0, vmax=16)
    axes.set_title(f"{row.title}\ntest image {row.number}", size=9.5, color=colour, weight="bold")
    _frame(axes, colour, 2.5)

    largest = max(weight for *_, weight in row.attended)
    for column, (number, image, label, weight) in enumerate(row.attended, start=1):
        axes = figure.add_subplot(grid[index, column])
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=16)
        axes.set_title(f"image {number}, a {label}", size=8.5, color=INK)
        _frame(axes, QUIET, 1.0)
        bar_colour = ACCENT if label == row.label else WRONG
        bar = axes.inset_axes((0.0, -0.13, 1.0, 0.09))
        bar.barh([0], [weight / largest], color=bar_colour, height=1.0)
        bar.set_xlim(0, 1)
        bar.set_ylim(-0.5, 0.5)
        bar.axis("off")
        axes.text(0.5, -0.17, f"weight {weight:.3f}", size=8.5, color=INK, ha="center", va="top",
                  transform=axes.transAxes)  # fmt: skip

    axes = figure.add_subplot(grid[index, ATTENDED + 1])
    axes.bar(
        range(10), row.votes, color=[colour if d == answer else QUIET for d in range(10)], width=0.8
    )
    axes.set_xticks(range(10))
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylim(0, 1)
    axes.tick_params(labelsize=8, length=0, colors=INK)
    axes.set_title(f"answer {answer}, it is a {row.label}", size=9.5, color=colour, weight="bold")
    if last:
        axes.set_xlabel("sum of weights for each digit", size=8.5, color=INK, labelpad=2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _frame(axes: Any, colour: str, width: float) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(width)
