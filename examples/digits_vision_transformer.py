"""Recognise handwritten digits with a small vision Transformer.

Each image of 8 × 8 pixels is cut into 16 patches of 2 × 2, which attend to each other. The
even-numbered images are learned from, the odd-numbered ones are the test.

    python digits_vision_transformer.py           a few epochs, in seconds
    python digits_vision_transformer.py --full    what is reported below, in about a minute
"""

# %% Patches of real digits
import sys

import numpy as np

from heedful.data import load_digits
from heedful.layers import (
    AttentionPooling,
    Encoder,
    LearnedPositions,
    Linear,
    Sequential,
)
from heedful.training import AdamW, WarmupCosine

FULL = "--full" in sys.argv
EPOCHS = 60 if FULL else 8

images, labels = load_digits()
pixels = images.astype(np.float32) / 16


def patches(pixels: np.ndarray) -> np.ndarray:
    """(N, 8, 8) as (N, 16 patches, 4 pixels)."""
    cut = pixels.reshape(-1, 4, 2, 4, 2).swapaxes(2, 3)
    return cut.reshape(-1, 16, 4) * 2 - 1


train, test = pixels[0::2], pixels[1::2]
train_labels, test_labels = labels[0::2], labels[1::2]

# %% The model: patches to vectors, two encoder layers, one vector, ten scores
rng = np.random.default_rng(0)
model = Sequential(
    Linear(4, 64, rng=rng),
    LearnedPositions(16, 64, rng=rng),
    Encoder(2, 64, 4, dff=128, rate=0.1, norm_first=True, activation="gelu", rng=rng),
    AttentionPooling(64, rng=rng),
    Linear(64, 10, rng=rng),
)
print(f"{model.parameter_count:,} parameters")

# %% Every epoch sees the images moved by up to one pixel: strokes matter, not places
steps = EPOCHS * -(-len(train) // 32)
model.compile(
    AdamW(lr=WarmupCosine(3e-3, steps // 10, steps), weight_decay=0.05),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)


def moved(pixels: np.ndarray) -> np.ndarray:
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    down, right = rng.integers(0, 3, (2, len(pixels), 1, 1))
    rows, columns = np.arange(8)[:, None] + down, np.arange(8)[None, :] + right
    return padded[np.arange(len(pixels))[:, None, None], rows, columns]


for epoch in range(EPOCHS):
    model.fit(patches(moved(train)), train_labels, rng=rng, verbose=False)
    if epoch + 1 in (1, 2, 4, 8, 15, 30, 60):
        found = model.evaluate(patches(test), test_labels, batch_size=256)
        print(f"epoch {epoch + 1:2}: test loss {found.loss:.4f}, accuracy {found.accuracy:.2%}")

# %% The test half was never learned from
accuracy = model.evaluate(patches(test), test_labels, batch_size=256).accuracy
assert accuracy > (0.98 if FULL else 0.9)
