"""Results of two calls, and whether they are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.layers import Layer


def described(found: Any) -> Any:
    """Anything that is returned, as something that can be compared."""
    if isinstance(found, np.ndarray):
        return (found.shape, found.dtype.str, found.tobytes())
    if isinstance(found, (list, tuple)):
        return tuple(described(one) for one in found)
    if isinstance(found, dict):
        return tuple((name, described(one)) for name, one in found.items())
    return repr(found)


def of_layer(layer: Layer, inputs: dict[str, Any], **options: Any) -> Any:
    """The state and results of a layer, in inference and in training, with its gradients."""
    layer.zero_grad()
    alone = layer(**inputs, **options)
    y, backward = layer.forward(**inputs, **options, rng=0)
    first = y[0] if isinstance(y, tuple) else y
    dy = np.arange(first.size, dtype=first.dtype).reshape(first.shape)
    gradients = backward(dy)
    return described([layer.state_dict(), alone, y, gradients, layer.grads])
