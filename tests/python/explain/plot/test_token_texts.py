"""Labels of tokens: hostile, long, without a glyph, and more than there is room for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import AttentionMap, plot

matplotlib = pytest.importorskip("matplotlib")
pytestmark = pytest.mark.once

HOSTILE = [
    "$x_1$", r"\$a$ $\frac{1$", "a\nb", "\x1b[31m", "\u202eevil", "  ", "", "<b>&amp;</b>",
    "a" * 40, " of", "100%", r"\textbf{x}",
]  # fmt: skip
SHOWN = [
    "$x_1$", r"\$a$ $\frac{1$", r"a\nb", r"\x1b[31m", r"\u202eevil", "␣␣", "∅", "<b>&amp;</b>",
    "a" * 15 + "…", "␣of", "100%", r"\textbf{x}",
]  # fmt: skip


def drawn(tokens: list[str]) -> tuple[Any, Any]:
    """A heatmap and arcs, drawn in full but for the pixels: every warning is an error."""
    attention_map = AttentionMap.from_numpy(np.eye(len(tokens))[None, None], tokens)
    both = plot.heatmap(attention_map), plot.arcs(attention_map)
    for ax in both:
        ax.figure.draw_without_rendering()
    return both


def test_tokens_are_text_and_no_formulas() -> None:
    with matplotlib.rc_context({"text.parse_math": True}):
        heatmap, arcs = drawn(HOSTILE)
    for labels in (heatmap.get_xticklabels(), heatmap.get_yticklabels(), arcs.texts):
        assert [label.get_text() for label in labels] == SHOWN
        assert not any(label.get_parse_math() or label.get_usetex() for label in labels)


def test_a_name_of_a_layer_is_no_formula() -> None:
    weights = np.full((2, 1, 2, 2), 0.5)
    attention_map = AttentionMap.from_numpy(weights, names=["$\\a$\n", "$\\b$"])
    for ax in (
        plot.heatmap(attention_map, 0), plot.head_grid(attention_map), plot.entropy(attention_map),
        plot.arcs(attention_map), plot.comparison(attention_map, attention_map)[0],
    ):  # fmt: skip
        ax.figure.draw_without_rendering()
    assert plot.heatmap(attention_map, 0).get_title() == r"$\a$\n, head 0"


def test_what_no_font_has_is_escaped() -> None:
    heatmap, arcs = drawn(["\u0e51", "внимание", "\U000e0041", "\ufdd0"])
    labels = [label.get_text() for label in heatmap.get_yticklabels()]
    assert labels == [label.get_text() for label in arcs.texts]
    assert labels[1] == "внимание"  # in the font that comes with matplotlib
    assert labels[2:] == [r"\U000e0041", r"\ufdd0"]


def test_a_font_that_has_the_character_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from heedful.explain.plot import _glyphs

    monkeypatch.setattr(_glyphs, "_characters", lambda families: frozenset("abc"))
    monkeypatch.setattr(_glyphs, "_installed", lambda: [("Small", "s"), ("Other", "o")])
    monkeypatch.setattr(
        _glyphs, "_characters_of", lambda path: frozenset({"s": "xyz", "o": "注意"}[path])
    )
    own = list(matplotlib.rcParams["font.family"])
    assert _glyphs.families_for(["abc"]) == (own, set())
    assert _glyphs.families_for(["ab 注"]) == ([*own, "Other"], set())
    assert _glyphs.families_for(["x注q"]) == ([*own, "Small", "Other"], {"q"})


def test_where_tokens_are_too_many_some_are_labelled() -> None:
    tokens = [f"token{number}" for number in range(300)]
    heatmap, arcs = drawn(tokens)
    labels = [label.get_text() for label in heatmap.get_xticklabels()]
    step = 300 // len(labels)
    assert len(labels) < 150
    assert set(labels) == set(tokens[:: int(labels[1][5:])])
    assert step >= 2
    assert len(arcs.texts) < 300
    assert {text.get_text() for text in arcs.texts} <= set(tokens)
