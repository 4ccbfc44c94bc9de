"""Methods and arguments of Keras and PyTorch, and what to write instead of them."""

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


# Arguments of other libraries' layers and of calls of them: the one that a layer here must have for
# the hint to be of use, and the hint where there is more to say than the other name.
_ARGUMENTS = {
    "key_dim": ("d_model", "Keras's key_dim is d_model / num_heads: write num_heads * key_dim"),
    "value_dim": ("d_model", "values are d_model / num_heads wide, vdim is what they are made of"),
    "embed_dim": ("d_model", ""),
    "embedding_dim": ("d_model", ""),
    "output_dim": ("d_model", ""),
    "normalized_shape": ("d_model", ""),
    "input_dim": ("num_embeddings", ""),
    "mask_zero": ("padding_idx", "write padding_idx=0, and lengths for the layers behind"),
    "nhead": ("num_heads", ""),
    "dim_feedforward": ("dff", ""),
    "layer_norm_eps": ("eps", ""),
    "epsilon": ("eps", ""),
    "p": ("rate", ""),
    "elementwise_affine": ("eps", "weight is always there, freeze() leaves it as it is"),
    "batch_first": ("", "items always come first"),
    "input_shape": ("", "the width of the first x is taken"),
    "kernel_initializer": ("", "assign the numbers to the weight"),
    "attn_mask": ("mask", "write mask, where True may attend: ~attn_mask of a boolean one"),
    "key_padding_mask": (
        "kv_lengths",
        "write mask=~key_padding_mask[:, None, None, :], or kv_lengths",
    ),
    "src_key_padding_mask": ("kv_lengths", ""),
    "tgt_key_padding_mask": ("lengths", ""),
    "memory_key_padding_mask": ("memory_lengths", ""),
    "tgt_mask": ("causal", "the target is causal unless causal=False"),
    "attention_mask": ("mask", "write mask; one of (B, Lq, Lk) as mask[:, None]"),
    "is_causal": ("causal", "write causal=True"),
    "use_causal_mask": ("causal", "write causal=True"),
    "need_weights": ("return_weights", "write return_weights=True"),
    "return_attention_scores": ("return_weights", "write return_weights=True"),
    "token_type_ids": ("segments", ""),
    "training": ("", "model.forward(x) is training, model(x) is inference"),
}


# of layers with attention inside, which has the weights
_WEIGHTS = {"return_weights", "need_weights", "return_attention_scores", "output_attentions"}
_LENGTHS = {"lengths", "kv_lengths", "memory_lengths", "source_lengths"}


def hint_for(arguments: Iterable[str], taken: Iterable[str]) -> str:
    """What to write instead of the first argument that only other libraries know; "" for none."""
    known = set(taken)
    for name in arguments:
        own, hint = _ARGUMENTS.get(name, ("", ""))
        if name not in known and (own in known or (hint and not own)):
            return f"{name} is not known here: {hint or f'write {own}'}"
        if name in _WEIGHTS and name not in known and known & _LENGTHS:
            return f"{name} is not known here: the attention inside, as self_attn, has the weights"
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
