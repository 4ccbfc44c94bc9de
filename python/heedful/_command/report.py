"""The main job from beginning to end, with its report on the terminal."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful._command import digits, drawing
from heedful._command.picture import ATTENDED, Row, save
from heedful._printable import printable

Array = NDArray[Any]

DRAWN = 3  # training images drawn beside each test image


def run(show: Sequence[int], picture: Path | None, insist: bool) -> None:
    """Classify the test half, print what happened, and save the picture if a path is given.

    A picture that cannot be saved is an error only if the caller insists on it.
    """
    train, test = digits.halves()
    values = digits.one_hot(train.labels)
    scale = _choose_scale(train, test)
    out = heedful.attention(test.pixels, train.pixels, values, scale=scale)  # (898, 10)
    right = int(np.sum(out.argmax(axis=-1) == test.labels))
    print(f"\nAccuracy on the test half: {right / len(out):.1%} ({right} of {len(out)})")
    alone = int(np.sum(digits.nearest(train, test) == test.labels))
    print(f"  the nearest training image alone: {alone / len(out):.1%} ({alone} of {len(out)})")

    _compare_with_numpy(train, test, values, scale)

    asked = [("asked for", (number - 1) // 2) for number in show]
    chosen = asked or digits.examples(out, test.labels)
    rows = _rows(train, test, out, scale, chosen)
    for row in rows:
        print("\n" + _describe(row, len(train.labels)))
    if picture is None:
        return
    heading = f"Handwritten digits by attention alone: {right / len(out):.1%} right"
    heading += f", by the nearest image alone: {alone / len(out):.1%}"
    try:
        _save_picture(rows, heading, picture)
    except (OSError, ModuleNotFoundError) as error:
        if insist:
            raise
        print(f"\nNo picture: {printable(str(error))}")


def _choose_scale(train: digits.Half, test: digits.Half) -> float:
    sizes = len(test.labels), len(train.labels)
    print("Handwritten digits by attention alone:  out = softmax(scale * query key^T) value")
    print(f"  query  a test image, 64 pixels of length 1  {sizes[0]} images, the odd-numbered half")
    print(
        f"  key    the training images                  {sizes[1]} images, the even-numbered half"
    )
    print("  value  the digit that each training image shows, as one of ten")
    accuracies = digits.leave_one_out(train)
    scale = digits.best_scale(accuracies)
    print("\nThe scale, chosen on the training half: each image classified by all the others")
    print("  scale  " + "".join(f"{s:>9.0f}" for s in accuracies))
    print("  right  " + "".join(f"{reached:>9.1%}" for reached in accuracies.values()))
    print(f"  chosen: {scale:.0f}")
    return scale


def _compare_with_numpy(train: digits.Half, test: digits.Half, values: Array, scale: float) -> None:
    def by_numpy() -> Array:
        return digits.numpy_attention(test.pixels, train.pixels, values, scale)

    def by_heedful() -> Array:
        return heedful.attention(test.pixels, train.pixels, values, scale=scale)

    difference = float(np.abs(by_numpy() - by_heedful()).max())
    if not difference < 1e-4:
        raise RuntimeError(
            f"heedful and NumPy disagree by {difference:.1e} on the digits: please report this"
        )
    seconds = digits.times({"NumPy": by_numpy, "heedful": by_heedful})
    print(f"\nTime for all {len(test.labels)} test images (median)")
    print(f"  NumPy    {1e3 * seconds['NumPy']:7.3f} ms")
    print(f"  heedful  {1e3 * seconds['heedful']:7.3f} ms   "
          f"{seconds['NumPy'] / seconds['heedful']:.1f} x as fast, "
          f"{_count(heedful.get_num_threads(), 'thread')}")  # fmt: skip


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rows(
    train: digits.Half,
    test: digits.Half,
    out: Array,
    scale: float,
    chosen: Sequence[tuple[str, int]],
) -> list[Row]:
    places = [place for _, place in chosen]
    weights = heedful.attention_weights(test.pixels[places], train.pixels, scale=scale)  # (n, 899)
    rows = []
    for (title, place), row_weights in zip(chosen, weights, strict=True):
        top = np.argsort(-row_weights, kind="stable")[:ATTENDED]
        attended = [
            (int(train.number[j]), train.images[j], int(train.labels[j]), float(row_weights[j]))
            for j in top
        ]
        number, label = int(test.number[place]), int(test.labels[place])
        rows.append(Row(title, number, test.images[place], label, out[place], attended))
    return rows


def _describe(row: Row, keys: int) -> str:
    answer = int(row.votes.argmax())
    columns = [
        [f"test image {row.number}", f"a {row.label}, answer {answer}", *drawing.draw(row.image)]
    ]
    for number, image, label, weight in row.attended[:DRAWN]:
        columns.append([f"image {number}, a {label}", f"weight {weight:.3f}", *drawing.draw(image)])
    remainder = 1 - sum(weight for *_, weight in row.attended)
    more = "".join(
        f"image {number} (a {label}) {weight:.3f}, "
        for number, _, label, weight in row.attended[DRAWN:]
    )
    heading = row.title[0].upper() + row.title[1:]
    return (
        f"{heading}, and what it attended to\n{drawing.side_by_side(columns)}\n"
        f"then {more}the {keys - len(row.attended)} others {abs(remainder):.3f}"
    )


def _save_picture(rows: Sequence[Row], heading: str, path: Path) -> None:
    if find_spec("matplotlib") is None:
        raise ModuleNotFoundError("a picture needs matplotlib: pip install matplotlib")
    save(rows, heading, path)
    print(f"\nPicture: {printable(str(path.resolve()))}")
