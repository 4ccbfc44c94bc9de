"""Where to find what users of other libraries look for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from functools import wraps
from typing import Any, ParamSpec, TypeVar

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


_BY_FIRST_X = "leave it out, the width of the first x is taken"
_LAYERS = {
    "InputLayer": _BY_FIRST_X,
    "Input": _BY_FIRST_X,
    "Attention": "write heedful.attention for a call, MultiHeadAttention for a layer",
    "GroupedQueryAttention": "write MultiHeadAttention(d_model, num_heads, num_kv_heads=…)",
    "MultiheadAttention": "write MultiHeadAttention",
    "Module": "write Layer",
    "Model": "write Layer, or Sequential",
    "ModuleList": "write a list, whose layers are found",
    "ModuleDict": "write a dict, whose layers are found",
    "ParameterList": "write a list, whose parameters are found",
    "ParameterDict": "write a dict, whose parameters are found",
    "TransformerEncoderLayer": "write EncoderLayer",
    "TransformerDecoderLayer": "write DecoderLayer",
    "TransformerEncoder": "write Encoder",
    "TransformerDecoder": "write Decoder",
}


def no_such_layer(name: str) -> Exception:
    """The error for a name that heedful.layers lacks.

    An ImportError where there is an answer: ``from heedful.layers import …`` drops the words of an
    AttributeError.
    """
    if name in _LAYERS:
        return ImportError(f"heedful.layers has no {name}: {_LAYERS[name]}", name=name)
    return AttributeError(f"module 'heedful.layers' has no attribute {name!r}")


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


_SCORES = "wrap the model in Steps of your own, which change the scores"
# of transformers' generate
_GENERATION = {
    "max_new_tokens": "write max_length, which does not count the prompt",
    "eos_token_id": "write stop",
    "stop_strings": "write stop, of tokens",
    "stopping_criteria": "write stop, of tokens",
    "pad_token_id": "leave it out, prompts and results have lengths of their own",
    "bos_token_id": "put it in front of each prompt",
    "decoder_start_token_id": "write start, of a Transformer",
    "attention_mask": "leave it out, prompts of different lengths are lists without padding",
    "do_sample": "write temperature=1.0 to draw tokens, nothing to take the best",
    "num_return_sequences": "give the prompt as many times: prompts * num_return_sequences",
    "early_stopping": "leave it out, a search ends when no beam can become better",
    "use_cache": "leave it out, caches are always used",
    "input_ids": "write prompts",
    "inputs": "write prompts",
    "generation_config": "write its options one by one",
    "seed": "write rng",
    "min_length": _SCORES,
    "min_new_tokens": _SCORES,
    "repetition_penalty": _SCORES,
    "no_repeat_ngram_size": _SCORES,
    "bad_words_ids": _SCORES,
    "suppress_tokens": _SCORES,
    "logits_processor": _SCORES,
    "min_p": _SCORES,
    "typical_p": _SCORES,
}
Taken = ParamSpec("Taken")
Result = TypeVar("Result")


def answers_generation(function: Callable[Taken, Result]) -> Callable[Taken, Result]:
    """A generate that answers options of transformers with its own; others Python refuses."""

    @wraps(function)
    def call(*args: Taken.args, **options: Taken.kwargs) -> Result:
        for name in options:
            if name in _GENERATION:
                raise TypeError(f"generate: {name} is not known here: {_GENERATION[name]}")
        return function(*args, **options)

    return call
