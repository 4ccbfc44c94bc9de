"""Long sequences in linear memory, and masks as structure: causal, window, lengths, packed.

The first call is compared with plain NumPy for a quarter of the sequence, which is a sixteenth of
the work. Masked results are compared with those of the same sequences one by one.
"""

# %% A sequence whose matrix of weights alone would take a gigabyte
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import heedful

rng = np.random.default_rng(0)
length, depth = 16_384, 64
query, key, value = rng.standard_normal((3, 1, length, depth), dtype=np.float32)  # (H, L, D) each


def peak_memory() -> float:
    """Highest resident size of this process so far, in MB; 0 without /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1000


def measured(name: str, function: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """The result of the function, and the MB by which the process grew."""
    before, start = peak_memory(), time.perf_counter()
    out = function()
    seconds, taken = time.perf_counter() - start, peak_memory() - before
    print(f"{name:<36}{seconds:6.2f} s {taken:6.0f} MB")
    return out, taken


out, taken = measured(
    f"{length} tokens, causal", lambda: heedful.attention(query, key, value, causal=True)
)
assert taken < 100


# %% The same in plain NumPy, for a quarter of the tokens
def plain(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    scores = query @ key.swapaxes(-1, -2) / np.float32(8)  # (H, L, L)
    scores[:, ~np.tri(query.shape[-2], dtype=bool)] = -np.inf
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials @ value / exponentials.sum(axis=-1, keepdims=True)


few = length // 4
short = [array[:, :few] for array in (query, key, value)]
expected, taken_by_numpy = measured(f"{few} tokens, causal, plain NumPy", lambda: plain(*short))
assert np.allclose(out[:, :few], expected, atol=1e-5)  # later tokens change nothing
assert taken_by_numpy == 0 or taken_by_numpy > 2 * taken

# %% A window of 256 keys: the time is proportional to the pairs kept
near, _ = measured(
    f"{length} tokens, the last 256 keys each",
    lambda: heedful.attention(query, key, value, causal=True, window=(255, None)),
)
last = heedful.attention(query[:, -1:], key[:, -256:], value[:, -256:])
assert np.allclose(near[:, -1:], last, atol=1e-5)

# %% A padded batch: rows past the lengths never matter, not even NaN
batch = rng.standard_normal((3, 4, 50, 32))  # (B, H, L, D)
lengths = np.array([50, 20, 0])
padded = batch.copy()
for item, n in enumerate(lengths):
    padded[item, :, n:] = np.nan
out = heedful.attention(batch, padded, padded, kv_lengths=lengths)
assert np.isfinite(out).all()
for item, n in enumerate(lengths):  # one by one, without padding
    alone = batch[item, :, :n]
    assert np.allclose(out[item], heedful.attention(batch[item], alone, alone))
assert (out[2] == 0).all()  # nothing to attend: zero, never NaN
print("a padded batch with NaN in its padding:", "all finite" if np.isfinite(out).all() else "NaN")

# %% The same sequences without padding, one after another
starts = np.cumsum([0, *lengths])  # [0, 50, 70, 70]
packed = np.concatenate([batch[b, :, :n].swapaxes(0, 1) for b, n in enumerate(lengths)])
out = heedful.attention_varlen(
    packed, packed, packed, starts, starts, causal=True
)  # (tokens, H, D)
alone = heedful.attention(batch[1, :, :20], batch[1, :, :20], batch[1, :, :20], causal=True)
assert np.allclose(out[50:70].swapaxes(0, 1), alone)
print("packed:", packed.shape, "for lengths", lengths.tolist())

# %% New queries after 900 keys of a cache: align sets the diagonal
cache = rng.standard_normal((2, 4, 903, 32))
new = rng.standard_normal((2, 4, 3, 32))
out = heedful.attention(new, cache, cache, causal=True, align="lower_right")
same = heedful.attention(new, cache, cache, causal=True, align=900)  # keys before the new
assert (out == same).all()
first = heedful.attention(new[:, :, :1], cache[:, :, :901], cache[:, :, :901])
assert np.allclose(out[:, :, :1], first)
print("three new queries after 900 keys:", out.shape)

# %% Everything combines: grouped heads, window, lengths, a bias for the first keys, ALiBi
bias = np.zeros((1, 1, 1, 50))
bias[..., :4] = 2.0
slopes = 2.0 ** -np.arange(1, 5)
shared = batch[:, :2]  # two key/value heads for four query heads
out = heedful.attention(
    batch, shared, shared, causal=True, window=(15, None), kv_lengths=[50, 20, 35],
    bias=bias, alibi_slopes=slopes,
)  # fmt: skip
print("all together:", out.shape)
