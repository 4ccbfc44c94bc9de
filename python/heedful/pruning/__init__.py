"""Pruning: models with fewer heads, encoders that pass on fewer tokens."""

from heedful.pruning._head_importance import head_importance
from heedful.pruning._merged_encoder import MergedEncoder
from heedful.pruning._prune_heads import prune_heads
from heedful.pruning._pruned_encoder import PrunedEncoder
from heedful.pruning._pruned_heads import pruned_heads, unpruned_state_dict

__all__ = [
    "MergedEncoder",
    "PrunedEncoder",
    "head_importance",
    "prune_heads",
    "pruned_heads",
    "unpruned_state_dict",
]
