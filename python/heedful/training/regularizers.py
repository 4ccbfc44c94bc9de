"""Regularizers under their Keras names: ``regularizers.l2(0.01)``."""

from typing import TypeAlias

from heedful.base._regularizers import L1, L1L2, L2

l1: TypeAlias = L1
l2: TypeAlias = L2
l1_l2: TypeAlias = L1L2

__all__ = ["L1", "L1L2", "L2", "l1", "l1_l2", "l2"]
