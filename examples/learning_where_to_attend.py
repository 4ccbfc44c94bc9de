"""Learn where to attend: a projection is trained so that digits attend to digits of their own kind.

Every training image looks at all others, and the weight that goes to images of its own digit is
made as large as possible. This is neighbourhood components analysis (Goldberger et al. 2004), in
twenty lines with attention and its gradients: keys of 16 numbers then do the work of 64 pixels.
"""

# %% Real digits, the even-numbered ones to learn from
import numpy as np

import heedful
from heedful.data import load_digits

images, labels = load_digits()
pixels = images.reshape(-1, 64).astype(np.float32) / 16
pixels -= pixels[0::2].mean(axis=0)
train, test = pixels[0::2], pixels[1::2]
digits = np.eye(10, dtype=np.float32)[labels[0::2]]  # (N, 10)
others = ~np.eye(len(train), dtype=bool)  # no image may look at itself


# %% Attention by distance: −|q − k|²/2 is the product q · k and a bias of −|k|²/2 for each key
def key_bias(keys: np.ndarray) -> np.ndarray:
    return -np.sum(keys**2, axis=1)[None] / 2  # (1, Lk)


def accuracy(projection: np.ndarray) -> float:
    keys = train @ projection
    out = heedful.attention(test @ projection, keys, digits, scale=1.0, bias=key_bias(keys))
    return float(np.mean(out.argmax(axis=1) == labels[1::2]))


# %% The gradient comes from the pullback of attention, also that of the bias
def loss_and_gradient(projection: np.ndarray) -> tuple[float, np.ndarray]:
    keys = train @ projection
    out, pullback = heedful.attention_vjp(
        keys, keys, digits, scale=1.0, mask=others, bias=key_bias(keys)
    )
    right = np.sum(out * digits, axis=1, keepdims=True)  # weight on images of the same digit
    right = np.maximum(right, 1e-6)
    gradients = pullback(-digits / right / len(digits))  # of the mean of −log(right)
    dkeys = gradients.query + gradients.key - gradients.bias.T * keys
    return float(-np.log(right).mean()), train.T @ dkeys


# %% Check the gradient against a difference, then follow it (Adam)
rng = np.random.default_rng(0)
projection = 0.15 * rng.standard_normal((64, 16), dtype=np.float32)
loss, gradient = loss_and_gradient(projection)
step = 1e-2 * gradient / np.linalg.norm(gradient)
rise = loss_and_gradient(projection + step)[0] - loss_and_gradient(projection - step)[0]
assert np.isclose(rise, 2 * np.sum(gradient * step), rtol=1e-2)

before = accuracy(projection)
mean, square = np.zeros_like(projection), np.zeros_like(projection)
for turn in range(1, 151):
    loss, gradient = loss_and_gradient(projection)
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    direction = mean / (1 - 0.9**turn) / (np.sqrt(square / (1 - 0.999**turn)) + 1e-8)
    projection -= 0.01 * direction
    if turn in (1, 10, 150):
        print(f"step {turn:3}: loss {loss:.4f}, test half right {accuracy(projection):.1%}")

print(f"before {before:.1%}, after {accuracy(projection):.1%}, with keys of 16 numbers")
assert accuracy(projection) > 0.96
