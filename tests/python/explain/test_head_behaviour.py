"""What heads look at, and what tokens receive, against loops over every weight."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from heedful.explain import AttentionMap, HeadBehaviour, head_behaviour, received_attention

pytestmark = pytest.mark.once

TOKENS = ["[CLS]", "a", "[SEP]", "a", "b", "[SEP]"]
L = len(TOKENS)


@pytest.fixture
def weights(rng: np.random.Generator) -> Any:
    found = rng.dirichlet(np.full(L, 0.3), (2, 3, L))
    found[0, 0, 2] = np.eye(L)[4]  # 0 · log 0 is 0
    found[1, 2, :2] = 0  # queries that attend to nothing
    return found


def of_head(weights: Any, rows: Any, columns: Any, tokens: Any) -> dict[str, float]:
    """By a loop over the weights (Lq, Lk) of one head."""
    sums = dict.fromkeys(("entropy", "distance", "first", "separators"), 0.0)
    at: dict[str, list[float]] = {"previous": [], "same": [], "next": []}
    count = 0
    for i, row in enumerate(rows):
        if sum(weights[i]) == 0:
            continue
        count += 1
        for j, column in enumerate(columns):
            w = weights[i, j]
            sums["entropy"] -= w * math.log(w) if w > 0 else 0
            sums["distance"] += w * abs(row - column)
            sums["first"] += w if column == 0 else 0
            sums["separators"] += w if tokens[j] == "[SEP]" else 0
            for name, place in (("previous", row - 1), ("same", row), ("next", row + 1)):
                if column == place:
                    at[name].append(w)
    found = {name: total / count for name, total in sums.items()}
    return found | {name: sum(of) / len(of) if of else math.nan for name, of in at.items()}


@pytest.mark.parametrize("rows", [range(L), [4, 0], [5]])
@pytest.mark.parametrize("columns", [range(L), [0, 3, 5]])
def test_a_row_of_the_table_is_what_loops_find(weights: Any, rows: Any, columns: Any) -> None:
    chosen = AttentionMap.from_numpy(weights, TOKENS).select(queries=rows, keys=columns)
    table = head_behaviour(chosen)
    assert [(row.layer, row.head) for row in table] == [
        (str(n), h) for n in (0, 1) for h in range(3)
    ]
    tokens = [TOKENS[column] for column in columns]
    for row in table:
        part = weights[int(row.layer), row.head][np.ix_(rows, columns)]
        expected = of_head(part, rows, columns, tokens)
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(row, name), value, rtol=1e-12, err_msg=name)


def test_positions_mean_nothing_in_attention_to_another_sequence(rng: np.random.Generator) -> None:
    weights = rng.dirichlet(np.ones(3), (1, 1, 3))
    (row,) = head_behaviour(AttentionMap.from_numpy(weights, ["x", "y", "z"], ["a", "b", "[SEP]"]))
    assert all(math.isnan(getattr(row, name)) for name in ("distance", "previous", "same", "next"))
    np.testing.assert_allclose(row.separators, weights[0, 0, :, 2].mean())
    np.testing.assert_allclose(row.first, weights[0, 0, :, 0].mean())
    as_told = AttentionMap.from_numpy(weights)[0]._replace(is_self=False)  # positions for tokens
    assert math.isnan(head_behaviour(AttentionMap([as_told]))[0].distance)
    without_first = AttentionMap.from_numpy(weights, ["x", "y", "z"], ["a", "b", "c"])
    assert math.isnan(head_behaviour(without_first.select(keys=[1, 2]))[0].first)


def test_a_mean_over_heads_is_a_head_without_number(weights: Any) -> None:
    mean = AttentionMap.from_numpy(weights, TOKENS).mean("heads")
    assert [row.head for row in head_behaviour(mean)] == [None, None]
    given = head_behaviour(weights, separators=["2"])[0]  # an array: positions are the tokens
    np.testing.assert_allclose(given.separators, weights[0, 0, :, 2].mean())


def test_the_table_is_aligned_and_says_what_it_leaves_out() -> None:
    even = np.full((2, 13, 2, 2), 0.5)
    *head, last = repr(head_behaviour(AttentionMap.from_numpy(even, ["x", "[SEP]"]))).split("\n")
    assert head[0].split() == list(HeadBehaviour._fields)
    assert head[14].split() == ["1", "0", "0.69", "0.50", "0.50", "0.50", "0.50", "0.50", "0.50"]
    assert len({len(line) for line in head}) == 1
    assert (len(head) - 1, last) == (24, "… and 2 more")
    of_mean = AttentionMap.from_numpy(even[:1], ["x", "[SEP]"], ["a", "b"]).mean("heads")
    assert repr(head_behaviour(of_mean)).split("\n")[1].split() == [
        "0", "–", "0.69", "–", "0.50", "–", "–", "–", "0.00",
    ]  # fmt: skip


def test_the_table_is_a_data_frame_of_its_rows(weights: Any) -> None:
    pytest.importorskip("pandas")
    rows = head_behaviour(AttentionMap.from_numpy(weights, TOKENS))
    frame = rows.to_pandas()
    assert list(frame.columns) == list(HeadBehaviour._fields)
    assert frame["entropy"].tolist() == [row.entropy for row in rows]


def test_separators_are_a_list(weights: Any) -> None:
    with pytest.raises(TypeError, match=r"^separators must be a list of tokens: got '\[SEP\]'"):
        head_behaviour(weights, separators="[SEP]")


def test_received_attention_is_a_mean_over_the_queries(weights: Any) -> None:
    found = received_attention(AttentionMap.from_numpy(weights, TOKENS))
    for layer in range(2):
        for head in range(3):
            for j in range(L):
                expected = sum(weights[layer, head, i, j] for i in range(L)) / L
                np.testing.assert_allclose(found[layer, head, j], expected)
