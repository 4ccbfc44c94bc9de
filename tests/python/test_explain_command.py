"""`python -m heedful explain`: the page of a digit and of a passage, and what it prints of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.__main__ import main
from heedful.data import load_digits

pytestmark = pytest.mark.once


def test_a_digit_is_explained_by_its_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "digit.html"
    assert main(["explain", "--digit", "15", "--html", str(path)]) == 0
    printed = capsys.readouterr().out
    assert f"Page: {path}" in printed
    images, labels = load_digits()
    pixels = images.reshape(-1, 64).astype(np.float64)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    keys, of_keys, query = pixels[0::2], labels[0::2], pixels[15]

    def weights_at(scale: float) -> Any:
        weights = np.exp(scale * (keys @ query - 1))
        return weights / weights.sum()

    first = re.search(r"image (\d+), a (\d), weight ([\d.]+)", printed)
    assert first is not None
    number, digit, weight = int(first[1]), int(first[2]), float(first[3])
    nearest = int((keys @ query).argmax())
    assert (number, digit) == (2 * nearest, of_keys[nearest])
    scale = min((50.0, 100.0, 200.0, 400.0), key=lambda s: abs(weights_at(s).max() - weight))
    weights = weights_at(scale)
    assert weights.max() == pytest.approx(weight, abs=1e-3)
    ranks = np.argsort([-weights[of_keys == digit].sum() for digit in range(10)])
    typical = [
        (weights * (of_keys == one)) @ keys / weights[of_keys == one].sum() for one in ranks[:2]
    ]
    difference = scale * query * (typical[0] - typical[1])
    gain, loss = difference[difference > 0].sum(), -difference[difference < 0].sum()
    assert f"gain {gain:.2f} in score" in printed
    assert f"and lose {loss:.2f} at those" in printed
    page = path.read_text(encoding="utf-8")
    assert f"image {number}, a {digit}, weight" in page
    assert "Test image 15, a 5: answer 5" in page


@pytest.mark.peer
def test_a_passage_is_explained_by_its_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from heedful._command.passage_explanation import contributions
    from heedful._command.search import ranked
    from heedful.integrations.sentences import find_minilm

    try:
        find_minilm()
    except ModuleNotFoundError as missing:
        pytest.skip(str(missing))
    folder = tmp_path / "texts"
    folder.mkdir()
    text = "# Boats\n\nThe <b>ferry</b> leaves at noon.\n\nBread is baked at night."
    (folder / "a&b.txt").write_text(text, encoding="utf-8")
    path, question = tmp_path / "hit.html", "When does the ship go?"
    words = ["explain", question, str(folder), "--html", str(path)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "a&b.txt:1\n   # Boats The <b>ferry</b> leaves at noon.\n" in printed
    assert "a&amp;b.txt:1" in path.read_text(encoding="utf-8")
    found = ranked(folder, [".txt"], question)
    vectors = found.encoder.encode([question, found.passages[found.order[0]].whole])
    tokens, each = contributions(found, found.passages[found.order[0]].whole)
    assert each.sum() == pytest.approx(vectors[0] @ vectors[1], abs=1e-5)
    assert f"The similarity {each.sum():.3f} is the sum" in printed
    assert tokens[int(each.argmax())] in printed
    assert main([*words, "--rank", "2"]) == 0
    assert "2. " in capsys.readouterr().out
    assert main([*words, "--rank", "3"]) == 1
    assert "has 2 passages: got --rank 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give a question and a folder, or --digit and a number"),
        (["why"], "give a question and a folder, or --digit and a number"),
        (["why", ".", "--digit", "15"], "or --digit and a number: got both"),
        (["--digit", "14"], "expected an odd number from 1 to 1795, got '14'"),
        (["--digit", "15", "--html", "a.png"], "expected an .html file, got 'a.png'"),
        (["why", ".", "--rank", "0"], "expected a number from 1 on, got 0"),
    ],
    ids=str,
)
def test_wrong_usage_is_said_in_one_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["explain", *words])
    assert message in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_said_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none" / "page.html"
    assert main(["explain", "--digit", "15", "--html", str(path)]) == 1
    captured = capsys.readouterr()
    assert "none" in captured.err
    assert captured.out == ""
