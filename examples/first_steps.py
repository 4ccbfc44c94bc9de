"""First steps: softmax(query keyᵀ · scale) value on lists, vectors, columns and heads; gradients.

Run it as it is, or cell by cell in an editor that supports the `# %%` marks.
"""

# %% Three matrices as Python lists: two queries, two keys, two values
import numpy as np

import heedful

query = [[1, 2, 3], [4, 5, 6]]
key = [[7, 8, 9], [10, 11, 12]]
value = [[13, 14, 15], [16, 17, 18]]
print("softmax(query keyᵀ / √3) value")
print(heedful.attention(query, key, value))

# %% The same step by step: scores, weights, weighted sum
scores = heedful.attention_scores(query, key)  # (Lq, Lk)
weights = heedful.attention_weights(query, key)  # (Lq, Lk), each row sums to 1
print("\nscores\n", scores, "\nweights\n", weights, "\nweighted sum\n", weights @ np.array(value))
assert np.allclose(weights @ np.array(value), heedful.attention(query, key, value))

# %% And once more in plain NumPy, which makes all these matrices
scores = np.array(query) @ np.array(key).T / np.sqrt(3)
exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
plain = exponentials / exponentials.sum(axis=1, keepdims=True) @ np.array(value)
assert np.allclose(plain, heedful.attention(query, key, value))

# %% A single query vector against a matrix of keys
print("\none query:", heedful.attention([1, 2, 3], key, value))

# %% Columns of numbers: scores divided by √d_k (here d_k = 1), as they are, divided by α as well
numbers = np.array([1.0, 2.0, 3.0, 4.0, 5.0])[:, None]  # (5, 1)
falling = np.array([9.0, 8.0, 7.0, 6.0, 5.0])[:, None]
print("\nscaled by 1/√1 ", heedful.attention(numbers, numbers, falling).ravel())
print("unscaled, equal", heedful.attention(numbers, numbers, falling, scale=1.0).ravel())
wide = np.repeat(falling, 4, axis=1)  # (5, 4): values deeper than keys
d_k, d_v = numbers.shape[1], wide.shape[1]
alpha = np.sqrt(d_k) / np.sqrt(d_v)  # 1/2
scale = 1 / (np.sqrt(d_k) * alpha)  # √d_v / d_k: divided by √d_k, then by α
divided = heedful.attention(numbers, numbers, wide, scale=scale)
print("divided by √1·α", divided[:, 0])
scores = numbers @ numbers.T / np.sqrt(d_k) / alpha
softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
assert np.allclose(divided, softmax @ wide)

# %% A batch of 2 items, 8 query heads that share 2 key/value heads, read from the left
rng = np.random.default_rng(0)
query = rng.standard_normal((2, 8, 100, 64), dtype=np.float32)  # (B, H, Lq, D)
key = rng.standard_normal((2, 2, 100, 64), dtype=np.float32)  # (B, Hkv, Lk, D)
value = rng.standard_normal((2, 2, 100, 64), dtype=np.float32)
out = heedful.attention(query, key, value, causal=True)
print("\nout", out.shape, out.dtype)
first = value[:, [0, 0, 0, 0, 1, 1, 1, 1], 0]  # the first query sees the first key alone
assert np.allclose(out[:, :, 0], first, atol=1e-6)

# %% Gradients: attention_vjp returns the result and its pullback
out, pullback = heedful.attention_vjp(query, key, value, causal=True)
target = np.zeros_like(out)
dout = 2 * (out - target) / out.size  # of the mean squared error
gradients = pullback(dout)
print("gradients of", {name: g.shape for name, g in gradients._asdict().items() if g is not None})

# %% A small step against the gradient makes the error smaller
step = 100.0
better = heedful.attention(query, key, value - step * gradients.value, causal=True)
print(f"mean squared error {np.mean(out**2):.5f}, after a step {np.mean(better**2):.5f}")
assert np.mean(better**2) < np.mean(out**2)
