"""Figures and axes to draw on, and the colours of all pictures."""

from __future__ import annotations

from typing import Any

from heedful._checks import named

INK, ACCENT, QUIET, PAPER = "#222222", "#2a6fbb", "#c9ced6", "#e9ecf1"
SEQUENTIAL, DIVERGING = "Blues", "RdBu_r"


def new_figure(width: float, height: float) -> Any:
    """A figure in inches, not pyplot's: no window system, no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "heedful.explain.plot needs the package matplotlib: pip install matplotlib"
        ) from None
    return Figure(figsize=(width, height), dpi=120, facecolor="white", layout="constrained")


def given_axes(ax: Any) -> Any:
    if not callable(getattr(ax, "imshow", None)):
        raise TypeError(f"ax must be matplotlib axes: got {named(ax)}")
    return ax


def size_in_points(ax: Any) -> tuple[float, float]:
    """Width and height of axes, about: before the layout has made room for labels."""
    extent = ax.get_window_extent()
    scale = 72 / ax.figure.dpi
    return extent.width * scale, extent.height * scale


def add_colour_bar(ax: Any, image: Any, label: str) -> None:
    width, _ = size_in_points(ax)
    # within the axes' own frame: as high as the picture, whatever the layout makes of it
    place = ax.inset_axes((1 + 8 / width, 0, 9 / width, 1))
    bar = ax.figure.colorbar(image, cax=place)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2, colors=INK)
    bar.set_label(label, size=8.5, color=INK)
