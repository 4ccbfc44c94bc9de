"""The panel of AttentionFeedback in a notebook kernel: shown, clicked by messages, and heard."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.peer, pytest.mark.once, pytest.mark.slow]

SHOWN = """
import numpy as np
from heedful import layers as L
from heedful.explain import AttentionFeedback, attention_map

model, x = L.AttentionPooling(4, rng=0), np.eye(3, 4, dtype=np.float32)[None]
feedback, tokens = AttentionFeedback(model), ["<b>a", "dull", "film"]
feedback.widget(attention_map(model, x, tokens=tokens))
"""
SAID = "print(feedback)"
USED = """
with feedback.steer(model, tokens):
    y = model(x)
print(feedback.guide(tokens).bias)
"""


class Panel:
    """A panel as a browser has it: models by their descriptions, and messages to the kernel."""

    def __init__(self, client: Any, cell: Any) -> None:
        self.client = client
        (output,) = [one for one in cell.outputs if "data" in one]
        self.view = output["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]

    def find(self, text: str) -> str:
        """The model of a button or a field, which is within the panel."""
        found = [
            name for name in self._within(self.view) if self._state(name).get("description") == text
        ]
        assert len(found) == 1, (text, found)
        return found[0]

    def said(self) -> str:
        *_, last = self._state(self.view)["children"]
        return str(self._state(last.removeprefix("IPY_MODEL_"))["value"])

    def click(self, text: str) -> None:
        self._send(self.find(text), {"method": "custom", "content": {"event": "click"}})

    def set(self, text: str, value: Any) -> None:
        self._send(self.find(text), {"method": "update", "state": {"value": value},
                                     "buffer_paths": []})  # fmt: skip

    def _state(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = self.client.widget_state[name]
        return state

    def _within(self, name: str) -> list[str]:
        names = [name]
        for child in self._state(name).get("children", ()):
            names += self._within(child.removeprefix("IPY_MODEL_"))
        return names

    def _send(self, name: str, data: dict[str, Any]) -> None:
        """A message to the kernel; what it answers is heard until it is idle again."""
        from jupyter_core.utils import run_sync

        kernel = self.client.kc
        message = kernel.session.msg("comm_msg", {"comm_id": name, "data": data})
        kernel.shell_channel.send(message)
        while True:
            heard = run_sync(kernel.iopub_channel.get_msg)(timeout=3600)
            if heard["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            content = heard["content"]
            assert heard["msg_type"] != "error", content
            if content.get("data", {}).get("method") == "update":
                self.client.widget_state[content["comm_id"]].update(content["data"]["state"])
            if content.get("execution_state") == "idle":
                return


@pytest.mark.filterwarnings("ignore")
def test_a_panel_is_shown_clicked_and_heard_in_a_kernel() -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for package in ("ipykernel", "ipywidgets"):
        pytest.importorskip(package)
    cells = [nbformat.v4.new_code_cell(text) for text in (SHOWN, SAID, USED)]
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=cells), timeout=3600, kernel_name="python3"
    )

    def run(index: int) -> str:
        """A cell, after all messages before it."""
        cell = client.execute_cell(cells[index], index)
        return "".join(one.get("text", "") for one in cell.outputs)

    with client.setup_kernel():
        run(0)
        panel = Panel(client, cells[0])
        assert panel.said() == "0 corrections"
        for text in ("dull", "film", "+ film"):
            panel.click(text)
        assert panel.find("+ dull") != panel.find("− film")
        panel.set("strength", 3.0)
        panel.set("note", "why")
        panel.click("Add")
        lines = run(1).splitlines()
        assert [line.split()[:3] for line in lines[1:]] == [
            ["look", "here", "1"], ["not", "there", "2"]
        ]  # fmt: skip
        assert "strength 3  why" in lines[1]
        assert panel.said() == "2 corrections"
        assert panel.find("dull")  # nothing is marked any more
        panel.click("Prefer")
        assert panel.said() == "Prefer needs a token with + and one with −"
        panel.click("Undo")
        assert run(2).split() == ["[0.", "3.", "0.]"]
        assert panel.said() == "1 correction"
