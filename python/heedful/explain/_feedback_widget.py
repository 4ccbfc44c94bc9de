"""A panel for a notebook in which tokens are marked: look here, not there."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import named
from heedful.explain._attention_map import AttentionMap

_STATES = ("", "success", "danger")  # of ipywidgets' buttons: nothing said, look here, not there
_SIGNS = ("", "+ ", "− ")


def feedback_widget(feedback: Any, seen: Any) -> Any:
    """A button for each key of the map's last layer, and those that add what was marked."""
    try:
        import ipywidgets
    except ImportError:
        raise ImportError("widget needs the package ipywidgets: pip install ipywidgets") from None
    if not isinstance(seen, AttentionMap) or not seen.layers:
        raise TypeError(f"seen must be an AttentionMap with a layer: got {named(seen)}")
    layer = seen.layers[-1]
    received = np.asarray(layer.weights, np.float64).mean((0, 1))
    tokens = list(layer.key_tokens)
    states = [0] * len(tokens)

    def button(place: int) -> Any:
        made = ipywidgets.Button(
            description=tokens[place], tooltip=f"receives {received[place]:.1%} of the attention",
            layout=ipywidgets.Layout(width="auto"),
        )  # fmt: skip

        def turn(_: Any) -> None:
            states[place] = (states[place] + 1) % len(_STATES)
            show(place)

        made.on_click(turn)
        return made

    buttons = [button(place) for place in range(len(tokens))]

    def show(place: int) -> None:
        state = states[place]
        buttons[place].button_style = _STATES[state]
        buttons[place].description = _SIGNS[state] + tokens[place]

    strength = ipywidgets.FloatSlider(value=2.0, min=0.0, max=8.0, step=0.5, description="strength")
    note = ipywidgets.Text(description="note")
    add, prefer, undo = (
        ipywidgets.Button(description=text, tooltip=hint)
        for text, hint in (
            ("Add", "+ look here, − not there"), ("Prefer", "+ over −"), ("Undo", "the latest"),
        )
    )  # fmt: skip
    said = ipywidgets.HTML()

    def tell() -> None:
        count = len(feedback)
        said.value = f"{count} correction{'s' * (count != 1)}"

    def on_say(preferring: bool) -> None:
        options = {"strength": strength.value, "note": note.value}
        here, there = (
            [place for place, one in enumerate(states) if one == state] for state in (1, 2)
        )
        if preferring and not (here and there):
            said.value = "Prefer needs a token with + and one with −"
            return
        if preferring:
            feedback.prefer(here, there, tokens, **options)
        else:
            for marked, say in ((here, feedback.look_here), (there, feedback.not_there)):
                if marked:
                    say(marked, tokens, **options)
        for place in range(len(tokens)):
            states[place] = 0
            show(place)
        tell()

    def on_undo(_: Any) -> None:
        if len(feedback):
            feedback.undo()
        tell()

    add.on_click(lambda _: on_say(preferring=False))
    prefer.on_click(lambda _: on_say(preferring=True))
    undo.on_click(on_undo)
    tell()
    text = ipywidgets.Box(buttons, layout=ipywidgets.Layout(flex_flow="row wrap"))
    hint = ipywidgets.HTML("Click a token: + look here, − not there; its tooltip: what it receives")
    return ipywidgets.VBox([hint, text, ipywidgets.HBox([strength, note, add, prefer, undo]), said])
