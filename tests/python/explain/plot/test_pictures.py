"""What is drawn: texts, colours and lines, on axes that are given or on new ones."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful.explain import AttentionMap, LayerWeights, plot

matplotlib = pytest.importorskip("matplotlib")
pytestmark = pytest.mark.once

TOKENS = ["[CLS]", "the", "cat", "sat", "[SEP]"]
SOURCE = ["le", "chat", "assis"]
L, H = len(TOKENS), 3


@pytest.fixture
def whole(rng: np.random.Generator) -> AttentionMap:
    weights = rng.dirichlet(np.full(L, 0.5), (2, H, L))
    return AttentionMap.from_numpy(weights, TOKENS, names=["blocks.0.attn", "blocks.1.attn"])


@pytest.fixture
def across(rng: np.random.Generator) -> AttentionMap:
    weights = rng.dirichlet(np.ones(3), (1, H, L))
    return AttentionMap.from_numpy(weights, TOKENS, SOURCE)


def draw(ax: Any) -> None:
    """In full, but for the pixels: every warning is an error."""
    np.ravel(ax)[0].figure.draw_without_rendering()


def texts(labels: Any) -> list[str]:
    return [label.get_text() for label in labels]


def test_a_heatmap_shows_the_weights_between_the_tokens(whole: AttentionMap) -> None:
    ax = plot.heatmap(whole, layer=0, head=2)
    np.testing.assert_array_equal(ax.images[0].get_array(), whole[0].weights[2])
    assert texts(ax.get_xticklabels()) == texts(ax.get_yticklabels()) == TOKENS
    assert ax.get_title() == "blocks.0.attn, head 2"
    assert len(ax.texts) == L * L
    shown = [float(text.replace(".", "0.", 1)) for text in texts(ax.texts)]
    np.testing.assert_allclose(shown, whole[0].weights[2].ravel(), atol=0.005)
    stream = io.BytesIO()
    ax.figure.savefig(stream, format="png", dpi=30)
    assert stream.getvalue().startswith(b"\x89PNG")
    assert plot.heatmap(whole).get_title() == "blocks.1.attn, mean of 3 heads"


def test_a_difference_has_colours_around_zero(whole: AttentionMap) -> None:
    other = AttentionMap(whole.layers[::-1])
    ax = plot.heatmap(other - whole, head=0)
    lowest, highest = ax.images[0].get_clim()
    assert lowest == -highest == -np.abs((other - whole)[-1].weights[0]).max()
    assert "−" in "".join(texts(ax.texts))
    assert plot.head_grid(other - whole).images[0].get_clim()[0] < 0


def test_a_picture_is_drawn_on_the_axes_that_are_given(
    whole: AttentionMap, across: AttentionMap
) -> None:
    figure = matplotlib.figure.Figure(figsize=(9, 9))
    axes = figure.subplots(3, 3)
    drawn = [
        plot.heatmap(whole, ax=axes[0, 0]),
        plot.head_grid(whole, ax=axes[0, 1]),
        plot.entropy(whole, ax=axes[0, 2]),
        plot.arcs(whole, ax=axes[1, 0]),
        plot.arcs(across, ax=axes[1, 1]),
        plot.patches(np.ones(4), np.zeros((8, 8)), ax=axes[1, 2]),
        *plot.comparison(whole, whole, axes=axes[2]),
    ]
    assert drawn == list(axes.ravel())
    draw(drawn)


def test_the_grid_has_every_head_in_its_place(whole: AttentionMap) -> None:
    ax = plot.head_grid(whole)
    mosaic = ax.images[0].get_array()
    assert mosaic.shape == (2 * L + 1, H * L + 2)
    for layer in range(2):
        for head in range(H):
            part = mosaic[layer * (L + 1) :, head * (L + 1) :][:L, :L]
            np.testing.assert_array_equal(part, whole[layer].weights[head])
    assert np.ma.getmaskarray(mosaic).sum() == 2 * (2 * L + 1) + H * L
    assert texts(ax.get_xticklabels()) == ["0", "1", "2"]
    assert texts(ax.get_yticklabels()) == ["0", "1"]  # without what the names have in common
    draw(ax)


def test_the_grid_of_a_long_text_keeps_the_largest_weights(rng: np.random.Generator) -> None:
    weights = rng.dirichlet(np.ones(101), (1, 2, 101))
    mosaic = plot.head_grid(AttentionMap.from_numpy(weights)).images[0].get_array()
    for head, left in enumerate((0, 34 + 2)):
        for i in range(34):
            for j in range(34):
                block = weights[0, head, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
                assert mosaic[i, left + j] == block.max()


def test_the_entropy_of_each_head_stands_in_its_cell(
    whole: AttentionMap, across: AttentionMap
) -> None:
    ax = plot.entropy(whole)
    expected = -(whole.to_numpy() * np.log(whole.to_numpy())).sum(-1).mean(-1)
    np.testing.assert_allclose(ax.images[0].get_array(), expected)
    assert texts(ax.texts) == [f"{value:.2f}" for value in expected.ravel()]
    np.testing.assert_allclose(ax.images[0].get_clim(), (0, np.log(L)))
    some = AttentionMap([*whole.select(0, heads=[2]), *across.select(heads=[1]).mean("heads")])
    table = plot.entropy(some).images[0].get_array()
    assert np.ma.getmaskarray(table).tolist() == [[False, True], [True, False]]


def test_an_arc_leads_from_each_query_to_each_key_it_attends_to() -> None:
    weights = np.zeros((1, 1, 4, 4))
    weights[0, 0, 3, 0] = weights[0, 0, 0, 2] = weights[0, 0, 1, 1] = 1.0
    weights[0, 0, 2, :2] = 0.1, 0.9
    ax = plot.arcs(AttentionMap.from_numpy(weights, ["a", "b", "c", "d"]), min_weight=0.2)
    assert texts(ax.texts) == ["a", "b", "c", "d"]
    (lines,) = ax.collections
    ends = [path.vertices[[0, -1]] for path in lines.get_paths()]
    assert [end[:, 1].tolist() for end in ends] == [[0, 2], [2, 1], [3, 0]]
    middle = ax.texts[0].get_position()[0]
    # to a later token on the left, to earlier ones on the right
    assert [bool((end[:, 0] > middle).all()) for end in ends] == [False, True, True]
    (dot,) = ax.lines
    assert dot.get_ydata()[0] == 1
    widths = lines.get_linewidths()
    assert widths[0] == widths[2] > widths[1]
    draw(ax)


def test_between_sequences_lines_lead_from_left_to_right(across: AttentionMap) -> None:
    ax = plot.arcs(across, head=1, min_weight=0)
    assert texts(ax.texts) == TOKENS + SOURCE
    assert len(ax.collections[0].get_paths()) == L * 3
    assert ax.texts[0].get_position()[0] < ax.texts[-1].get_position()[0]
    draw(ax)


def test_arcs_of_selected_positions_stand_where_they_are(whole: AttentionMap) -> None:
    ax = plot.arcs(whole.select(queries=[3], keys=[0, 4]), min_weight=0)
    places = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert places == {"[CLS]": 0, "sat": 3, "[SEP]": 4}
    assert len(ax.collections[0].get_paths()) == 2


def test_patches_are_as_opaque_as_their_weights(rng: np.random.Generator) -> None:
    image, weights = rng.random((12, 20)), rng.dirichlet(np.ones(15))
    ax = plot.patches(weights, image)
    np.testing.assert_array_equal(ax.images[0].get_array(), image)
    over = np.asarray(ax.images[1].get_array())
    assert over.shape == (3, 5, 4)  # nearly square patches of an image that is wider than high
    np.testing.assert_allclose(over[..., 3].ravel(), 0.8 * weights / weights.max())
    assert ax.images[0].get_extent() == ax.images[1].get_extent()
    colours = rng.integers(0, 256, (6, 6, 3), np.uint8)
    given = plot.patches(np.zeros((2, 3)), colours)
    assert given.images[1].get_array().shape == (2, 3, 4)
    assert plot.patches(weights, image, (5, 3)).images[1].get_array().shape == (5, 3, 4)
    draw(given)


def test_a_comparison_shows_both_maps_and_the_difference(whole: AttentionMap) -> None:
    other = AttentionMap(whole.layers[::-1])
    axes = plot.comparison(whole, other, 0, 1, titles=("raw", "$guided$"))
    before, after = whole[0].weights[1], other[0].weights[1]
    for ax, expected in zip(axes, (before, after, after - before), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim()
    assert [ax.get_title() for ax in axes] == ["raw", "$guided$", "$guided$ − raw"]
    assert axes[0].figure._suptitle.get_text() == "blocks.0.attn, head 1"
    draw(axes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, a: plot.heatmap(np.ones((1, 1, 1, 1))),
         "attention_map must be an AttentionMap: got an array"),
        (lambda m, a: plot.heatmap(m, 2), "layers must match some of the 2"),
        (lambda m, a: plot.heatmap(m, head=3), "heads must be among 0 … 2: got 3"),
        (lambda m, a: plot.heatmap(m, ax=3), "ax must be matplotlib axes: got 3"),
        (lambda m, a: plot.head_grid(AttentionMap([])), "attention_map must have weights to draw"),
        (lambda m, a: plot.head_grid(AttentionMap([*m, *a])), "layers must have the same shape"),
        (lambda m, a: plot.entropy(m - m.select([1, 0])), "weights must not be negative"),
        (lambda m, a: plot.arcs(m - m.select([1, 0])), "weights must not be negative"),
        (lambda m, a: plot.heatmap(AttentionMap.from_numpy([[[[np.nan]]]])),
         "attention_map must be finite to be drawn: got NaN or ∞ in '0'"),
        (lambda m, a: plot.arcs(m, min_weight=-1), "min_weight must not be negative: got -1"),
        (lambda m, a: plot.patches([0.5, 0.5], np.ones((3, 3, 2))), "image must be"),
        (lambda m, a: plot.patches([0.5, 0.5], np.ones((3, 3)), (2, 2)),
         "grid must have as many patches as there are weights, 2: got 2 × 2"),
        (lambda m, a: plot.patches([-0.5, 0.5], np.ones((3, 3))), "weights must not be negative"),
        (lambda m, a: plot.patches(np.ones((1, 2, 2)), np.ones((3, 3))), "weights must be"),
        (lambda m, a: plot.comparison(m, m.select(queries=0)), "maps must have the same shapes"),
        (lambda m, a: plot.comparison(m, m, titles="ab"), "titles must be two: got 'ab'"),
        (lambda m, a: plot.comparison(m, m, axes=[1]), "axes must be three: got 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said(
    whole: AttentionMap, across: AttentionMap, call: Callable[..., Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call(whole, across)


def test_uniform_and_empty_weights_are_drawn_too() -> None:
    zeros = AttentionMap.from_numpy(np.zeros((1, 2, 3, 3)))
    one = AttentionMap.from_numpy(np.ones((1, 1, 1, 1)))
    for given in (zeros, one):
        for picture in (plot.heatmap, plot.head_grid, plot.arcs):
            draw(picture(given))
        draw(plot.comparison(given, given))
    draw(plot.entropy(one))
    layer = LayerWeights("", np.ones((1, 1, 1)), (), (5,), ("x",), ("y",))
    assert plot.heatmap(AttentionMap([layer])).get_title() == "attention"


def test_nothing_of_matplotlib_is_imported_before_a_picture() -> None:
    script = """
import sys
import heedful
assert "heedful.explain" not in sys.modules
from heedful.explain import plot
assert not {"matplotlib", "pandas", "scipy"} & set(sys.modules)
import numpy as np
plot.patches(np.ones(4), np.ones((2, 2)))
assert "matplotlib.pyplot" not in sys.modules
sys.modules["matplotlib.figure"] = None
try:
    plot.patches(np.ones(4), np.ones((2, 2)))
except ImportError as error:
    print(error)
"""
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    assert output.stdout == (
        "heedful.explain.plot needs the package matplotlib: pip install matplotlib\n"
    )
