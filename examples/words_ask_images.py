"""Words ask images: a number spelled in one of five languages attends to handwritten digits.

"vierundzwanzig", "twenty-four", "vingt-quatre", "veinticuatro" and "ventiquattro" each need an
image of a 2 and one of a 4. Two queries, for the tens and for the units, read the letters of the
word; then they attend to images they have never seen. Nobody tells the model which letters stand
for which digit, nor which languages there are. 20 of the 100 numbers are in no training example.

    python examples/words_ask_images.py                       three seeds, about three minutes each
    python examples/words_ask_images.py --seeds 0 --picture words.png
    python examples/words_ask_images.py --small               a few steps, as the tests run it

Needs `pip install num2words`; the baselines need scikit-learn.
"""

# %% Words and images
import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from digits_vision_transformer import patches

from heedful.data import load_digits
from heedful.layers import (
    Conv1d,
    Embedding,
    Encoder,
    Flatten,
    Layer,
    LearnedPositions,
    Linear,
    MultiHeadAttention,
    Parameter,
    Sequential,
    steps,
)  # fmt: skip
from heedful.training import AdamW, CategoricalCrossEntropy, WarmupCosine

try:
    from num2words import num2words
except ImportError:
    raise SystemExit("num2words is missing: pip install num2words") from None

