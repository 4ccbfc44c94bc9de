"""Where to find what users of other libraries look for."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

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


# arguments of other libraries' layers, and of calls of them
_ARGUMENTS = {
    "key_dim": "Keras's key_dim is d_model / num_heads: write d_model = num_heads * key_dim",
    "value_dim": "values are as wide as d_model / num_heads; vdim is the width of what they are "
    "made of",
    "embed_dim": "write d_model",
    "embedding_dim": "write d_model",
    "output_dim": "write d_model",
    "normalized_shape": "write d_model",
    "input_dim": "write num_embeddings",
    "mask_zero": "write padding_idx=0 and say how many tokens count by lengths",
    "nhead": "write num_heads",
    "dim_feedforward": "write dff",
    "layer_norm_eps": "write eps",
    "epsilon": "write eps",
    "elementwise_affine": "weight and bias are always there; freeze() leaves them as they are",
    "batch_first": "items always come first",
    "p": "write rate",
    "input_shape": "the width of the first x is taken",
    "kernel_initializer": "assign the numbers: layer.linear.weight = …",
    "attn_mask": "write mask, where True may attend: mask=~attn_mask for a boolean one",
    "key_padding_mask": "write mask=~key_padding_mask[:, None, None, :], or kv_lengths",
    "src_key_padding_mask": "write kv_lengths, or source_lengths",
    "tgt_key_padding_mask": "write lengths, or target_lengths",
    "memory_key_padding_mask": "write memory_lengths, or source_lengths",
    "attention_mask": "write mask; one of (B, Lq, Lk) as mask[:, None]",
    "is_causal": "write causal=True",
    "use_causal_mask": "write causal=True",
    "need_weights": "write return_weights=True",
    "return_attention_scores": "write return_weights=True",
    "token_type_ids": "write segments",
    "training": "model.forward(x) is training, model(x) is inference",
}


def hint_for(arguments: Iterable[str], taken: Iterable[str]) -> str:
    """What to write instead of the first argument that only other libraries know; "" for none."""
    known = set(taken)
    for name in arguments:
        if name in _ARGUMENTS and name not in known:
            return f"{name} is not known here: {_ARGUMENTS[name]}"
    return ""


def check_arguments(kind: type[Any], arguments: Set[str]) -> None:
    """Refuses words of other libraries for making a layer; what else is wrong Python says."""
    if not _ARGUMENTS.keys() & arguments:
        return
    from inspect import Parameter, signature  # only now: hardly anybody needs it

    taken = signature(kind.__init__).parameters
    if any(one.kind is Parameter.VAR_KEYWORD for one in taken.values()):
        return
    hint = hint_for(arguments, taken)
    if hint:
        raise TypeError(f"{kind.__name__}: {hint}")
