"""heedful as an attention implementation of the transformers library."""

from heedful.integrations.transformers._registration import register

__all__ = ["register"]
