"""A classifier as Keras users write it: only the import lines are heedful's.

The texts are made of numbers: a text is about a subject if words of that subject stand in it, and
self-attention finds them wherever they stand.
"""

# %% What a Keras user imports, from heedful
import numpy as np

from heedful.layers import (
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    MultiHeadAttention,
    Sequential,
)
from heedful.training import regularizers

# %% Reviews of 40 words, positive or negative
rng = np.random.default_rng(0)
vocab_size, max_length, d_model, num_heads = 500, 40, 32, 4
x = rng.integers(20, vocab_size, (4000, max_length))
y = rng.integers(0, 2, 4000)
places = rng.integers(0, max_length, (4000, 3))
# three words of praise (0 to 9) or of blame (10 to 19) somewhere in each
x[np.arange(4000)[:, None], places] = 10 * y[:, None] + rng.integers(0, 10, (4000, 3))
x_train, x_test, y_train, y_test = x[:3000], x[3000:], y[:3000], y[3000:]

# %% The listing
model = Sequential([
    Embedding(vocab_size, d_model),
    MultiHeadAttention(d_model, num_heads),
    GlobalAveragePooling1D(),
    Dense(1, activation="sigmoid", kernel_regularizer=regularizers.l2(1e-4)),
])  # fmt: skip
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=5, batch_size=64, validation_data=(x_test, y_test))
loss, accuracy = model.evaluate(x_test, y_test)
print(f"test accuracy {accuracy:.1%}")
assert accuracy > 0.9
