"""The names of activations in compiled functions."""

from __future__ import annotations

from heedful._checks import named

NAMES = ("relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid")
_SYNONYMS = {
    "linear": None, "swish": "silu", "gelu_python": "gelu",
    # one formula under several names in Hugging Face
    "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh", "gelu_accurate": "gelu_tanh",
}  # fmt: skip


def activation_name(given: object) -> str | None:
    """The name in compiled functions; None for none."""
    if given is None:
        return None
    if isinstance(given, str):
        if given in NAMES:
            return given
        if given in _SYNONYMS:
            return _SYNONYMS[given]
    kind = ValueError if isinstance(given, str) else TypeError
    known = ", ".join(repr(name) for name in NAMES)
    raise kind(f"activation must be None or one of {known}: got {named(given)}")
