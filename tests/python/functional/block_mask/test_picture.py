"""Pictures: the signs of every block, the size of what is printed, and well-formed SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from block_masks import drawn

from heedful import BlockMask

pytestmark = pytest.mark.once


def sign(share: float) -> str:
    if share in (0, 1):
        return "·█"[int(share)]
    return "░" if share < 0.25 else "▒" if share < 0.75 else "▓"


def test_each_block_is_two_characters_by_its_share_of_pairs(rng: np.random.Generator) -> None:
    dense = drawn((2, 3, 23, 37), rng, block=5)
    mask = BlockMask.from_mask(dense, block_size=(4, 5))
    for place in np.ndindex(2, 3):
        wanted = [
            "".join(2 * sign(dense[place][i : i + 4, j : j + 5].mean()) for j in range(0, 37, 5))
            for i in range(0, 23, 4)
        ]
        assert mask.picture(place).splitlines() == wanted
    assert mask.picture() == mask.picture((0, 0))
    assert mask.picture([-1, -2]) == mask.picture((1, 1))
    in_ascii = mask.picture((1, 2), ascii=True)
    assert in_ascii.translate(str.maketrans(".-+#@", "·░▒▓█")) == mask.picture((1, 2))


LONG = [
    (BlockMask.causal(65536), 40, 80),
    (BlockMask.causal(1000, block_size=10), 40, 80),
    (BlockMask.window((4096, 65536), 9000, 0, align="lower_right"), 2, 80),
    (BlockMask.window((65536, 512), 100, 0, align=0), 40, 4),
    (BlockMask.causal(5120), 40, 80),
    (BlockMask.causal(5121), 20, 41),
]


@pytest.mark.parametrize(("mask", "lines", "columns"), LONG, ids=lambda one: repr(one)[:60])
def test_long_masks_fit_the_page(mask: BlockMask, lines: int, columns: int) -> None:
    found = mask.picture().splitlines()
    assert (len(found), {len(line) for line in found}) == (lines, {columns})
    assert max(map(len, str(mask).splitlines())) <= 80


def test_characters_of_many_blocks_show_their_share() -> None:
    mask = BlockMask.causal(16 * 100, block_size=4)  # 400 blocks a side
    dense = np.tri(1600, dtype=bool)
    lines = mask.picture(columns=40).splitlines()
    wanted = [
        "".join(sign(dense[i : i + 80, j : j + 40].mean()) for j in range(0, 1600, 40))
        for i in range(0, 1600, 80)
    ]
    assert lines == wanted


def test_text_has_the_sizes_and_which_item_is_shown() -> None:
    single = BlockMask.causal(8, block_size=4)
    assert str(single).splitlines()[0] == repr(single)
    assert repr(single) == "BlockMask(lengths=(8, 8), block_size=(4, 4), density=0.75)"
    many = BlockMask(np.ones((2, 3, 2, 2), bool), block_size=4)
    assert repr(many) == (
        "BlockMask(lengths=(8, 8), block_size=(4, 4), batch=(2,), heads=3, density=1)"
    )
    assert str(many).splitlines()[1] == "blocks[0, 0] of (2, 3):"
    assert str(BlockMask(np.ones((0, 2, 2), bool))) == repr(BlockMask(np.ones((0, 2, 2), bool)))


def areas(svg: ElementTree.Element) -> dict[str, int]:
    """Cells of each opacity."""
    found = {}
    for path in svg.iter("path"):
        widths = re.findall(r"M\d+ \d+h(\d+)v1h-\1z", path.attrib["d"])
        assert len(widths) == path.attrib["d"].count("M")
        found[path.attrib["fill-opacity"]] = sum(map(int, widths))
    return found


def pictures(mask: BlockMask) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(mask._repr_html_().replace("<br>", "<br/>")).iter("svg"))


def test_html_is_well_formed_and_shows_each_head() -> None:
    blocks = np.array([[[True, False], [True, True]], [[False, False], [True, False]]])
    first, second = pictures(BlockMask(blocks, 3))
    assert areas(first) == {"1.00": 3}
    assert areas(second) == {"1.00": 1}
    assert first.attrib["viewBox"] == "0 0 2 2"
    partly = pictures(BlockMask.causal(8, block_size=2))[0]
    assert areas(partly) == {"0.75": 4, "1.00": 6}
    nearly = np.ones((20, 20), bool)
    nearly[3, 3] = False
    assert areas(pictures(BlockMask.from_mask(nearly, block_size=10))[0]) == {
        "0.88": 1, "1.00": 3
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        (BlockMask.strided(65536, 300), 1),
        (BlockMask(np.ones((3, 8, 64, 64), bool)), 8),
        (BlockMask(np.ones((0, 4, 4), bool)), 0),
    ],
    ids=["long", "many", "none"],
)
def test_html_stays_small(mask: BlockMask, count: int) -> None:
    found = pictures(mask)
    assert len(found) == count
    assert all(one.attrib["viewBox"] == "0 0 64 64" for one in found)
    assert len(mask._repr_html_()) < 100_000
    assert ("16 more" in mask._repr_html_()) == (count == 8)


def test_wrong_items_are_refused() -> None:
    mask = BlockMask(np.ones((2, 3, 2, 2), bool))
    cases: list[tuple[Any, type[Exception], str]] = [
        (1, ValueError, r"index must have one number for each of \(2, 3\)"),
        ((1, 3), IndexError, r"index must lie within \(2, 3\): got \(1, 3\)"),
        ((-3, 0), IndexError, "index must lie within"),
        ((0.5, 0), TypeError, "index must be integers"),
    ]
    for index, kind, message in cases:
        with pytest.raises(kind, match=message):
            mask.picture(index)
    with pytest.raises(ValueError, match="columns must be at least 1"):
        mask.picture(columns=0)
    with pytest.raises(TypeError, match="ascii must be True or False"):
        mask.picture(ascii=1)  # type: ignore[arg-type]
