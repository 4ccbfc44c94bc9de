"""Digits spoken by unheard voices: attention finds the moments that tell five from nine.

Debian's speech synthesizer espeak-ng has a hundred variants of its voices (old, young, whispering,
robots) and eight English accents. Each variant speaks each digit three times, in an accent, at a
speed and at a pitch drawn at random. Variants are split, not recordings: relatives (robosoft,
robosoft2, …) stay together, and those in the test were never heard. The model is that of
spoken_language.py: frames, two convolutions, attention pooling over time. Two baselines with
logistic regression see the same frames: mean and deviation of the bands, which know no order, and
all bands at 16 moments.

    apt-get install espeak-ng
    pip install scipy scikit-learn
    python spoken_digits.py                  three seeds; the voices speak for some minutes
    python spoken_digits.py --picture FILE   and a picture: one digit in three unheard voices
    python spoken_digits.py --small          twelve variants and few epochs, as the tests run it
"""

# %% The recordings
import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from spoken_language import (
    Listener,
    Scale,
    draw,
    log_mel,
    logistic,
    parts,
    read_wav,
    recognised,
    statistics,
    train,
    trimmed,
)

ACCENTS = ("en-us", "en-us-nyc", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan",
           "en-gb-x-gbcwmd", "en-029")  # fmt: skip


class Digits(NamedTuple):
    samples: list[np.ndarray]
    labels: np.ndarray  # (N,) the digit
    voices: np.ndarray  # (N,) the variant
    families: np.ndarray  # (N,) its name without a number


def variants() -> list[str]:
    listed = subprocess.run(["espeak-ng", "--voices=variant"], capture_output=True, check=True)
    return sorted(set(re.findall(r"!v/(\S+(?: \w+)?)", listed.stdout.decode())))


def speak(voices: Sequence[str], times: int, rng: np.random.Generator) -> Digits:
    samples, labels, names = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digit.wav"
        for voice in voices:
            for digit in np.repeat(np.arange(10), times):
                accent = rng.choice(ACCENTS)
                speed, pitch = rng.integers(110, 221), rng.integers(20, 81)
                subprocess.run(
                    ["espeak-ng", "-v", f"{accent}+{voice}", "-s", str(speed), "-p", str(pitch),
                     "-w", file, str(digit)], check=True
                )  # fmt: skip
                samples.append(trimmed(read_wav(file)))
                labels.append(digit)
                names.append(voice)
    families = [name.lower().rstrip("0123456789") for name in names]
    return Digits(samples, np.array(labels), np.array(names), np.array(families))


def moments(frames: Sequence[np.ndarray]) -> np.ndarray:
    """All bands at 16 moments of each recording, (N, 16 · bands)."""
    return np.array([one[np.linspace(0, len(one) - 1, 16).astype(int)].ravel() for one in frames])


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--picture", type=Path)
    options.add_argument("--small", action="store_true")
    given = options.parse_args()
    if not shutil.which("espeak-ng"):
        sys.exit("espeak-ng is missing: apt-get install espeak-ng")
    voices = variants()[:: 8 if given.small else 1]
    data = speak(voices, 1 if given.small else 3, np.random.default_rng(0))
    unscaled = [log_mel(samples) for samples in data.samples]
    print(f"{len(unscaled)} digits by {len(voices)} voices "
          f"of {len(np.unique(data.families))} families")  # fmt: skip
    results = []
    for seed in given.seeds[: 1 if given.small else None]:
        train_items, validation, test = split = parts(data.families, seed)
        frames = Scale([unscaled[item] for item in train_items])(unscaled)
        model = Listener(10, seed)
        train(model, [frames[item] for item in train_items], data.labels[train_items],
              3 if given.small else 30, seed)  # fmt: skip
        named = recognised(model, frames)
        right = named == data.labels
        others = [logistic(x, data.labels, split) for x in (statistics(frames), moments(frames))]
        results.append([right[test].mean(), *others])
        print(f"seed {seed}: {results[-1][0]:.3f} of {len(test)} digits by unheard voices, "
              f"validation {right[validation].mean():.3f}; mean and deviation "
              f"{results[-1][1]:.3f}, 16 moments {results[-1][2]:.3f}", flush=True)  # fmt: skip
        wrong = test[~right[test]]
        worst, times = np.unique(data.voices[wrong], return_counts=True)
        print("        most errors:", ", ".join(
            f"{worst[i]} {times[i]}" for i in np.argsort(-times)[:4]))  # fmt: skip
    for name, column in zip(
        ("attention", "mean and deviation", "16 moments"), np.transpose(results), strict=True
    ):
        print(f"{name}: {column.mean():.3f} ± {column.std():.3f}")
    if given.picture:
        fives = test[right[test] & (data.labels[test] == 5)]
        _, first = np.unique(data.families[fives], return_index=True)
        draw(
            [(f"“five”, voice {data.voices[item]}", data.samples[item],
              model.weights(frames[item])) for item in fives[np.sort(first)[:3]]],
            given.picture,
        )  # fmt: skip


if __name__ == "__main__":
    main()
