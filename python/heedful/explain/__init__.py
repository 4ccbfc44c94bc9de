"""See where attention goes, measure whether that explains a model, and guide it."""

from heedful.explain._attention_map import AttentionMap
from heedful.explain._attention_map_of import attention_map
from heedful.explain._layer_weights import LayerWeights
from heedful.explain._steer import steer
from heedful.explain._watch import watch

__all__ = ["AttentionMap", "LayerWeights", "attention_map", "steer", "watch"]
