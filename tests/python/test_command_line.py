"""`python -m heedful`, as a user starts it: in a process of its own, from a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import heedful
from heedful.data import load_digits

pytestmark = pytest.mark.slow


def run(
    folder: Path, *words: str, program: tuple[str, ...] = ("-m", "heedful")
) -> subprocess.CompletedProcess[str]:
    """The finished command. Its output is ASCII: it must work on every terminal."""
    return subprocess.run(
        [sys.executable, *program, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": _package_path()},
    )


def _package_path() -> str:
    source = str(Path(heedful.__file__).parents[1])
    return os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="module")
def main_job(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the main job prints, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("main_job")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def right_by_numpy(scale: float) -> tuple[int, np.ndarray]:
    """The number of test digits that float64 NumPy recognises, and its weights (898, 899)."""
    images, labels = load_digits()
    pixels = images.reshape(-1, 64).astype(np.float64)
    pixels /= np.sqrt((pixels**2).sum(axis=1))[:, None]
    weights = np.exp(scale * (pixels[1::2] @ pixels[0::2].T - 1.0))
    weights /= weights.sum(axis=1)[:, None]
    votes = np.stack([weights[:, labels[0::2] == digit].sum(axis=1) for digit in range(10)], axis=1)
    return int((votes.argmax(axis=1) == labels[1::2]).sum()), weights


def test_the_main_job_recognises_as_many_digits_as_numpy_in_float64(
    main_job: tuple[str, Path],
) -> None:
    printed, _ = main_job
    scale = float(re.search(r"chosen: (\d+)", printed)[1])
    percent, right = re.search(
        r"Accuracy on the test half: ([\d.]+)% \((\d+) of 898\)", printed
    ).groups()
    assert float(percent) >= 98.5
    assert int(right) == right_by_numpy(scale)[0]


def test_beside_it_stands_the_nearest_image_alone(main_job: tuple[str, Path]) -> None:
    printed, _ = main_job
    found = re.search(r"nearest training image alone: ([\d.]+)% \((\d+) of 898\)", printed)
    images, labels = load_digits()
    pixels = images.reshape(-1, 64).astype(np.float64)
    pixels /= np.sqrt((pixels**2).sum(axis=1))[:, None]
    distances = ((pixels[1::2, None] - pixels[None, 0::2]) ** 2).sum(axis=-1)  # (898, 899)
    right = int((labels[0::2][distances.argmin(axis=1)] == labels[1::2]).sum())
    assert int(found[2]) == right
    assert float(found[1]) == round(100 * right / 898, 1)


def test_the_scale_is_the_best_of_those_tried_on_the_training_half(
    main_job: tuple[str, Path],
) -> None:
    printed, _ = main_job
    scales = [float(word) for word in re.search(r"\n  scale(.*)\n", printed)[1].split()]
    chosen = float(re.search(r"chosen: (\d+)", printed)[1])
    images, labels = load_digits()
    pixels = images[0::2].reshape(-1, 64).astype(np.float64)
    pixels /= np.sqrt((pixels**2).sum(axis=1))[:, None]
    right = []
    for scale in scales:
        weights = np.exp(scale * (pixels @ pixels.T - 1.0))
        np.fill_diagonal(weights, 0.0)  # no image may vote for itself
        votes = weights @ np.eye(10)[labels[0::2]]
        right.append((votes.argmax(axis=1) == labels[0::2]).sum())
    assert chosen == scales[int(np.argmax(right))]


def test_the_main_job_tells_the_time_of_numpy_and_of_heedful(main_job: tuple[str, Path]) -> None:
    printed, _ = main_job
    numpy_time = float(re.search(r"NumPy +([\d.]+) ms", printed)[1])
    own_time = float(re.search(r"heedful +([\d.]+) ms", printed)[1])
    ratio = float(re.search(r"([\d.]+) x as fast", printed)[1])
    assert ratio == pytest.approx(numpy_time / own_time, rel=0.1, abs=0.1)


def test_the_main_job_names_the_images_with_the_largest_weights(main_job: tuple[str, Path]) -> None:
    printed, _ = main_job
    scale = float(re.search(r"chosen: (\d+)", printed)[1])
    weights = right_by_numpy(scale)[1]
    shown = re.findall(r"test image (\d+) +(image .*)\n.*?( weight .*)\n", printed)
    assert len(shown) == 3
    for test_image, images, listed in shown:
        row = weights[(int(test_image) - 1) // 2]
        most = np.argsort(-row)[:3]
        assert [int(number) for number in re.findall(r"image (\d+)", images)] == list(2 * most)
        numbers = [float(number) for number in re.findall(r"weight ([\d.]+)", listed)]
        np.testing.assert_allclose(numbers, row[most], atol=6e-4)


def test_the_main_job_saves_a_picture_that_is_not_empty(main_job: tuple[str, Path]) -> None:
    image = pytest.importorskip("matplotlib.image")
    printed, folder = main_job
    path = Path(re.search(r"Picture: (.*)", printed)[1])
    assert path == (folder / "heedful_digits.png").resolve()
    pixels = image.imread(path)
    assert pixels.shape[0] > 500
    assert pixels.shape[1] > 1000
    assert pixels[..., :3].std() > 0.1


@pytest.mark.once
def test_without_matplotlib_the_main_job_says_that_there_is_no_picture(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from heedful.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = run(tmp_path, program=("-c", program))
    assert done.returncode == 0, done.stderr
    assert "No picture: a picture needs matplotlib" in done.stdout
    assert not list(tmp_path.iterdir())
    insisting = run(tmp_path, "--picture", "here.png", program=("-c", program))
    assert insisting.returncode == 1
    assert "needs matplotlib" in insisting.stderr


def test_the_images_asked_for_are_shown_and_no_picture_is_saved(tmp_path: Path) -> None:
    done = run(tmp_path, "digits", "--show", "1", "1795", "--no-picture")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"test image (\d+) ", done.stdout) == ["1", "1795"]
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_a_picture_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = run(tmp_path, "--picture", "no/such/folder/digits.png")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("nonsense",), "invalid choice: 'nonsense'"),
        (("--show", "2"), "expected an odd number from 1 to 1795, got '2'"),
        (("--show", "one"), "expected an odd number from 1 to 1795, got 'one'"),
        (("--picture", "digits.doc"), "expected a .png, .pdf or .svg file, got 'digits.doc'"),
        (("bench", "--shapes", "round"), "invalid choice: 'round'"),
        (("search", "words", ".", "--top", "0"), "expected a number from 1 on, got 0"),
        (("search", "words"), "the following arguments are required: folder"),
        (("bench", "--rounds", "0"), "expected a number from 1 on, got 0"),
        (("bench", "--dropout", "1"), "expected 0 or more and less than 1, got 1"),
    ],
)
def test_wrong_usage_is_explained_and_ends_with_2(
    tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.once
def test_a_reader_that_stops_early_causes_no_traceback(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "heedful", "--no-picture"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": _package_path(), "PYTHONUNBUFFERED": "1"},
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 1
    assert errors == ""


def test_config_prints_what_show_config_returns(tmp_path: Path) -> None:
    done = run(tmp_path, "config")
    assert done.returncode == 0, done.stderr
    printed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line)
    expected = heedful.show_config(mode="dicts")
    assert printed["heedful"].strip() == heedful.__version__
    assert printed["level"].strip() == expected["level"]
    assert list(expected) == [line.split()[0] for line in done.stdout.splitlines()]  # once


@pytest.mark.once
def test_version_and_help_are_printed(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout == f"heedful {heedful.__version__}\n"
    commands = ("digits", "search", "config", "bench")
    overview = run(tmp_path, "--help").stdout
    assert all(f"\n    {command} " in overview for command in commands)
    for words in (["--help"], *([command, "--help"] for command in commands)):
        done = run(tmp_path, *words)
        assert done.returncode == 0
        assert "usage: python -m heedful" in done.stdout


@pytest.mark.once
def test_the_script_says_its_own_name_in_help_and_errors(tmp_path: Path) -> None:
    """As pip's script `heedful` starts it, and as the module does."""
    start = "import sys; sys.argv[0] = {!r}; from heedful.__main__ import main; sys.exit(main())"
    for started, name in (
        ("/usr/bin/heedful", "heedful"),
        ("heedful.exe", "heedful"),
        ("/there/heedful/__main__.py", "python -m heedful"),
        ("", "python -m heedful"),
    ):
        program = ("-c", start.format(started))
        assert run(tmp_path, "--help", program=program).stdout.startswith(f"usage: {name} [-h]")
        wrong = run(tmp_path, "bench", "--rounds", "0", program=program).stderr.splitlines()
        assert wrong[0].startswith(f"usage: {name} bench ")
        assert wrong[-1].startswith(f"{name} bench: error: ")
        failed = run(tmp_path, "search", "words", "nowhere", program=program)
        assert failed.returncode == 1
        assert failed.stderr.startswith(f"{name}: ")


