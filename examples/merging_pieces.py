"""Keys in pieces: attention over files that are read one at a time, forward and backward, exactly.

Each piece gives its own result and the logarithm of its sum of exponentials (lse). That is all
that is needed to merge them, so the pieces may as well live on other machines.
"""

# %% Real keys: half of the handwritten digits, written to four files
import tempfile
from pathlib import Path

import numpy as np

import heedful
from heedful.data import load_digits

images, labels = load_digits()
pixels = images.reshape(-1, 64) / 16.0
pixels -= pixels.mean(axis=0)
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
    out, lse = heedful.attention(query, piece["key"], piece["value"], scale=4.0, return_lse=True)
    outs.append(out)
    lses.append(lse)
out, lse = heedful.merge_attention(outs, lses)

# %% The merged result is that over all keys at once
whole, whole_lse = heedful.attention(query, pixels[0::2], values[0::2], scale=4.0, return_lse=True)
print(f"largest difference {np.abs(out - whole).max():.1e}")
assert np.allclose(out, whole, rtol=1e-12, atol=1e-14)
assert np.allclose(lse, whole_lse, rtol=1e-12)
print(f"digits recognised: {np.mean(out.argmax(axis=1) == labels[1::2]):.1%}")

# %% A running merge needs two results at a time, in any order
running = heedful.attention(query, np.empty((0, 64)), np.empty((0, 10)), scale=4.0, return_lse=True)
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
        dout, query, piece["key"], piece["value"], out, lse, scale=4.0
    )
    dquery += gradients.query
    dkeys.append(gradients.key)
_, pullback = heedful.attention_vjp(query, pixels[0::2], values[0::2], scale=4.0)
expected = pullback(dout)
assert np.allclose(dquery, expected.query, rtol=1e-10, atol=1e-12)
assert np.allclose(np.concatenate(dkeys), expected.key, rtol=1e-10, atol=1e-12)
print("gradients over the pieces agree with those over the whole")
