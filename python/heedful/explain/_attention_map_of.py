"""attention_map: where the attention of a model goes for one input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import count, flag
from heedful.base._watch import Watch, WatchedCall
from heedful.explain._attention_map import AttentionMap
from heedful.explain._layer_choice import Heads, Patterns, as_layer, chosen_heads, chosen_layers
from heedful.explain._recorded_map import block, recorded_map
from heedful.explain._torch_inputs import TorchInputs
from heedful.explain._torch_modules import is_torch
from heedful.explain._torch_watch import TorchWatch
from heedful.explain._watch import rows_of
from heedful.layers import DecoderLayer, Layer


def attention_map(
    model: Any,
    inputs: Any,
    layers: Patterns = "*",
    heads: Heads = None,
    rows: int | Sequence[int] | None = None,
    average_heads: bool = False,
    *,
    tokens: Any = None,
    tokenizer: Any = None,
    item: int = 0,
) -> AttentionMap:
    """Where the attention of a model goes for one input.

    Parameters
    ----------
    model : Layer, SentenceEncoder or torch.nn.Module
        Any model of heedful, or of your own layers around heedful's. Or one of PyTorch with
        ``nn.MultiheadAttention``, a model of transformers, or a SentenceTransformer.
    inputs : array_like, or a tuple of them, or a dict of them
        What the model is called with: a tuple by position, a dict by name. For a
        :class:`heedful.integrations.sentences.SentenceEncoder`, and with a `tokenizer`, a text or
        several.
    layers : str or sequence of str, default "*"
        Patterns of the dotted names of attention layers, see :func:`watch`.
    heads : int, sequence of int, or mapping of patterns to them, optional
        None is all. Of a model of PyTorch the same of every layer.
    rows : int or sequence of int, optional
        Which queries, counted from the end if negative; None is all. Only their weights are
        computed and kept: L numbers for each layer, head and row.
    average_heads : bool, default False
        The mean over the heads instead of each.
    tokens : sequence of str, or a pair of them, optional
        What stands at the positions of the input; a pair for source and target. Positions past
        them that receive no weight are padding and left out. None: the numbers of the positions;
        of a SentenceEncoder its tokens.
    tokenizer : optional
        That of a model of transformers: it reads texts, and its tokens are the labels of them or of
        ``input_ids``.
    item : int, default 0
        Which of the inputs' first axis, or of the texts; only its weights are computed.

    Returns
    -------
    AttentionMap
        In the order of the computation; a layer that is called again has " (2)" after its name.

    Raises
    ------
    ValueError
        Patterns that match no attention layer, or one that this call does not compute; heads that
        do not exist; tokens that fit no layer.
    IndexError
        Rows or an item that do not exist.
    TypeError
        A model that is neither, tokens that are not strings.

    Notes
    -----
    The model computes as usual, and each layer's weights once more for what is asked for. One of
    PyTorch is watched through hooks, without dropout and gradients, and where transformers would
    not compute weights with its eager implementation, which is set for this call: each layer has
    all its weights in memory for a moment, and other threads must not use the model meanwhile.

    Weights say what a layer reads, not what its result depends on: Jain and Wallace 2019,
    https://arxiv.org/abs/1902.10186; Wiegreffe et al. 2019, https://arxiv.org/abs/1908.04626.

    Examples
    --------
    >>> from heedful.explain import attention_map
    >>> from heedful.layers import BertEncoder
    >>> model = BertEncoder(100, 16, 2, 2, 64, max_length=32, rng=0)
    >>> found = attention_map(model, [[5, 6, 7]], "encoder.layers.1", tokens=["to", "be", "or"])
    >>> layer = found.layers[0]
    >>> layer.name, layer.weights.shape, layer.key_tokens
    ('encoder.layers.1.self_attn', (2, 3, 3), ('to', 'be', 'or'))
    """
    item, mean = count("item", item), flag("average_heads", average_heads)
    if is_torch(model):
        given = TorchInputs.of(model, inputs, tokenizer, item)
        seen = TorchWatch(model, layers, heads, rows_of(rows), mean, given.item)
        with seen.recording():
            model(*given.by_position, **given.by_name)
        tokens = given.tokens if tokens is None else tokens
        return recorded_map(seen.calls, tokens, seen.targets, {})
    if tokenizer is not None:
        raise ValueError("tokenizer must be None for a model of heedful: give its tokens")
    chosen = chosen_layers(model, "layers", layers)
    if not isinstance(model, Layer) and callable(getattr(model, "tokens", None)):
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        if item >= len(texts):
            raise IndexError(f"item must lie between 0 and {len(texts) - 1}: got {item}")
        numbers, own = model.tokens(texts[item])
        tokens = own if tokens is None else tokens
        inputs, item = np.array([numbers]), 0
    watched = Watch(
        chosen, heads=chosen_heads(chosen, heads), rows=rows_of(rows), average_heads=mean, item=item
    )
    inner = as_layer(model)
    with watched:
        if isinstance(inputs, dict):
            inner(**inputs)
        else:
            inner(*(inputs if isinstance(inputs, tuple) else (inputs,)))
    targets = target_blocks(inner, watched.calls)
    kinds = {name: layer.score_kind for name, layer in chosen.items()}
    return recorded_map(watched.calls, tokens, targets, kinds)


def target_blocks(model: Layer, calls: list[WatchedCall]) -> set[str]:
    """The blocks whose queries are of the second sequence: those that attend to another one."""
    decoders = {name for name, layer in model.named_layers() if isinstance(layer, DecoderLayer)}
    return decoders | {block(call.name) for call in calls if not call.is_self}