LANGUAGES = ("en", "de", "fr", "es", "it")
NUMBERS = np.arange(100)
DIGITS = np.stack([NUMBERS // 10, NUMBERS % 10], axis=1)  # (100, 2): tens and units
SLOTS = ("tens", "units")
WIDTH = 64


class Words(NamedTuple):
    spelled: list[str]
    tokens: np.ndarray  # (500, longest) letters, 0 is padding
    lengths: np.ndarray  # (500,)
    numbers: np.ndarray  # (500,)


def words() -> Words:
    """Each number in each language."""
    spelled = [num2words(int(n), lang=language) for language in LANGUAGES for n in NUMBERS]
    letters = sorted(set("".join(spelled)))
    lengths = np.array([len(word) for word in spelled])
    tokens = np.zeros((len(spelled), lengths.max()), int)
    for row, word in zip(tokens, spelled, strict=True):
        row[: len(word)] = [1 + letters.index(letter) for letter in word]
    return Words(spelled, tokens, lengths, np.tile(NUMBERS, len(LANGUAGES)))


def moved(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the images by up to a pixel."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    shift = np.where(rng.random(len(pixels)) < 0.5, 1, rng.integers(0, 3, (2, len(pixels))))
    rows = np.arange(8)[:, None] + shift[0, :, None, None]
    columns = np.arange(8) + shift[1, :, None, None]
    return padded[np.arange(len(pixels))[:, None, None], rows, columns]


# %% The model: two queries read a word, and attend to images
class WordsAskImages(Layer):
    """Scores of images for the tens and the units of words: softmax of them is the attention."""

    def __init__(self, tokens: int, rng: np.random.Generator) -> None:
        # a letter with two on each side: no positions, which new numbers would not share
        self.letters = Embedding(tokens, WIDTH, padding_idx=0, rng=rng)
        self.syllables = Conv1d(WIDTH, WIDTH, 5, padding=2, rng=rng)
        self.words = Encoder(1, WIDTH, 4, 2 * WIDTH, 0.3, norm_first=True, rng=rng)
        self.slots = Parameter(rng.standard_normal((2, WIDTH), np.float32))
        self.read = MultiHeadAttention(WIDTH, 1, rng=rng)
        self.images = Sequential(
            Linear(16, WIDTH, rng=rng),
            LearnedPositions(16, WIDTH, rng=rng),
            Encoder(2, WIDTH, 4, 2 * WIDTH, 0.2, norm_first=True, activation="gelu", rng=rng),
            Flatten(),
            Linear(16 * WIDTH, WIDTH, rng=rng),
        )
        self.log_scale = Parameter(np.full(1, np.log(10), np.float32))

    def spelled(self, tokens: Any, lengths: Any) -> Any:
        """words (B, L) → (B, L, WIDTH)."""
        letters = self.letters(tokens)
        letters = letters + steps.maximum(self.syllables(letters), 0)
        return self.words(letters, kv_lengths=lengths)

    def queries(self, tokens: Any, lengths: Any) -> Any:
        """words (B, L) → (B, 2, WIDTH), of length 1."""
        read = self.spelled(tokens, lengths)
        slots = steps.broadcast_to(self.slots, (len(tokens), 2, WIDTH))
        return unit(self.read(slots, read, kv_lengths=lengths))

    def call(self, tokens: Any, lengths: Any, images: Any) -> Any:
        """words (B, L), images (N, 16, 16) → (B, 2, N)."""
        keys = unit(self.images(images))  # (N, WIDTH)
        return steps.exp(self.log_scale) * (self.queries(tokens, lengths) @ keys.swapaxes(0, 1))


def unit(x: Any) -> Any:
    return x / steps.sqrt((x * x).sum(axis=-1, keepdims=True) + 1e-6)


def letter_weights(model: WordsAskImages, tokens: np.ndarray, length: int) -> np.ndarray:
    """What tens and units read of one word, (2, length)."""
    read = model.spelled(tokens[None, :length], [length])
    return model.read(model.slots[None], read, return_weights=True)[1][0, 0]


# %% Training: of 64 words and 64 images, each finds the right ones among the others
def two_way_loss(scores: np.ndarray, fits: np.ndarray) -> tuple[float, np.ndarray]:
    """Of scores (words, images): the mean loss of words plus that of images, and its gradient.

    A word's answer is any image that fits, and an image's any word; one without is no question.
    """
    loss_fn, total, gradient = CategoricalCrossEntropy(), 0.0, np.zeros_like(scores)
    for targets, logits, into in ((fits, scores, gradient), (fits.T, scores.T, gradient.T)):
        some = targets.any(axis=1)
        shares = targets[some] / targets[some].sum(axis=1, keepdims=True)
        loss, dlogits = loss_fn(shares.astype(scores.dtype), logits[some])
        total += loss
        into[some] += dlogits
    return total, gradient


def train(
    model: WordsAskImages, told: Words, seen: np.ndarray, ink: np.ndarray, labels: np.ndarray,
    count: int, rng: np.random.Generator,
) -> None:  # fmt: skip
    optimizer = AdamW(model, WarmupCosine(2e-3, count // 10, count), weight_decay=0.05)
    for _ in range(count):
        row, image = rng.choice(seen, 64), rng.choice(len(ink), 64, replace=False)
        fits = DIGITS[told.numbers[row]].reshape(128, 1) == labels[image]  # (words · slots, images)
        scores, backward = model.forward(
            told.tokens[row], told.lengths[row], patches(moved(ink[image], rng)), rng=rng
        )
        _, gradient = two_way_loss(scores.reshape(128, 64), fits)
        model.zero_grad()
        backward(gradient.reshape(scores.shape))
        optimizer.step()


# %% Questions: to ten images that show each digit once, and to pictures of two digits
class Asked(NamedTuple):
    image: float  # the heaviest of ten images shows the digit
    both: float  # for tens and units
    picture: float  # a word finds its number among pictures of all 100
    word: float  # a picture finds its word among the 100 of a language


def shelves(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of images, (count, 10): one of each digit, in order."""
    return np.stack([rng.choice(np.flatnonzero(labels == d), count) for d in range(10)], axis=1)


def ask(scores: np.ndarray, numbers: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> Asked:
    """Of scores (words, 2, images), words in the order of the languages.

    chosen : the numbers that are asked
    """
    rng = np.random.default_rng(0)
    kept = np.flatnonzero(np.isin(numbers, chosen))
    image, picture, word = [], [], []
    for shelf in shelves(labels, 100, rng):
        image.append(scores[kept][:, :, shelf].argmax(axis=2) == DIGITS[numbers[kept]])
        # the picture of n has an image of its own for each of its digits
        tens, units = shelves(labels, 100, rng), shelves(labels, 100, rng)
        first, second = tens[NUMBERS, DIGITS[:, 0]], units[NUMBERS, DIGITS[:, 1]]
        fit = scores[:, 0, first] + scores[:, 1, second]  # (words, pictures)
        picture.append(fit[kept].argmax(axis=1) == numbers[kept])
        of_languages = fit.reshape(-1, 100, 100)  # (languages, words, pictures)
        word.append(of_languages.argmax(axis=1)[:, chosen] == chosen)
    right = np.array(image)
    return Asked(right.mean(), right.all(2).mean(), np.mean(picture), np.mean(word))


def draw(model: WordsAskImages, told: Words, pixels: np.ndarray, test: np.ndarray,
         labels: np.ndarray, picture: Path) -> None:  # fmt: skip
    """What 24 and 97 read of their letters, and which of ten images they attend to."""
    from matplotlib.figure import Figure

    shelf = shelves(labels, 1, np.random.default_rng(1))[0]
    figure = Figure(figsize=(9.5, 5.2), layout="constrained")
    grid = figure.add_gridspec(6, 4, width_ratios=[1.7, 2, 1.7, 2])
    for side, number in enumerate((24, 97)):
        shown = figure.add_subplot(grid[0, 2 * side + 1])
        shown.imshow(np.concatenate(list(pixels[shelf]), axis=1), cmap="gray_r")
        shown.axis("off")
        shown.set_title(f"ten images, asked for {number}", fontsize=9)
        for line in range(len(LANGUAGES)):
            row = line * 100 + number
            word, length = told.spelled[row], told.lengths[row]
            scores = model(told.tokens[row][None], told.lengths[row][None], patches(test[shelf]))
            letters = letter_weights(model, told.tokens[row], length)
            for column, values, names in (
                (0, letters, list(word)),
                (1, steps.softmax(scores[0]), list("0123456789")),
            ):
                ax = figure.add_subplot(grid[line + 1, 2 * side + column])
                ax.imshow(values, cmap="Oranges", vmin=0, vmax=values.max(), aspect="auto")
                ax.set_xticks(range(len(names)), names, fontsize=7)
                ax.set_yticks([0, 1], SLOTS if column == 0 else ["", ""], fontsize=7)
                ax.tick_params(length=0)
    figure.savefig(picture, dpi=80)


def baseline(
    told: Words, seen: np.ndarray, ink: np.ndarray, labels: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Scores of two classifiers, of words by letters and of images by pixels; tuned."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    features = grams.fit_transform([told.spelled[row] for row in seen])
    every = grams.transform(told.spelled)
    of_words = np.stack(
        [
            LogisticRegression(C=100.0, max_iter=5000)
            .fit(features, DIGITS[told.numbers[seen], slot])
            .predict_proba(every)
            for slot in range(2)
        ],
        axis=1,
    )  # (words, 2, 10)
    images = SVC(C=10.0, gamma=0.25).fit(ink.reshape(-1, 64), labels)
    decided = images.decision_function(test.reshape(-1, 64))  # (images, 10), ranks of classes
    return np.log(of_words @ steps.softmax(decided).T + 1e-30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--small", action="store_true", help="a few steps, one seed")
    parser.add_argument("--picture", type=Path, help="a file to draw words and images into")
    chosen = parser.parse_args()
    seeds, count = ([0], 60) if chosen.small else (chosen.seeds, chosen.steps)

    told = words()
    pixels, labels = load_digits()
    ink = pixels.astype(np.float32) / 16
    train_half, test_half = np.arange(0, len(ink), 2), np.arange(1, len(ink), 2)
    held_out = np.sort(np.random.default_rng(0).permutation(np.arange(20, 100))[:20])
    seen = np.flatnonzero(~np.isin(told.numbers, held_out))
    known = np.setdiff1d(NUMBERS, held_out)
    print(f"{len(seen)} words, {len(train_half)} images; {len(test_half)} images to test")
    print(f"new numbers: {' '.join(map(str, held_out))}")
    test_labels = labels[test_half]

    def report(name: str, scores: np.ndarray) -> list[Asked]:
        found = [ask(scores, told.numbers, test_labels, kind) for kind in (known, held_out)]
        for kind, line in zip(("seen", "new"), found, strict=True):
            shown = "  ".join(f"{value:7.1%}" for value in line)
            print(f"{name:24} {kind:4} numbers  {shown}", flush=True)
        return found

    print(f"{'':37}" + "  ".join(f"{name:>7}" for name in Asked._fields))
    if not chosen.small:
        report("classifiers", baseline(
            told, seen, ink[train_half], labels[train_half], ink[test_half]))  # fmt: skip
    every = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        model = WordsAskImages(int(told.tokens.max()) + 1, rng)
        begin = time.process_time()
        train(model, told, seen, ink[train_half], labels[train_half], count, rng)
        minutes = (time.process_time() - begin) / 60
        scores = model(told.tokens, told.lengths, patches(ink[test_half]))
        every.append(report(f"seed {seed}, {minutes:.1f} min", scores))
    mean, spread = np.mean(every, axis=0), np.std(every, axis=0)
    for kind, means, spreads in zip(("seen", "new"), mean, spread, strict=True):
        line = "  ".join(f"{m:.1%} ± {s:.1%}" for m, s in zip(means, spreads, strict=True))
        print(f"mean, {kind} numbers: {line}")
    assert chosen.small or mean[:, 0].min() >= 0.97
    if chosen.picture:
        draw(model, told, pixels[test_half], ink[test_half], test_labels, chosen.picture)


if __name__ == "__main__":
    main()
