"""TorchInputs: what a model of PyTorch is called with, and the tokens at its positions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_NUMBERS = ("input_ids", "decoder_input_ids")  # of a source and a target, in transformers


class TorchInputs(NamedTuple):
    """by_position, by_name : arguments of the model
    tokens : of source and target, those of one item; None if they are not known
    item : which one it is
    """

    by_position: list[Any]
    by_name: dict[str, Any]
    tokens: list[list[str]] | None
    item: int

    @classmethod
    def of(cls, model: Any, inputs: Any, tokenizer: Any, item: int) -> TorchInputs:
        """From texts, of which one is read; a dict of tensors; or tensors by position."""
        import torch

        own = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
        texts = [inputs] if isinstance(inputs, str) else inputs
        if isinstance(texts, (list, tuple)) and texts and all(isinstance(x, str) for x in texts):
            if own is None:
                raise ValueError("tokenizer must be given where the inputs are texts: got None")
            if item >= len(texts):
                raise IndexError(f"item must lie between 0 and {len(texts) - 1}: got {item}")
            inputs, item = own([texts[item]], return_tensors="pt", truncation=True), 0
        if not hasattr(inputs, "keys"):
            given = inputs if isinstance(inputs, tuple) else (inputs,)
            arrays = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in given]
            return cls(arrays, {}, _tokens(own, {_NUMBERS[0]: arrays[0]}, item), item)
        by_name, tokens = dict(inputs), _tokens(own, inputs, item)
        if hasattr(model, "encode") and hasattr(model, "similarity"):  # sentence-transformers
            return cls([by_name], {}, tokens, item)
        return cls([], by_name, tokens, item)


def _tokens(tokenizer: Any, inputs: Any, item: int) -> list[list[str]] | None:
    """Those of an item, without padding at the end."""
    if not hasattr(tokenizer, "convert_ids_to_tokens"):
        return None
    found = []
    for name, mask in zip(_NUMBERS, ("attention_mask", "decoder_attention_mask"), strict=True):
        if name in inputs and item < len(inputs[name]):
            numbers = inputs[name][item].tolist()
            kept = inputs[mask][item].tolist() if mask in inputs else [1] * len(numbers)
            padded_at_end = kept == sorted(kept, reverse=True)
            found.append(
                tokenizer.convert_ids_to_tokens(numbers[: sum(kept)] if padded_at_end else numbers)
            )
    return found or None
