"""Do two images show the same digit? One encoder is called on both, and learns from pairs alone.

A siamese model learns the distance of pairs (contrastive loss, Hadsell et al. 2006), without being
told which digits they show; pairs of images that it has not seen are the test. Model and distance
are written forward alone, in the functional form. The baseline is the distance of the pixels, with
the best threshold for it.

    python pairs_of_digits.py    in half a minute
"""

# %% Pairs, half of them of the same digit
import numpy as np

from heedful.data import load_digits
from heedful.layers import (
    AttentionPooling,
    Dense,
    EncoderLayer,
    Input,
    LayerNorm,
    LearnedPositions,
    Linear,
    Model,
    steps,
)  # fmt: skip
from heedful.training import Adam

images, labels = load_digits()
rows = (images / 16.0).astype(np.float32)  # (image, row, pixel): a sequence of 8 rows
rng = np.random.default_rng(0)


def pairs(places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images at these places, in pairs: one, the other, and whether both show the same digit."""
    of = [places[labels[places] == digit] for digit in range(10)]
    first, alike = rng.integers(0, 10, count), np.arange(count) % 2 == 0
    second = np.where(alike, first, (first + rng.integers(1, 10, count)) % 10)
    one, other = (rows[[rng.choice(of[digit]) for digit in chosen]] for chosen in (first, second))
    return one, other, alike


train, test = pairs(np.arange(1200), 12000), pairs(np.arange(1200, len(rows)), 1000)

# %% One encoder, called on both images; the distance of its vectors, and the loss of it
positions, mix = LearnedPositions(8, 32, rng=0), EncoderLayer(32, 4, 64, 0.1, rng=1)
read, norm = Linear(8, 32, rng=2), LayerNorm(32)
pool, head = AttentionPooling(32, rng=3), Dense(16, rng=4)


def encoded(image):
    h = norm(mix(positions(read(image))))
    return head(steps.concatenate([h.reshape(-1, 256), pool(h)], axis=-1))


one, other = Input((8, 8), name="one"), Input((8, 8), name="other")
apart = encoded(one) - encoded(other)
distance = steps.sqrt((apart * apart).sum(axis=-1) + 1e-6)
model = Model((one, other), distance)


def contrastive(alike: np.ndarray, distance: np.ndarray) -> tuple[float, np.ndarray]:
    push = np.maximum(1.0 - distance, 0)
    loss = np.where(alike, distance**2, push**2).mean()
    return float(loss), np.where(alike, 2 * distance, -2 * push) / len(distance)


model.compile(Adam(lr=2e-3), loss=contrastive)
model.fit((train[0], train[1]), train[2], epochs=8, batch_size=64, verbose=False, rng=5)


# %% Accuracy at the best threshold, of the learned distance and of that of the pixels
def accuracy(distances: np.ndarray, alike: np.ndarray) -> float:
    thresholds = np.quantile(distances, np.linspace(0, 1, 101))
    return max(float(((distances < threshold) == alike).mean()) for threshold in thresholds)


left, right, alike = test
learned = accuracy(model.predict((left, right)), alike)
pixels = accuracy(np.sqrt(((left - right) ** 2).sum(axis=(1, 2))), alike)
print(f"pairs judged rightly: by the learned distance {learned:.1%}, by the pixels {pixels:.1%}")
assert learned > pixels + 0.08
