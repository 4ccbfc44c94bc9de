"""The panel of AttentionFeedback, clicked as a notebook does."""

from __future__ import annotations

import numpy as np
import pytest

from heedful import layers as L
from heedful.explain import AttentionFeedback, AttentionMap

pytestmark = [pytest.mark.once, pytest.mark.peer]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_clicks_mark_tokens_and_add_makes_corrections_of_them() -> None:
    pytest.importorskip("ipywidgets")
    feedback = AttentionFeedback(L.AttentionPooling(4, rng=0))
    weights = np.tile([[0.5, 0.25, 0.25]], (2, 3, 1))[None]
    tokens = ["<b>a", "dull", "film"]
    panel = feedback.widget(AttentionMap.from_numpy(weights, tokens))
    _, text, controls, said = panel.children
    buttons, (strength, note, add, prefer, undo) = text.children, controls.children
    assert [one.description for one in buttons] == tokens
    assert buttons[0].tooltip == "receives 50.0% of the attention"
    for place in (1, 0, 0, 2, 2, 2):
        buttons[place].click()
    assert [one.button_style for one in buttons] == ["danger", "success", ""]
    assert buttons[1].description == "+ dull"
    strength.value, note.value = 3.0, "why"
    add.click()
    assert [row["kind"] for row in feedback.table()] == ["look here", "not there"]
    assert feedback.table()[0]["note"] == "why"
    np.testing.assert_array_equal(feedback.guide(tokens).bias, [-3, 3, 0])
    assert [one.button_style for one in buttons] == ["", "", ""]
    assert said.value == "2 corrections"
    prefer.click()
    assert said.value == "Prefer needs a token with + and one with −"
    for place in (2, 0, 0):
        buttons[place].click()
    prefer.click()
    assert feedback.table()[2]["marks"] == "2 over 0"
    assert said.value == "3 corrections"
    for _ in range(4):
        undo.click()
    assert said.value == "0 corrections"
    with pytest.raises(TypeError, match="seen must be an AttentionMap with a layer: got 3"):
        feedback.widget(3)  # type: ignore[arg-type]
