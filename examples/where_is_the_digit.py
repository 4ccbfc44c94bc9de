"""Find what was never pointed out: a digit on a noisy canvas, among decoys, learned from labels.

A canvas of 32 × 32 pixels has a handwritten digit of 8 × 8 somewhere, noise everywhere, and decoys:
digits whose quarters stand in other places, so that their strokes and their ink are the same. The
model sees 49 overlapping windows, pools them by attention and names the digit. It is trained on
names alone. Does its heaviest window lie where the digit is? Digits stand anywhere and windows on a
grid of 4 pixels, so that the best window overlaps the digit by 0.65 on average (intersection over
union), any window by 0.05.

    python examples/where_is_the_digit.py                     three seeds, a minute each
    python examples/where_is_the_digit.py --seeds 0 --picture where.png
    python examples/where_is_the_digit.py --small             a few epochs, as the tests run it

Nothing mixes the windows before they are pooled: so here attention is as good an explanation as
gradients, which the table of faithfulness measures.
"""

# %% Canvases: `canvases` and `windows` can be imported by other scripts
import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heedful.data import load_digits
from heedful.explain import faithfulness, gradient_times_input, integrated_gradients
from heedful.layers import AttentionPooling, Linear, Sequential, Softmax
from heedful.training import AdamW, WarmupCosine

SIDE, DIGIT, STRIDE = 32, 8, 4
GRID = (SIDE - DIGIT) // STRIDE + 1  # 7 windows in a row
PAPER = -0.5  # a pixel without ink, as the model sees it
NOISE = 0.15  # standard deviation before its absolute value is taken


class Canvases(NamedTuple):
    pixels: np.ndarray  # (N, 32, 32), 0 is paper and 1 is ink
    labels: np.ndarray  # (N,) the digit
    corners: np.ndarray  # (N, 2) row and column of its first pixel
    decoys: np.ndarray  # (N, decoys, 2) those of the decoys


