"""Recognise handwritten digits with a small vision Transformer.

Each image of 8 × 8 pixels is cut into 16 patches of 4 × 4 that overlap by half and attend to each
other. The even-numbered images are the training set, the odd-numbered ones the test set. Digits as
small as these are easy: a linear classifier of the pixels recognises nineteen of twenty, and the
nearest training image, without any learning, leaves few to gain.

    python examples/digits_vision_transformer.py              three seeds, about a minute each
    python examples/digits_vision_transformer.py --seeds 0 --picture patches.png
    python examples/digits_vision_transformer.py --small      five epochs, as the tests run it
"""

# %% Patches of real digits
import argparse
from pathlib import Path

import numpy as np

from heedful.data import load_digits
from heedful.explain import attention_map, rollout
from heedful.layers import Encoder, Flatten, LearnedPositions, Linear, Sequential
from heedful.training import Adam, AdamW, WarmupCosine


def patches(pixels: np.ndarray) -> np.ndarray:
    """(N, 8, 8) as (N, 16 patches, 16 pixels)."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(1, 2))[:, ::2, ::2]
    return cut.reshape(-1, 16, 16) * 2 - 1


def moved(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the images moved by a pixel: strokes matter, not positions."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    down, right = rng.integers(0, 3, (2, len(pixels), 1, 1))
    stays = rng.random((len(pixels), 1, 1)) < 0.5
    down, right = np.where(stays, 1, down), np.where(stays, 1, right)
    rows, columns = np.arange(8)[:, None] + down, np.arange(8)[None, :] + right
    return padded[np.arange(len(pixels))[:, None, None], rows, columns]


# %% The baselines: the nearest training image, and a linear classifier (logistic regression)
def baselines(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> tuple[float, float]:
    keys, queries = train.reshape(-1, 64), test.reshape(-1, 64)
    closest = (queries @ keys.T - np.sum(keys**2, axis=1) / 2).argmax(axis=1)
    linear = Linear(64, 10, rng=0)
    linear.compile(Adam(lr=1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    linear.fit(keys, train_labels, epochs=50, batch_size=32, rng=0, verbose=False)
    nearest = float(np.mean(train_labels[closest] == test_labels))
    return nearest, linear.evaluate(queries, test_labels).accuracy


# %% The model: patches to vectors, two encoder layers, ten scores from all patches
def made(rng: np.random.Generator) -> Sequential:
    return Sequential(
        Linear(16, 64, rng=rng),
        LearnedPositions(16, 64, rng=rng),
        Encoder(2, 64, 4, dff=128, rate=0.2, norm_first=True, activation="gelu", rng=rng),
        Flatten(),
        Linear(16 * 64, 10, rng=rng),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--small", action="store_true", help="five epochs, one seed")
    parser.add_argument("--picture", type=Path, help="a file to draw patches into")
    given = parser.parse_args()
    epochs = 5 if given.small else 140

    images, labels = load_digits()
    pixels = images.astype(np.float32) / 16
    train, test = pixels[0::2], pixels[1::2]
    train_labels, test_labels = labels[0::2], labels[1::2]
    nearest, of_pixels = baselines(train, train_labels, test, test_labels)
    print(f"the nearest training image: {nearest:.2%}")
    print(f"a linear classifier of the pixels: {of_pixels:.2%}")

    found = []
    for seed in given.seeds[: 1 if given.small else None]:
        rng = np.random.default_rng(seed)
        model = made(rng)
        steps = epochs * -(-len(train) // 16)
        model.compile(
            AdamW(lr=WarmupCosine(2e-3, steps // 10, steps), weight_decay=0.05),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        for epoch in range(epochs):
            shown = patches(moved(train, rng))
            model.fit(shown, train_labels, batch_size=16, rng=rng, verbose=False)
            if epoch + 1 in (1, 4, 35, epochs):
                now = model.evaluate(patches(test), test_labels, batch_size=256)
                print(
                    f"seed {seed}, epoch {epoch + 1:3}: test loss {now.loss:.4f}, "
                    f"accuracy {now.accuracy:.2%}",
                    flush=True,
                )
        found.append(now.accuracy)
    mean, spread = np.mean(found), np.std(found)
    print(f"{model.parameter_count:,} parameters, accuracy {mean:.2%} ± {spread:.2%}")
    if given.small:
        assert found[0] > 0.85
        print("so few epochs are not enough: without --small it beats both")
    else:
        assert mean > of_pixels
    if given.picture:
        draw(model, test, given.picture)


# %% Which patches a digit is read from
def draw(model: Sequential, test: np.ndarray, picture: Path) -> None:
    """Ten digits under how much of each patch the layers pass on (rollout, mean of all rows)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.3), layout="constrained")
    for ax, number in zip(figure.subplots(1, 10), range(10), strict=True):
        seen = rollout(attention_map(model, patches(test[number : number + 1])))
        received = seen.to_numpy().reshape(-1, 16, 16)[-1].mean(axis=0)
        ax.imshow(test[number], cmap="gray_r", extent=(0, 8, 8, 0))
        ax.imshow(received.reshape(4, 4), cmap="Oranges", alpha=0.5, extent=(0, 8, 8, 0))
        ax.axis("off")
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main()
