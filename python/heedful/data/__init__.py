"""A small real data set, included in the package."""

from heedful.data._digits import load_digits

__all__ = ["load_digits"]
