"""A classifier as Keras users write it: only the import lines are heedful's.

The texts are made of numbers. In each, 12 words state where a thing is, and 12 ask for one of these
things, in any order: "cup@shelf key? pen@box key@bowl cup? …". For every question the model
predicts the place, which another word of the text contains: the attention layer finds it. The same
model without that layer guesses one of ten, and with the average of the text in its place it
predicts less than half of the places.

    python keras_listing.py    in some seconds
"""

# %% What a Keras user imports, from heedful
import numpy as np

from heedful.layers import Dense, Embedding, Layer, MultiHeadAttention, Sequential
from heedful.training import Adam, regularizers

# %% Texts of 24 words: "thing@place" is the number 10 · thing + place, "thing?" is 300 + thing
rng = np.random.default_rng(0)
num_places, vocab_size, d_model, num_heads = 10, 330, 32, 4
things = rng.permuted(np.tile(np.arange(30), (4000, 1)), axis=1)[:, :12]
places = rng.integers(0, num_places, (4000, 12))
words = np.concatenate([10 * things + places, 300 + things], axis=1)
order = rng.permuted(np.tile(np.arange(24), (4000, 1)), axis=1)
x = np.take_along_axis(words, order, axis=1)  # (texts, words)
y = np.take_along_axis(np.concatenate([places, places], axis=1), order, axis=1)
asked = x >= 300  # only the answers to questions count
x_train, x_test, y_train, y_test = x[:3000], x[3000:], y[:3000], y[3000:]

# %% The listing
model = Sequential([
    Embedding(vocab_size, d_model, rng=1),
    MultiHeadAttention(d_model, num_heads, rng=2),
    Dense(num_places, activation="softmax", kernel_regularizer=regularizers.l2(1e-6), rng=3),
])  # fmt: skip
model.compile(Adam(lr=1e-2), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, sample_weight=asked[:3000], epochs=5, batch_size=64, rng=4)
loss, accuracy = model.evaluate(x_test, y_test, sample_weight=asked[3000:])
print(f"test accuracy with attention {accuracy:6.1%}")


# %% Is it the attention? The same without that layer, and with the average of the text in its place
class AddAverage(Layer):
    def compute(self, mode: object, x: np.ndarray) -> tuple:
        y = x + x.mean(axis=1, keepdims=True)  # (texts, words, d_model)
        return y, lambda dy: dy + dy.mean(axis=1, keepdims=True)


for name, instead in {
    "without the attention layer": [],
    "with the average of the text": [AddAverage(), Dense(64, activation="relu", rng=2)],
}.items():
    other = Sequential([
        Embedding(vocab_size, d_model, rng=1),
        *instead,
        Dense(num_places, activation="softmax", kernel_regularizer=regularizers.l2(1e-6), rng=3),
    ])  # fmt: skip
    # the best of 0.003, 0.01, 0.03 and 0.06 for these two
    other.compile(Adam(lr=3e-2), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    other.fit(
        x_train, y_train, sample_weight=asked[:3000], epochs=5, batch_size=64, verbose=False, rng=4
    )
    found = other.evaluate(x_test, y_test, sample_weight=asked[3000:]).accuracy
    print(f"{name:29}{found:6.1%}")
    assert accuracy > found + 0.4
assert accuracy > 0.95
