"""Which language is spoken? Prompts of telephone systems in five languages, told by their sound.

Debian packages the prompts of the telephone system Asterisk as recordings: the same phrases in
English, Spanish, French, Italian and Russian, 1.3 seconds each in the middle, 8,000 samples a
second. A recording becomes frames, the energies of 40 frequency bands every 10 ms; two convolutions
look at neighbours; attention pooling weighs the moments. A phrase is either trained on or tested,
in all languages. The baseline is a logistic regression of mean and deviation of each band.

    apt-get install asterisk-core-sounds-{en,es,fr,it,ru}-wav espeak-ng
    pip install scipy scikit-learn
    python spoken_language.py                    three seeds, each a minute or two
    python spoken_language.py --picture FILE     and a picture: where it listens
    python spoken_language.py --folder FOLDER    recordings of your own: a folder for each language
    python spoken_language.py --small            a few epochs, in seconds, as the tests run it
"""

# %% Sound as an array; other scripts import these functions
import argparse
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heedful.layers import AttentionPooling, Conv1d, Dropout, Layer, LayerNorm, Linear, steps
from heedful.training import AdamW, WarmupCosine

RATE, HOP, WINDOW, FFT, BANDS = 8000, 80, 200, 256, 40  # samples; a frame every 10 ms
FLOOR = -45.0  # dB; what is quieter, hiss and hum, is made equal in all recordings
SOUNDS = Path("/usr/share/asterisk/sounds")
PROBED = ("en-us", "es-419", "fr-fr", "it", "ru")  # voices of espeak-ng, in the order of folders
TONES_AND_MONKEYS = {"ascending-2tone", "beep", "beeperr", "confbridge-join", "confbridge-leave",
                     "descending-2tone", "tt-monkeys"}  # fmt: skip


def read_wav(file: Path) -> np.ndarray:
    """The samples of a recording, 16-bit and mono, 8,000 a second."""
    from scipy.signal import resample_poly

    with wave.open(str(file)) as recording:
        rate = recording.getframerate()
        samples = np.frombuffer(recording.readframes(60 * rate), np.int16) / 32768
    return samples if rate == RATE else resample_poly(samples, RATE, rate)


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Without the silence at both ends, 25 dB below the loudest moment."""
    from scipy.ndimage import uniform_filter1d

    loudness = uniform_filter1d(samples**2, WINDOW)
    heard = np.flatnonzero(loudness >= loudness.max() / 10**2.5)
    return samples[heard[0] : heard[-1] + 1]


def mel_filters() -> np.ndarray:
    """(bands, frequencies): triangles, equally wide on the scale by which ears compare pitches."""
    edges = 2595 * np.log10(1 + np.array([100, 3800]) / 700)
    edges = 700 * (10 ** (np.linspace(*edges, BANDS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(FFT, 1 / RATE)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


def log_mel(samples: np.ndarray) -> np.ndarray:
    """(frames, bands): decibels above the mean of the loud frames, so that all are equally loud."""
    from scipy.fft import rfft
    from scipy.signal import get_window

    samples = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.abs(rfft(frames * get_window("hann", WINDOW), FFT)) ** 2
    energy = power @ mel_filters().T
    loudness = energy.sum(1)
    energy /= energy[loudness >= np.quantile(loudness, 0.6)].mean() + 1e-20
    return (10 * np.log10(energy + 10 ** (FLOOR / 10))).astype(np.float32)


def padded(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(N, longest, bands) with zeros at the ends, and the lengths (N,)."""
    lengths = np.array([len(one) for one in frames])
    x = np.zeros((len(frames), lengths.max(), frames[0].shape[1]), np.float32)
    for row, one in zip(x, frames, strict=True):
        row[: len(one)] = one
    return x, lengths


