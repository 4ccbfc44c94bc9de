"""Explain where attention goes: the words of a text attend to each other by their spelling.

A word is described by the pairs of letters in it; nothing is trained. So the weights can be judged
by eye: words that share a stem attend to each other. Which word ranks first is decided by cosine
similarity, of which the weights are the softmax: attention turns it into weights that add up to
one over the words that the mask leaves. A word drawn at random shares the stem much less often.
"""

# %% A text, and a vector for every word: which of all letter pairs it holds
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import heedful

TEXT = """
the reader reads what the writer wrote while the writing writer reads what readers read
and no reading reader reads without having read that writers write
""".split()  # noqa: SIM905


def pairs(word: str) -> list[str]:
    padded = f"^{word}$"
    return [padded[i : i + 2] for i in range(len(padded) - 1)]


vocabulary = sorted({pair for word in TEXT for pair in pairs(word)})
words = np.zeros((len(TEXT), len(vocabulary)))  # (L, D)
for row, word in enumerate(TEXT):
    for pair in pairs(word):
        words[row, vocabulary.index(pair)] = 1.0
words /= np.linalg.norm(words, axis=1, keepdims=True)

# %% Where does each word attend? Not to itself or to its own repetitions
repeated = np.array([[a == b for b in TEXT] for a in TEXT])
weights = heedful.attention_weights(words, words, mask=~repeated, scale=20.0)  # (L, L)


def strongest(row: np.ndarray, count: int = 3) -> str:
    places = np.argsort(-row, kind="stable")[:count]
    return ", ".join(f"{TEXT[j]} {row[j]:.2f}" for j in places)


for word in ("writer", "reading", "wrote"):
    print(f"{word:<8} attends to {strongest(weights[TEXT.index(word)])}")

# %% How often is it a word of the same stem? Compared with one drawn at random
stems = np.array([word[:4] for word in TEXT])
chosen = np.isin(stems, ["read", "writ"])
alike = (stems[:, None] == stems) & ~repeated
first = np.where(repeated, -np.inf, words @ words.T).argmax(axis=1)  # by cosine similarity
assert (weights.argmax(axis=1) == first).all()
found = alike[np.arange(len(TEXT)), first][chosen].mean()
chance = (alike.sum(axis=1) / (~repeated).sum(axis=1))[chosen].mean()
print(f"of the same stem: {found:.0%} of the words attended to most, {chance:.0%} of all others")
assert found > chance + 0.5

# %% Only some rows: the weights of the others are never computed, however long the text is
row = TEXT.index("readers")
one = heedful.attention_weights(words, words, mask=~repeated, scale=20.0, rows=row)  # (L,)
assert np.allclose(one, weights[row])
print(f"{'readers':<8} attends to {strongest(one)}")

# %% Several heads, here broad, sharp, and only to the left; and their mean
sharpness = np.array([5.0, 20.0, 20.0])[:, None, None]
heads = np.stack([words] * 3)  # (H, L, D)
left = np.tri(len(TEXT), k=-1, dtype=bool)
views = np.stack([~repeated, ~repeated, left & ~repeated])  # (H, L, L)
per_head = heedful.attention_weights(heads * sharpness, heads, mask=views, scale=1.0)
mean = heedful.attention_weights(
    heads * sharpness, heads, mask=views, scale=1.0, average_heads=True
)
assert np.allclose(mean, per_head.mean(axis=0))
for name, head in zip(("broad", "sharp", "left"), per_head, strict=True):
    print(f"head {name:<8} reading attends to {strongest(head[TEXT.index('reading')])}")

# %% The weighted sum comes with the weights in one call, when both are needed
out, together = heedful.attention(
    words, words, words, mask=~repeated, scale=20.0, return_weights=True
)
assert np.allclose(together, weights)
assert np.allclose(out, weights @ words)

# %% A heat map, if matplotlib is there
if find_spec("matplotlib"):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(weights, cmap="Blues", vmin=0)
    axes.set_xticks(range(len(TEXT)), TEXT, rotation=90, fontsize=8)
    axes.set_yticks(range(len(TEXT)), TEXT, fontsize=8)
    axes.set_xlabel("attended word")
    axes.set_ylabel("attending word")
    figure.colorbar(shown, ax=axes, shrink=0.7, label="weight")
    path = Path(tempfile.mkdtemp()) / "where_it_attends.png"
    figure.savefig(path, dpi=120)
    print("picture:", path)
