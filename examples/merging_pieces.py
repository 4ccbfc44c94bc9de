"""Keys in pieces: attention over files that are read one at a time, forward and backward, exactly.

Each piece gives its own result and the logarithm of its sum of exponentials (lse). That is all
that is needed to merge them, so the pieces may also be on other machines. Without the lse their
weights are unknown: the mean of the results is far from the correct one.
"""

# %% Real keys: half of the handwritten digits, written to four files
import tempfile
from pathlib import Path

import numpy as np

import heedful
from heedful.data import load_digits

SCALE = 100.0
images, labels = load_digits()
pixels = images.reshape(-1, 64) / 16.0
pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
values = np.eye(10)[labels]
query = pixels[1::2]  # (898, 64): the digits in question
folder = Path(tempfile.mkdtemp())
for piece, rows in enumerate(np.array_split(np.arange(0, len(pixels), 2), 4)):
    np.savez(folder / f"piece{piece}.npz", key=pixels[rows], value=values[rows])
files = sorted(folder.glob("*.npz"))
print("files:", [file.name for file in files])

# %% One piece after another; only one is in memory at a time
outs, lses = [], []
for file in files:
    piece = np.load(file)
    out, lse = heedful.attention(query, piece["key"], piece["value"], scale=SCALE, return_lse=True)
    outs.append(out)
    lses.append(lse)
out, lse = heedful.merge_attention(outs, lses)

# %% The merged result is that over all keys at once, also as plain NumPy computes it
keys, digits = pixels[0::2], values[0::2]
whole, whole_lse = heedful.attention(query, keys, digits, scale=SCALE, return_lse=True)
print(f"largest difference {np.abs(out - whole).max():.1e}")
assert np.allclose(out, whole, rtol=1e-12, atol=1e-14)
assert np.allclose(lse, whole_lse, rtol=1e-12)
exponentials = np.exp(SCALE * (query @ keys.T - 1))
plain = exponentials / exponentials.sum(axis=1, keepdims=True) @ digits
assert np.allclose(out, plain, rtol=1e-10, atol=1e-12)

# %% What a merge without the lse would give: the mean of the pieces
mean = np.mean(outs, axis=0)
off = np.abs(mean - whole).max()
rights = [np.mean(votes.argmax(axis=1) == labels[1::2]) for votes in (out, mean)]
print(f"digits recognised: merged {rights[0]:.1%}, by the mean of the pieces {rights[1]:.1%}")
print(f"the merged result is that of the whole, the mean is off by up to {off:.2f}")
assert rights[0] > rights[1] + 0.01
assert off > 0.5

# %% A running merge needs two results at a time, in any order
no_keys, no_values = np.empty((0, 64)), np.empty((0, 10))
running = heedful.attention(query, no_keys, no_values, scale=SCALE, return_lse=True)
for pair in reversed(list(zip(outs, lses, strict=True))):
    running = heedful.merge_attention([running[0], pair[0]], [running[1], pair[1]])
assert np.allclose(running[0], whole, rtol=1e-12, atol=1e-14)

# %% Gradients: each piece with the merged out and lse; those of query add up over the pieces
dout = out - values[1::2]
dquery = np.zeros_like(query)
dkeys = []
for file in files:
    piece = np.load(file)
    gradients = heedful.attention_backward(
        dout, query, piece["key"], piece["value"], out, lse, scale=SCALE
    )
    dquery += gradients.query
    dkeys.append(gradients.key)
_, pullback = heedful.attention_vjp(query, keys, digits, scale=SCALE)
expected = pullback(dout)
assert np.allclose(dquery, expected.query, rtol=1e-10, atol=1e-12)
assert np.allclose(np.concatenate(dkeys), expected.key, rtol=1e-10, atol=1e-12)
print("gradients over the pieces agree with those over the whole")