@pytest.mark.once
def test_bench_checks_times_and_writes_what_it_measured(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        *("bench", "--shapes", "overhead", "--libraries", "heedful", "numpy"),
        *("--rounds", "2", "--seconds", "0.01", "--threads", "1", "--json", "times.json"),
    )
    assert done.returncode == 0, done.stderr
    assert "x as fast" in done.stdout
    written = json.loads((tmp_path / "times.json").read_text(encoding="utf-8"))
    [comparison] = written["comparisons"]
    assert comparison["wrong"] == {}
    assert [one["library"] for one in comparison["measured"]] == ["heedful", "numpy"]
    for one in comparison["measured"]:
        assert 0 < one["best"] <= one["median"] < 1
        assert one["error"] < 1e-5
    assert written["machine"]["level"] == heedful.show_config(mode="dicts")["level"]
    assert written["command"].startswith("python -m heedful bench --shapes overhead")


@pytest.mark.once
def test_bench_measures_both_layouts(tmp_path: Path) -> None:
    quick = ("--rounds", "1", "--seconds", "0.01", "--threads", "1", "--json", "times.json")
    done = run(tmp_path, "bench", "--shapes", "tiny_32", "--libraries", "heedful", *quick)
    assert done.returncode == 0, done.stderr
    assert "tiny_32 (64, 8, 32x32, 64), float32, forward, (B, L, H, D)\n" in done.stdout
    written = json.loads((tmp_path / "times.json").read_text(encoding="utf-8"))
    layouts = [comparison["case"]["layout"] for comparison in written["comparisons"]]
    assert layouts == ["bhld", "blhd"]


@pytest.mark.once
def test_bench_prints_the_speed_over_several_numbers_of_threads(tmp_path: Path) -> None:
    program = (
        "import sys; from heedful.benchmark import processor; processor.cores = lambda: 2;"
        "from heedful.__main__ import main; sys.exit(main())"
    )
    words = ("bench", "--threads", "1", "2", "4", "--shapes", "tiny_32", "--layouts", "blhd")
    quick = ("--rounds", "2", "--seconds", "0.01", "--json", "times.json")
    done = run(tmp_path, *words, *quick, program=("-c", program))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "left out: 4 threads, more than the 2 cores of this machine"
    assert "numpy" not in lines[3]  # heedful alone, unless others are named
    shown = "tiny_32 (64, 8, 32x32, 64), float32, forward, (B, L, H, D)"
    counts = [line.split()[0] for line in lines[lines.index(shown) + 3 :][:2]]
    assert counts == ["1", "2"]
    (curve,) = json.loads((tmp_path / "times.json").read_text(encoding="utf-8"))["curves"]
    assert [point["threads"] for point in curve["points"]] == [1, 2]
    assert curve["points"][0]["speed_up"] == 1.0
    assert curve["points"][1]["limit_speed_up"] > 0