# %% The model: neighbours by convolution, moments by attention
class Listener(Layer):
    def __init__(self, classes: int, seed: int, width: int = 96, queries: int = 4) -> None:
        rng = np.random.default_rng(seed)
        self.near = Conv1d(BANDS, width, 5, stride=2, padding=2, rng=rng)  # every 20 ms
        self.far = Conv1d(width, width, 5, stride=2, padding=2, rng=rng)  # every 40 ms
        self.near_norm, self.far_norm = LayerNorm(width), LayerNorm(width)
        self.pool = AttentionPooling(width, hidden=32, num_queries=queries, rng=rng)
        self.dropout = Dropout(0.2)
        self.name = Linear(queries * width, classes, rng=rng)

    def moments(self, x: Any) -> Any:
        """(N, frames, bands) → (N, frames / 4, width)"""
        x = steps.maximum(self.near_norm(self.near(x)), 0)
        return steps.maximum(self.far_norm(self.far(x)), 0)

    def call(self, x: Any, lengths: Any) -> Any:
        pooled = self.pool(self.moments(x), lengths=(lengths + 3) // 4)
        return self.name(self.dropout(pooled.reshape(len(x), -1)))

    def weights(self, frames: np.ndarray) -> np.ndarray:
        """(queries, moments): where it listens."""
        return self.pool(self.moments(frames[None]), return_weights=True)[1][0]


def varied(frames: np.ndarray, rng: np.random.Generator, longest: int = 200) -> np.ndarray:
    """A piece of at most two seconds, other microphones' bands, some bands hidden."""
    start = rng.integers(0, max(1, len(frames) - longest + 1))
    piece = frames[start : start + longest] + rng.normal(0, 0.15, BANDS).astype(np.float32)
    for _ in range(2):
        band = rng.integers(0, BANDS - 6)
        piece[:, band : band + rng.integers(0, 7)] = 0
    return piece


def train(model: Listener, frames: Sequence[np.ndarray], labels: np.ndarray, epochs: int,
          seed: int) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    batches = -(-len(frames) // 32)

    def drawn() -> Iterator[tuple[tuple[np.ndarray, np.ndarray], np.ndarray]]:
        while True:
            for batch in np.array_split(rng.permutation(len(frames)), batches):
                yield padded([varied(frames[item], rng) for item in batch]), labels[batch]

    total = epochs * batches
    schedule = WarmupCosine(3e-3, total // 10, total)
    model.compile(AdamW(lr=schedule, weight_decay=0.05), "sparse_categorical_crossentropy")
    model.fit(drawn(), epochs=epochs, steps_per_epoch=batches, verbose=False, rng=seed)


def recognised(model: Listener, frames: Sequence[np.ndarray], longest: int = 1000) -> np.ndarray:
    """The class of each recording, from its first ten seconds, those of similar length together."""
    named = np.zeros(len(frames), int)
    order = np.argsort([len(one) for one in frames])
    for batch in np.array_split(order, -(-len(frames) // 32)):
        named[batch] = model(*padded([frames[item][:longest] for item in batch])).argmax(-1)
    return named


class Scale:
    """Frames with mean 0 and deviation 1 in each band, of the recordings that are trained on."""

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        joined = np.concatenate(frames)
        self.mean, self.deviation = joined.mean(0), joined.std(0) + 1e-6

    def __call__(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [(one - self.mean) / self.deviation for one in frames]


# %% The recordings
class Recordings(NamedTuple):
    languages: list[str]
    frames: list[np.ndarray]
    labels: np.ndarray  # (N,) number of the language
    phrases: np.ndarray  # (N,) the same name in each language
    files: list[Path]


def load(folder: Path) -> Recordings:
    found = Recordings(sorted(f.name for f in folder.iterdir() if f.is_dir()), [], [], [], [])
    for label, language in enumerate(found.languages):
        for file in sorted((folder / language).rglob("*.wav")):
            if file.parent.name == "silence" or file.stem in TONES_AND_MONKEYS:
                continue
            samples = read_wav(file)
            if samples.any():  # one of the Russian files is empty
                found.frames.append(log_mel(trimmed(samples)))
                found.labels.append(label)
                found.phrases.append(str(file.relative_to(folder / language)))
                found.files.append(file)
    return found._replace(labels=np.array(found.labels), phrases=np.array(found.phrases))


def parts(phrases: np.ndarray, seed: int) -> list[np.ndarray]:
    """Items to train (70 %), to validate (10 %) and to test (20 %); a phrase is in one of them."""
    names = np.random.default_rng(seed).permutation(np.unique(phrases))
    ends = [0, round(0.7 * len(names)), round(0.8 * len(names)), len(names)]
    return [np.flatnonzero(np.isin(phrases, names[a:b])) for a, b in pairwise(ends)]


def logistic(x: np.ndarray, labels: np.ndarray, split: list[np.ndarray]) -> float:
    """Accuracy of a logistic regression, its C chosen by validation: the baseline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, validation, test = split
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=3000))
        .fit(x[train], labels[train])
        for c in (0.001, 0.01, 0.1, 1.0, 10.0)
    ]  # fmt: skip
    best = max(models, key=lambda model: model.score(x[validation], labels[validation]))
    return float(best.score(x[test], labels[test]))


def statistics(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Mean and deviation of each band, (N, 2 · bands)."""
    return np.array([np.r_[one.mean(0), one.std(0)] for one in frames])


def probe(model: Listener, scale: Scale, numbers: int) -> float:
    """Accuracy on other voices: numbers that espeak-ng speaks in the same languages."""
    frames, labels = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "number.wav"
        for label, voice in enumerate(PROBED):
            for number in np.linspace(100, 999, numbers).astype(int):
                subprocess.run(["espeak-ng", "-v", voice, "-w", file, str(number)], check=True)
                frames.append(log_mel(trimmed(read_wav(file))))
                labels.append(label)
    return float(np.mean(recognised(model, scale(frames)) == labels))


# %% Where it listens
def draw(panels: Sequence[tuple[str, np.ndarray, np.ndarray]], file: Path) -> None:
    """Panels of (title, samples, weights), the time axis of the weights under the waveform."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.9 * len(panels)), layout="constrained")
    axes = figure.subplots(2 * len(panels), 1, height_ratios=[2, 1] * len(panels))
    for (title, samples, weights), above, below in zip(panels, axes[::2], axes[1::2], strict=True):
        seconds = len(samples) / RATE
        above.plot(np.linspace(0, seconds, len(samples)), samples, color="0.35", linewidth=0.4)
        above.set_title(title, fontsize=9, loc="left")
        edges = np.linspace(0, seconds, weights.shape[-1] + 1)
        below.stairs(weights.mean(0) * weights.shape[-1], edges, fill=True, color="tab:orange")
        for axis in (above, below):
            axis.set_xlim(0, seconds)
            axis.set_yticks([])
            axis.spines[["top", "right", "left"]].set_visible(False)
        above.set_xticks([])
    axes[-1].set_xlabel("seconds")
    figure.savefig(file, dpi=100)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--folder", type=Path, default=SOUNDS)
    options.add_argument("--picture", type=Path)
    options.add_argument("--small", action="store_true")
    given = options.parse_args()
    if not given.folder.is_dir():
        sys.exit(f"{given.folder} is missing: apt-get install asterisk-core-sounds-en-wav, and "
                 "the same for es, fr, it and ru")  # fmt: skip
    data = load(given.folder)
    named = zip(np.bincount(data.labels), data.languages, strict=True)
    print(f"{len(data.frames)} recordings:", ", ".join(f"{n} {name}" for n, name in named))
    accuracies, baselines = [], []
    for seed in given.seeds[: 1 if given.small else None]:
        train_items, validation, test = split = parts(data.phrases, seed)
        scale = Scale([data.frames[item] for item in train_items])
        frames = scale(data.frames)
        model = Listener(len(data.languages), seed)
        train(model, [frames[item] for item in train_items], data.labels[train_items],
              2 if given.small else 40, seed)  # fmt: skip
        right = recognised(model, frames) == data.labels
        accuracies.append(right[test].mean())
        baselines.append(logistic(statistics(frames), data.labels, split))
        print(f"seed {seed}: {accuracies[-1]:.3f} of {len(test)} unheard phrases, "
              f"validation {right[validation].mean():.3f}; "
              f"mean and deviation {baselines[-1]:.3f}", flush=True)  # fmt: skip
        if given.folder != SOUNDS:
            continue
        one_voice = test[data.labels[test] < 2]  # Allison speaks English and Spanish
        print(f"        {right[one_voice].mean():.3f} of those that one person speaks")
        if shutil.which("espeak-ng"):
            other = probe(model, scale, 5 if given.small else 50)
            print(f"        {other:.3f} of numbers that espeak-ng speaks, where chance is 0.2")
    print(f"attention: {np.mean(accuracies):.3f} ± {np.std(accuracies):.3f}, "
          f"mean and deviation: {np.mean(baselines):.3f} ± {np.std(baselines):.3f}")  # fmt: skip
    if given.picture:
        middle = [item for item in test[right[test]] if 150 < len(frames[item]) < 300]
        _, first = np.unique(data.labels[middle], return_index=True)
        draw(
            [(f"{data.languages[data.labels[item]]}: {data.phrases[item]}",
              trimmed(read_wav(data.files[item])), model.weights(frames[item]))
             for item in np.array(middle)[first]],
            given.picture,
        )  # fmt: skip


if __name__ == "__main__":
    main()
