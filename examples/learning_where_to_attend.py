"""Learn where to attend: a projection is trained so that digits attend to digits of their own kind.

Every training image attends to all others, and the weight that goes to images of its own digit is
made as large as possible. This is neighbourhood components analysis (Goldberger et al. 2004), in
twenty lines with attention and its gradients. Learned keys of 2 or 4 features recognise more
unseen digits than as many principal components, which training starts from, and than discriminants,
which use the labels as well. With 16 features there is nothing left to gain: principal components
recognise almost as many digits, and so do the 64 pixels.

    python learning_where_to_attend.py    in some seconds

           principal components    discriminants      learned
features   nearest    attention        attention    attention
  2          54.3%        64.6%            67.1%        75.4%
  4          80.2%        85.3%            89.9%        92.0%
 16          98.1%        97.9%            95.5%        98.6%
 64          98.7%    the pixels themselves
"""

# %% Real digits, the even-numbered ones for training
import numpy as np

import heedful
from heedful.data import load_digits

images, labels = load_digits()
pixels = images.reshape(-1, 64).astype(np.float32) / 16
pixels -= pixels[0::2].mean(axis=0)
train, test = pixels[0::2], pixels[1::2]
train_labels, test_labels = labels[0::2], labels[1::2]
digits = np.eye(10, dtype=np.float32)[train_labels]  # (N, 10)
others = ~np.eye(len(train), dtype=bool)  # no image may attend to itself


# %% Attention by distance: −|q − k|²/2 is the dot product q · k and a bias of −|k|²/2 for each key
def key_bias(keys: np.ndarray) -> np.ndarray:
    return -np.sum(keys**2, axis=1)[None] / 2  # (1, Lk)


def votes(queries: np.ndarray, keys: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    return heedful.attention(queries, keys, digits, scale=1.0, bias=key_bias(keys), mask=mask)


def accuracy(projection: np.ndarray) -> float:
    out = votes(test @ projection, train @ projection)  # (898, 10)
    return float(np.mean(out.argmax(axis=1) == test_labels))


# %% The gradient comes from the pullback of attention, also that of the bias
def loss_and_gradient(projection: np.ndarray) -> tuple[float, np.ndarray]:
    keys = train @ projection
    out, pullback = heedful.attention_vjp(
        keys, keys, digits, scale=1.0, mask=others, bias=key_bias(keys)
    )
    right = np.sum(out * digits, axis=1, keepdims=True)  # weight on images of the same digit
    right = np.maximum(right, 1e-6)
    gradients = pullback(-digits / right)  # of the sum of −log(right)
    dkeys = gradients.query + gradients.key - gradients.bias.T * keys
    return float(-np.log(right).sum()), train.T @ dkeys


def learned(projection: np.ndarray) -> np.ndarray:
    """100 steps of Adam."""
    mean, square = np.zeros_like(projection), np.zeros_like(projection)
    for step in range(1, 101):
        _, gradient = loss_and_gradient(projection)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        direction = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        projection = projection - 0.01 * direction
    return projection


# %% The baselines: projections without gradients, each at its best scale
def scaled(projection: np.ndarray) -> np.ndarray:
    """Scaled by the factor with which the training images recognise each other best."""

    def right(factor: float) -> float:
        keys = factor * (train @ projection)
        return np.mean(votes(keys, keys, others).argmax(axis=1) == train_labels)

    return max((1, 2, 3, 4, 6), key=right) * projection


def nearest(projection: np.ndarray) -> float:
    keys, queries = train @ projection, test @ projection
    closest = (queries @ keys.T + key_bias(keys)).argmax(axis=1)
    return float(np.mean(train_labels[closest] == test_labels))


# principal components, in the order of their variance
components = np.linalg.svd(train, full_matrices=False)[2].T  # (64, 64)

# discriminants (Fisher 1936): components of the means, in axes in which digits have variance one
means = np.stack([train[train_labels == digit].mean(axis=0) for digit in range(10)])
within = np.cov((train - means[train_labels]).T) + 1e-3 * np.eye(64)
white = np.linalg.inv(np.linalg.cholesky(within)).T
discriminants = (white @ np.linalg.svd(means @ white)[2].T[:, :9]).astype(np.float32)  # ten means

# %% Check the gradient against a difference
projection = scaled(components[:, :4])
loss, gradient = loss_and_gradient(projection)
step = 1e-2 * gradient / np.linalg.norm(gradient)
rise = loss_and_gradient(projection + step)[0] - loss_and_gradient(projection - step)[0]
assert np.isclose(rise, 2 * np.sum(gradient * step), rtol=1e-2)

# %% Training starts from the principal components
print(f"Recognised of {len(test)} unseen digits")
print("           principal components    discriminants      learned")
print("features   nearest    attention        attention    attention")
for count in (2, 4, 16):
    begin = scaled(components[:, :count])
    found = [nearest(begin), accuracy(begin), accuracy(scaled(discriminants[:, :count]))]
    after = accuracy(learned(begin))
    columns = zip((*found, after), (15, 13, 17, 13), strict=True)
    print(f"{count:>3}" + "".join(f"{value:>{width}.1%}" for value, width in columns))
    assert after > max(found) + (0.02 if count < 5 else -0.01)
print(f" 64{nearest(np.eye(64, dtype=np.float32)):>15.1%}    the pixels themselves")
