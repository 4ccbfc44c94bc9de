"""Small real data that comes with the package."""

from heedful.data._digits import load_digits

__all__ = ["load_digits"]
