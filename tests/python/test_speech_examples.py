"""The examples of speech on made-up recordings, where Debian's are not installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

import heedful

pytestmark = [pytest.mark.once, pytest.mark.slow]

pytest.importorskip("scipy")
pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import spoken_language

    return spoken_language


def write_wav(file: Path, samples: np.ndarray, rate: int = 8000) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes((samples * 32767).astype(np.int16).tobytes())


def tone(hertz: float, seconds: float, rate: int = 8000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def test_languages_of_made_up_recordings_are_told_apart(tmp_path: Path) -> None:
    """Three languages of one tone each; an unheard phrase has another length and loudness."""
    rng = np.random.default_rng(0)
    for language, hertz in (("low", 300), ("middle", 900), ("high", 2500)):
        for phrase in range(30):
            samples = tone(hertz, rng.uniform(0.2, 0.5)) * rng.uniform(0.1, 1)
            noise = rng.normal(0, 1e-4, len(samples))
            write_wav(tmp_path / "recordings" / language / f"{phrase}.wav", samples + noise)
    source = str(Path(heedful.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "spoken_language.py"), "--small",
         "--folder", str(tmp_path / "recordings")],
        capture_output=True, text=True, timeout=3600, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "90 recordings: 30 high, 30 low, 30 middle" in done.stdout
    [right] = re.findall(r"seed 0: ([\d.]+) of 18 unheard phrases", done.stdout)
    assert float(right) > 0.8  # by chance a third; usually all


def test_a_tone_is_loud_in_the_band_of_its_pitch(example) -> None:
    decibels = example.log_mel(tone(1000, 0.5))
    assert decibels.shape == (51, example.BANDS)  # a frame around each 10 ms, ends included
    mel = 2595 * np.log10(1 + np.array([100, 1000, 3800]) / 700)
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * (example.BANDS + 1) - 1
    assert abs(decibels[25].argmax() - expected) <= 1


def test_loudness_does_not_matter(example) -> None:
    samples = tone(700, 0.3) + 0.1 * np.random.default_rng(1).standard_normal(2400)
    np.testing.assert_allclose(example.log_mel(0.01 * samples), example.log_mel(samples), atol=1e-3)


def test_silence_at_both_ends_is_cut(example) -> None:
    found = example.trimmed(np.concatenate([np.zeros(3000), tone(700, 0.3), np.zeros(5000)]))
    assert 0 <= len(found) - 2400 <= example.WINDOW
    np.testing.assert_allclose(np.sum(found**2), np.sum(tone(700, 0.3) ** 2))


def test_recordings_of_another_rate_are_resampled(example, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(440, 1, 22050), 22050)
    found = example.read_wav(tmp_path / "a.wav")
    assert found.shape == (8000,)
    np.testing.assert_allclose(found[1000:7000], tone(440, 1)[1000:7000], atol=0.01)


def test_a_phrase_is_in_one_part_alone(example) -> None:
    phrases = np.array(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] * 3)
    split = example.parts(phrases, seed=0)
    assert sorted(np.concatenate(split)) == list(range(30))
    heard = [set(phrases[items]) for items in split]
    assert [len(part) for part in heard] == [7, 1, 2]


def test_all_of_a_recording_is_heard_and_nothing_after_it(example) -> None:
    model = example.Listener(3, seed=0)
    x = np.random.default_rng(0).standard_normal((1, 80, example.BANDS)).astype(np.float32)
    changed = x.copy()
    changed[:, 60:] = 0
    for length, equal in ((80, False), (40, True)):
        lengths = np.array([length])
        assert np.array_equal(model(x, lengths), model(changed, lengths)) == equal


def test_missing_recordings_are_told_with_the_command_that_installs_them(tmp_path: Path) -> None:
    source = str(Path(heedful.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "spoken_language.py"), "--folder", str(tmp_path / "none")],
        capture_output=True, text=True, timeout=3600,
        env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert done.returncode == 1
    assert "apt-get install asterisk-core-sounds-en-wav" in done.stderr
