"""Regularizers under their Keras names: ``regularizers.l2(0.01)``."""

from heedful.base._regularizers import L1, L1L2, L2

l1, l2, l1_l2 = L1, L2, L1L2

__all__ = ["L1", "L1L2", "L2", "l1", "l1_l2", "l2"]
