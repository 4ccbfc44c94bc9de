"""Where to find what users of other libraries look for."""

from __future__ import annotations

_METHODS = {
    "save_weights": "heedful.training.save_weights(model, path)",
    "load_weights": "heedful.training.load_weights(model, path)",
    "save": "heedful.training.save_training(model, path), or save_weights",
    "train": "model.forward(x), which is training; a call alone is inference",
    "eval": "model(x), which is inference; model.forward(x) is training",
    "requires_grad_": "model.freeze() and model.unfreeze()",
    "count_params": "model.parameter_count",
    "get_weights": "model.parameters() or model.state_dict()",
    "set_weights": "model.load_state_dict(state)",
    "named_modules": "model.named_layers()",
    "named_children": "model.layers_inside()",
    "trainable_weights": "model.named_parameters(), of which each says whether it is trainable",
}


def no_such_attribute(kind: str, name: str) -> str:
    """What to say where a layer lacks a method of Keras or PyTorch."""
    hint = f": write {_METHODS[name]}" if name in _METHODS else ""
    return f"{kind} has no attribute {name!r}{hint}"