def scrambled(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Digits (N, 8, 8) whose quarters stand in each other's places."""
    quarters = images.reshape(-1, 2, 4, 2, 4).swapaxes(2, 3).reshape(-1, 4, 4, 4)
    moved = (np.arange(4) + rng.integers(1, 4, (len(images), 1))) % 4
    quarters = quarters[np.arange(len(images))[:, None], moved]
    return quarters.reshape(-1, 2, 2, 4, 4).swapaxes(2, 3).reshape(-1, 8, 8)


def canvases(
    images: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator, decoys: int = 2
) -> Canvases:
    """Canvases with one of the digits each; digit and decoys do not touch one another."""
    chosen = rng.integers(0, len(images), (1 + decoys, count))
    shown = [images[chosen[0]], *(scrambled(images[row], rng) for row in chosen[1:])]
    corners = np.zeros((count, 1 + decoys, 2), int)
    again = np.ones(count, bool)
    while again.any():
        corners[again] = rng.integers(0, SIDE - DIGIT + 1, (again.sum(), 1 + decoys, 2))
        gaps = np.abs(corners[:, :, None] - corners[:, None]).max(-1)
        again = (gaps + SIDE * np.eye(1 + decoys, dtype=int) < DIGIT).any((1, 2))
    pixels = np.abs(rng.normal(0, NOISE, (count, SIDE, SIDE))).astype(np.float32)
    canvas = np.arange(count)[:, None, None]
    for image, corner in zip(shown, corners.swapaxes(0, 1), strict=True):
        rows = corner[:, 0, None, None] + np.arange(DIGIT)[:, None]
        columns = corner[:, 1, None, None] + np.arange(DIGIT)
        pixels[canvas, rows, columns] = np.maximum(pixels[canvas, rows, columns], image)
    return Canvases(pixels, labels[chosen[0]], corners[:, 0], corners[:, 1:])


def windows(pixels: np.ndarray) -> np.ndarray:
    """(N, 32, 32) → (N, 49, 64), row by row, scaled for the model."""
    cut = np.lib.stride_tricks.sliding_window_view(pixels, (DIGIT, DIGIT), (1, 2))
    return cut[:, ::STRIDE, ::STRIDE].reshape(len(pixels), GRID**2, DIGIT**2) * 2 + PAPER


def place_of(window: np.ndarray) -> np.ndarray:
    """Row and column (…, 2) of the first pixel of windows (…), given by number."""
    return STRIDE * np.stack([window // GRID, window % GRID], axis=-1)


def overlap(window: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Intersection over union of windows, by number, and boxes of a digit's size."""
    return box_overlap(place_of(window), corners)


def box_overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of two boxes of a digit's size, by their first pixels (…, 2)."""
    common = np.maximum(0, DIGIT - np.abs(first - second)).prod(-1)
    return common / (2 * DIGIT**2 - common)


# %% The model: a vector for each window, one of them by attention, ten scores
def made(seed: int = 0) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(
        Linear(DIGIT**2, 128, activation="relu", rng=rng),
        Linear(128, 64, activation="relu", rng=rng),
        AttentionPooling(64, hidden=32, rng=rng),
        Linear(64, 10, rng=rng),
    )


def attended(model: Any, x: np.ndarray) -> np.ndarray:
    """The weights of the windows, (N, 49)."""
    return model[2](model[1](model[0](x)), return_weights=True)[1]


def train(model: Sequential, images: np.ndarray, labels: np.ndarray, epochs: int, rng: Any) -> None:
    """New canvases in each epoch."""
    count, batch = 8000, 64
    steps = epochs * count // batch
    model.compile(
        AdamW(lr=WarmupCosine(4e-3, steps // 20, steps), weight_decay=0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    for _ in range(epochs):
        data = canvases(images, labels, count, rng)
        model.fit(windows(data.pixels), data.labels, batch_size=batch, rng=rng, verbose=False)


# %% Baselines: where would one look without attention?
def inkiest(x: np.ndarray) -> np.ndarray:
    """The window (N,) with the most ink, of windows (N, 49, 64)."""
    return x.sum(axis=2).argmax(axis=1)


def most_alike(pixels: np.ndarray, ink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where, at any pixel, is what is most like a digit alone: corners (N, 2), and whose image.

    Digits alone (M, 8, 8) say what names do not: how large a digit is and where it ends.
    """
    digits = ink.reshape(-1, DIGIT**2) / np.linalg.norm(ink.reshape(-1, DIGIT**2), axis=1)[:, None]
    places, images = [], []
    for canvas in pixels:
        cut = np.lib.stride_tricks.sliding_window_view(canvas, (DIGIT, DIGIT))
        squares = cut.reshape(-1, DIGIT**2)
        cosines = (squares / np.linalg.norm(squares, axis=1)[:, None]) @ digits.T
        place, image = np.unravel_index(cosines.argmax(), cosines.shape)
        places.append(divmod(int(place), SIDE - DIGIT + 1))
        images.append(int(image))
    return np.array(places), np.array(images)


class Found(NamedTuple):
    name: float  # of the digits that are recognised
    overlap: float  # of the window looked at and the digit
    decoy: float  # share of canvases on which that window is a decoy's

    @classmethod
    def of(cls, test: Canvases, named: np.ndarray | None, corners: np.ndarray) -> Any:
        on = box_overlap(corners, test.corners)
        misled = (box_overlap(corners[:, None], test.decoys).max(axis=1) > on).mean()
        return cls(np.nan if named is None else (named == test.labels).mean(), on.mean(), misled)


def show(title: str, found: Any) -> None:
    print(
        f"{title:34}" + "".join(f"{value:10.3f}" for value in found).replace("nan", "  –"),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--small", action="store_true", help="two epochs, one seed")
    parser.add_argument("--picture", type=Path, help="a file to draw canvases into")
    given = parser.parse_args()
    images, labels = load_digits()
    ink = images.astype(np.float32) / 16

    # digits, noise and places that were not trained on
    test = canvases(ink[1::2], labels[1::2], 2000, np.random.default_rng(1))
    x = windows(test.pixels)
    every = np.broadcast_to(np.arange(GRID**2)[:, None], (GRID**2, len(x)))
    possible = overlap(every, test.corners)
    print(f"overlap of the best window {possible.max(0).mean():.3f}, of any {possible.mean():.3f}")
    print(f"{'':34}      name   overlap     decoy")
    show("the window with the most ink", Found.of(test, None, place_of(inkiest(x))))
    few = Canvases(*(part[:500] for part in test))
    corners, image = most_alike(few.pixels, ink[0::2])
    show("most like a digit alone", Found.of(few, labels[0::2][image], corners))
    results = []
    for seed in given.seeds[: 1 if given.small else None]:
        model = made(seed)
        epochs = 2 if given.small else 25
        train(model, ink[0::2], labels[0::2], epochs, np.random.default_rng(seed))
        weights = attended(model, x)
        results.append(Found.of(test, model(x).argmax(axis=1), place_of(weights.argmax(axis=1))))
        show(f"attention, learned from names, {seed}", results[-1])
    mean, spread = np.mean(results, axis=0), np.std(results, axis=0)
    print("mean " + ", ".join(f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)))
    assert mean[1] > (0.1 if given.small else 0.55)

    # Is the weight of a window also the reason of the answer? Empty paper stands for no window
    part = slice(0, 50 if given.small else 200)
    result = faithfulness(
        Sequential(model, Softmax()), x[part],
        {
            "attention": weights[part],
            "gradient × input": gradient_times_input(model, x[part], baseline=PAPER).sum(-1),
            "integrated gradients": integrated_gradients(
                model, x[part], baseline=PAPER, steps=20
            ).sum(-1),
        },
        baseline=PAPER,
    )  # fmt: skip
    print(result)
    assert given.small or result["attention"].beats_random
    if given.picture:
        draw(test, weights, given.picture)


def draw(test: Canvases, weights: np.ndarray, picture: Path) -> None:
    """Canvases with the attention of their windows: three that are right, and one misled."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    places, heaviest = place_of(np.arange(GRID**2)), weights.argmax(1)
    found = overlap(heaviest, test.corners)
    chosen = [*np.flatnonzero(found > 0.6)[:3], np.flatnonzero(found == 0)[0]]
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    for ax, number in zip(figure.subplots(1, 4), chosen, strict=True):
        seen = np.zeros((SIDE, SIDE))
        for (row, column), weight in zip(places, weights[number], strict=True):
            seen[row : row + DIGIT, column : column + DIGIT] += weight
        ax.imshow(test.pixels[number], cmap="gray_r", vmin=0, vmax=1)
        ax.imshow(seen, cmap="Oranges", alpha=0.5 * np.minimum(seen, 1))
        place = place_of(heaviest[number])
        for (row, column), color, style in (
            (test.corners[number], "tab:blue", "--"),
            (place, "tab:red", "-"),
        ):
            ax.add_patch(
                Rectangle((column - 0.5, row - 0.5), DIGIT, DIGIT, fill=False, color=color,
                          linestyle=style, linewidth=1.5)
            )  # fmt: skip
        ax.set_title(f"a {test.labels[number]}, overlap {found[number]:.2f}", fontsize=9)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
