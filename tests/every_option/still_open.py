"""What is known to be refused wrongly, or not at all: such a test is expected to fail.

A pair is taken out of here when it is mended; nothing that works is let in.
"""

_PATH = "what is no path is told by Python, without the argument's name"

STILL_OPEN: dict[tuple[str, str], str] = {
    ("BertEncoder", "first_position"): "is not checked",
    **{(name, "path"): _PATH for name in (
        "load_training", "load_weights", "save_training", "save_weights")},
    ("load_weights", "strict"): "is checked only once the file is read",
}  # fmt: skip


def why(owner: str, name: str) -> str | None:
    return STILL_OPEN.get((owner, name))
