"""Methods and arguments of Keras and PyTorch, and what to write instead of them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Set
from typing import Any

from heedful.functional._foreign_options import SHARED, hint_for

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
    "trainable_weights": "model.named_parameters(), each with its attribute trainable",
}


def no_such_attribute(kind: str, name: str) -> str:
    """The message where a layer lacks a method of Keras or PyTorch."""
    hint = f": write {_METHODS[name]}" if name in _METHODS else ""
    return f"{kind} has no attribute {name!r}{hint}"


# arguments of other libraries' layers and of calls of them, as in functional/_foreign_options.py
_ARGUMENTS = {
    **SHARED,
    "key_dim": ("d_model", "Keras's key_dim is d_model / num_heads: write num_heads * key_dim"),
    "value_dim": ("d_model", "values are d_model / num_heads wide, vdim is the width of the input"),
    "embed_dim": ("d_model", ""),
    "embedding_dim": ("d_model", ""),
    "output_dim": ("d_model", ""),
    "normalized_shape": ("d_model", ""),
    "input_dim": ("num_embeddings", ""),
    "mask_zero": ("padding_idx", "write padding_idx=0, and lengths for the layers after it"),
    "nhead": ("num_heads", ""),
    "dim_feedforward": ("dff", ""),
    "layer_norm_eps": ("eps", ""),
    "epsilon": ("eps", ""),
    "p": ("rate", ""),
    "elementwise_affine": ("eps", "there always is a weight, freeze() keeps it constant"),
    "batch_first": ("", "the batch is always the first axis"),
    "input_shape": ("", "the width of the first x is taken"),
    "kernel_initializer": ("", "assign the initial values to the weight"),
    "attn_mask": ("mask", "write mask, where True may attend: ~attn_mask of a boolean one"),
    "lengths": ("kv_lengths", ""),
    "src_key_padding_mask": ("kv_lengths", ""),
    "tgt_key_padding_mask": ("lengths", ""),
    "memory_key_padding_mask": ("memory_lengths", ""),
    "tgt_mask": ("causal", "the target is causal unless causal=False"),
    "attention_mask": ("mask", "write mask; one of (B, Lq, Lk) as mask[:, None]"),
    "token_type_ids": ("segments", ""),
    # of recurrent layers, convolutions and patches
    "units": ("hidden_size", ""),
    "return_sequences": (
        "hidden_size",
        "y has every position, layer(x, return_state=True) the last",
    ),
    "return_state": ("hidden_size", "it is an option of calls: layer(x, return_state=True)"),
    "go_backwards": ("hidden_size", "write x[:, ::-1], or bidirectional=True"),
    "stateful": ("hidden_size", "write y, state = layer(x, state, return_state=True)"),
    "recurrent_dropout": ("hidden_size", "dropout is that between layers"),
    "proj_size": ("hidden_size", "write a Linear after the layer"),
    "initial_state": ("return_state", "write state"),
    "hx": ("return_state", "write state"),
    "filters": ("out_channels", ""),
    "strides": ("stride", ""),
    "dilation_rate": ("dilation", ""),
    "padding_mode": ("dilation", "padding is with zeros"),
    "img_size": ("image_size", ""),
    "in_chans": ("channels", ""),
    "num_channels": ("channels", ""),
    "training": ("", "model.forward(x) is training, model(x) is inference"),
}


def layer_hint(arguments: Iterable[str], taken: Container[str]) -> str:
    """What to write instead of the first argument that only other libraries have; "" for none."""
    return hint_for(arguments, taken, _ARGUMENTS)


def check_arguments(kind: type[Any], arguments: Set[str]) -> None:
    """Reject arguments of other libraries' layers; Python reports whatever else is wrong."""
    if not _ARGUMENTS.keys() & arguments:
        return
    from inspect import Parameter, signature  # only now: rarely needed

    taken = signature(kind.__init__).parameters
    if any(one.kind is Parameter.VAR_KEYWORD for one in taken.values()):
        return
    hint = layer_hint(arguments, taken)
    if hint:
        raise TypeError(f"{kind.__name__}: {hint}")
