"""See where attention goes, measure whether that explains a model, and guide it."""

from heedful.explain._attention_map import AttentionMap
from heedful.explain._layer_weights import LayerWeights

__all__ = ["AttentionMap", "LayerWeights"]
