"""An attention layer as students write it for Keras: at most 12 of its lines change.

The listing is that of many courses: Dense layers, split_heads, scaled_dot_product_attention and a
concatenation of the heads. `call` is the forward pass alone; its backward pass is derived. Below
it stands what is different in Keras's, line by line. The model learns the task of keras_listing.py:
texts state where things are and ask for it, and without attention a model guesses one of ten.

    python own_attention_layer.py    in half a minute
"""

# %% The listing, as it runs with heedful
import numpy as np

from heedful.layers import Dense, Embedding, Layer, steps
from heedful.training import Adam, SparseCategoricalCrossEntropy


def scaled_dot_product_attention(q, k, v, mask):
    matmul_qk = steps.matmul(q, k.mT)
    dk = np.float32(k.shape[-1])
    scaled_attention_logits = matmul_qk / np.sqrt(dk)
    if mask is not None:
        scaled_attention_logits += mask * -1e9
    attention_weights = steps.softmax(scaled_attention_logits, axis=-1)
    output = steps.matmul(attention_weights, v)
    return output, attention_weights


class MultiHeadAttention(Layer):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.d_model = d_model
        assert d_model % self.num_heads == 0
        self.depth = d_model // self.num_heads
        self.wq = Dense(d_model)
        self.wk = Dense(d_model)
        self.wv = Dense(d_model)
        self.dense = Dense(d_model)

    def split_heads(self, x, batch_size):
        x = steps.reshape(x, (batch_size, -1, self.num_heads, self.depth))
        return steps.transpose(x, (0, 2, 1, 3))

    def call(self, v, k, q, mask=None):
        batch_size = q.shape[0]
        q = self.wq(q)
        k = self.wk(k)
        v = self.wv(v)
        q = self.split_heads(q, batch_size)
        k = self.split_heads(k, batch_size)
        v = self.split_heads(v, batch_size)
        scaled_attention, attention_weights = scaled_dot_product_attention(q, k, v, mask)
        scaled_attention = steps.transpose(scaled_attention, (0, 2, 1, 3))
        concat_attention = steps.reshape(scaled_attention, (batch_size, -1, self.d_model))
        output = self.dense(concat_attention)
        return output, attention_weights


# %% The lines of Keras's listing that changed: here, and there
CHANGED = {
    "from heedful.layers import Dense, Embedding, Layer, steps": (
        "from tensorflow.keras.layers import Dense, Embedding, Layer"
    ),
    "import numpy as np": "import tensorflow as tf",
    "matmul_qk = steps.matmul(q, k.mT)": "matmul_qk = tf.matmul(q, k, transpose_b=True)",
    "dk = np.float32(k.shape[-1])": "dk = tf.cast(tf.shape(k)[-1], tf.float32)",
    "scaled_attention_logits = matmul_qk / np.sqrt(dk)": (
        "scaled_attention_logits = matmul_qk / tf.math.sqrt(dk)"
    ),
    "attention_weights = steps.softmax(scaled_attention_logits, axis=-1)": (
        "attention_weights = tf.nn.softmax(scaled_attention_logits, axis=-1)"
    ),
    "output = steps.matmul(attention_weights, v)": "output = tf.matmul(attention_weights, v)",
    "x = steps.reshape(x, (batch_size, -1, self.num_heads, self.depth))": (
        "x = tf.reshape(x, (batch_size, -1, self.num_heads, self.depth))"
    ),
    "return steps.transpose(x, (0, 2, 1, 3))": "return tf.transpose(x, perm=[0, 2, 1, 3])",
    "batch_size = q.shape[0]": "batch_size = tf.shape(q)[0]",
    "scaled_attention = steps.transpose(scaled_attention, (0, 2, 1, 3))": (
        "scaled_attention = tf.transpose(scaled_attention, perm=[0, 2, 1, 3])"
    ),
    "concat_attention = steps.reshape(scaled_attention, (batch_size, -1, self.d_model))": (
        "concat_attention = tf.reshape(scaled_attention, (batch_size, -1, self.d_model))"
    ),
}
print(f"{len(CHANGED)} lines changed")
assert len(CHANGED) <= 12


# %% A model with it, trained as any other
class Answers(Layer):
    def __init__(self, attends: bool) -> None:
        self.embedding = Embedding(330, 32, rng=1)
        self.attention = MultiHeadAttention(32, 4) if attends else None
        self.dense = Dense(10, activation="softmax")

    def call(self, x):
        h = self.embedding(x)
        if self.attention is not None:
            output, _ = self.attention(h, h, h)
            h = h + output
        return self.dense(h)


rng = np.random.default_rng(0)
things = rng.permuted(np.tile(np.arange(30), (4000, 1)), axis=1)[:, :12]
places = rng.integers(0, 10, (4000, 12))
words = np.concatenate([10 * things + places, 300 + things], axis=1)  # "cup@shelf", …, "cup?", …
order = rng.permuted(np.tile(np.arange(24), (4000, 1)), axis=1)
x = np.take_along_axis(words, order, axis=1)
y = np.take_along_axis(np.concatenate([places, places], axis=1), order, axis=1)
asked = x >= 300  # only the answers to questions count

accuracies = {}
for attends in (True, False):
    model = Answers(attends)
    model.compile(Adam(lr=1e-2), SparseCategoricalCrossEntropy(from_logits=False), ["accuracy"])
    model.fit(
        x[:3000],
        y[:3000],
        sample_weight=asked[:3000],
        epochs=8,
        batch_size=64,
        verbose=False,
        rng=4,
    )
    found = model.evaluate(x[3000:], y[3000:], sample_weight=asked[3000:])
    accuracies[attends] = found.accuracy
    print(
        f"{'with' if attends else 'without'} the layer: {found.accuracy:6.1%} of the answers right"
    )
assert accuracies[True] > 0.9 > 0.3 > accuracies[False]
