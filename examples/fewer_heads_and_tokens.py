"""Make a trained model cheaper: remove half of its heads, and the patches that matter least.

A small vision Transformer reads handwritten digits: 16 patches of 4 × 4 pixels and a class token,
from which the digit is read. Some heads matter more than others, and so do patches: those that
receive the most attention are mostly where the strokes are.

    python fewer_heads_and_tokens.py            what is printed below, in about a minute
    python fewer_heads_and_tokens.py --short    a few epochs, in seconds, as the tests run it

"""

# %% Real digits: patches, and a row of zeros that becomes the class token
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from heedful.data import load_digits
from heedful.layers import Encoder, Layer, LearnedPositions, Linear, Sequential
from heedful.pruning import (
    MergedEncoder,
    PrunedEncoder,
    head_importance,
    prune_heads,
    pruned_heads,
)
from heedful.training import AdamW, WarmupCosine, load_weights, save_weights

SHORT = "--short" in sys.argv
EPOCHS, TUNING = (6, 5) if SHORT else (60, 10)

images, labels = load_digits()


def patches(pixels: np.ndarray) -> np.ndarray:
    """(N, 8, 8) as (N, 17, 16): the first row is that of the class token."""
    padded = np.pad(pixels.astype(np.float32) / 16, ((0, 0), (1, 1), (1, 1)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(1, 2))[:, ::2, ::2]
    return np.pad(cut.reshape(-1, 16, 16) * 2 - 1, ((0, 0), (1, 0), (0, 0)))


train, test = patches(images[0::2]), patches(images[1::2])
train_labels, test_labels = labels[0::2], labels[1::2]


# %% A model, and its training
class FirstToken(Layer):
    """The vector of the class token: (B, L, E) → (B, E)."""

    def compute(self, mode, x):
        def backward(dy):
            dx = np.zeros_like(x)
            dx[:, 0] = dy
            return dx

        return x[:, 0], backward


def made(seed: int) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(
        Linear(16, 64, rng=rng),
        LearnedPositions(17, 64, rng=rng),
        Encoder(2, 64, 4, dff=128, rate=0.2, norm_first=True, activation="gelu", rng=rng),
        FirstToken(),
        Linear(64, 10, rng=rng),
    )


def fit(model: Layer, epochs: int, rate: float) -> None:
    steps = epochs * -(-len(train) // 16)
    model.compile(
        AdamW(lr=WarmupCosine(rate, steps // 10, steps), weight_decay=0.05),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(train, train_labels, epochs=epochs, batch_size=16, rng=0, verbose=False)


def accuracy(model: Layer) -> float:
    return float(np.mean(model.predict(test, batch_size=256).argmax(-1) == test_labels))


model = made(0)
fit(model, EPOCHS, 2e-3)
whole = accuracy(model)
print(f"the whole model: {model.parameter_count:,} parameters, accuracy {whole:.2%}")

# %% How much the loss depends on each head, and the model without the less important half
importance = head_importance(model, train, train_labels)
for name, numbers in importance.items():
    print(f"importance of the heads of {name}: {numbers.round(4)}")
pruned = prune_heads(model, importance, fraction=0.5)
before = accuracy(pruned)
fit(pruned, TUNING, 5e-4)
after = accuracy(pruned)
print(f"half of the heads, {pruned.parameter_count:,} parameters: {before:.2%}")
print(f"after {TUNING} epochs of fine-tuning: {after:.2%}")
assert after > whole - (0.05 if SHORT else 0.01)

# %% Its file remembers which heads there are
if find_spec("safetensors"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pruned.safetensors"
        save_weights(pruned, path)
        again = prune_heads(made(1), pruned_heads(path))
        load_weights(again, path)
    assert (again(test) == pruned(test)).all()

# %% Fewer tokens: 17 enter; the last layer passes on the class token alone, nothing else is read
encoder = model[2]


def with_encoder(encoder: Layer) -> Sequential:
    return Sequential(model[0], model[1], encoder, model[3], model[4])


for keep in ([12, 1], [8, 1], [5, 1]):
    print(f"keep {keep}: {accuracy(with_encoder(PrunedEncoder(encoder, keep))):.2%}")
for merge in ([3, 3], [5, 4], [8, 4]):
    print(f"merge {merge}: {accuracy(with_encoder(MergedEncoder(encoder, merge))):.2%}")

# %% Which patches are kept: those of the strokes
kept = PrunedEncoder(encoder, [8, 8])
tokens = model[1](model[0](test))
_, positions = kept(tokens, return_positions=True)
seen = np.zeros((len(test), 17), bool)
np.put_along_axis(seen, positions, True, axis=1)
ink = (test[:, 1:] > 0).mean(-1)
for image, places in zip(images[1::2][:3], seen[:3, 1:].reshape(-1, 4, 4), strict=True):
    for row in range(8):
        pixels = "".join(" .:+#"[value // 4] * 2 for value in image[row])
        boxes = "" if row % 2 else "".join("[]" if place else " ." for place in places[row // 2])
        print(f"  {pixels}   {boxes}".rstrip())
print(f"ink in patches that are kept {ink[seen[:, 1:]].mean():.0%}, "
      f"in the others {ink[~seen[:, 1:]].mean():.0%}")  # fmt: skip
