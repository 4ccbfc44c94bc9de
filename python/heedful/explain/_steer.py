"""steer: a bias or a mask in the attention of a model's layers while it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import as_array, named, numbers
from heedful.base._taps import Tap
from heedful.base._types import Array
from heedful.explain._layer_choice import Heads, Patterns, chosen_heads, chosen_layers
from heedful.explain._pair_axes import pair_axes
from heedful.explain._placement import Placement
from heedful.explain._torch_modules import is_torch
from heedful.explain._torch_steer import TorchSteer
from heedful.functional._dtypes import finite_cast


def steer(
    model: Any,
    *,
    bias: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    where: Patterns = "*",
    heads: Heads = None,
) -> Steer | TorchSteer:
    """Change where the attention of a model goes while it computes.

    ::

        with steer(model, bias=bias, where="decoder.*.multihead_attn"):
            model.generate(sources, start=0)

        weight[i, j] = exp(score[i, j] + bias[i, j]) / Σ_j exp(score[i, j] + bias[i, j])

    So a bias of b multiplies the odds of a key against the others by e^b, where the normalizer is
    softmax. A mask hides keys: their weights are exactly 0.

    Parameters
    ----------
    model, where, heads
        As `model`, `layers` and `heads` of :func:`watch`, except that ``LinearAttention`` has no
        scores to be changed. Other heads and layers are left as they are. Or a module of PyTorch
        with ``nn.MultiheadAttention`` or a model of transformers (5 or newer), in inference,
        training and generation; heads are then the same of every layer.
    bias : array_like of floats, optional
        Added to the scores, after scale and softcap: (Lk,), the same for all queries; (Lq, Lk);
        or with the axes of all scores, (B, H, Lq, Lk), each of which may be 1. H is the number of
        `heads` if those are given. −inf hides a key.
    mask : array_like of bool, optional
        True where a query may attend; axes as of `bias`. In addition to all other restrictions.

    Returns
    -------
    Steer
        To be used in a ``with``. Its attribute `grad` is the gradient of the loss with respect to
        `bias`, of its shape, summed over layers and backward passes since it was made; None before.

    Raises
    ------
    ValueError
        Neither bias nor mask; three axes, of which the first could be items or heads; NaN or +inf;
        patterns or heads that do not exist. At a call: shapes that do not match a layer's scores.
    TypeError
        A mask that is not boolean, a bias that does not hold numbers, a model that is not a layer.

    Notes
    -----
    With a cache, in generation, the last two axes are positions in the whole text, of queries and
    keys; attention to another sequence, as in ``Transformer.generate``, has that one's positions as
    keys. Where the text grows past an axis, nothing is added or hidden; what an axis has past the
    end of the text waits until it is read. B are the prompts, in their order, whichever of them a
    step still continues. Without a cache shapes must broadcast. A cache with a policy takes a bias
    or a mask only if its policy does.

    Nested ones add up: biases are summed, and every mask holds. Each belongs to the thread that
    entered it. The closures of `forward` remember it: the backward pass may follow the ``with``.
    A module of PyTorch computes with "eager" attention within the ``with``, whatever it uses
    outside. In ``generate`` of transformers positions are those of the padded texts, and what is
    given for each prompt holds for all its beams.

    Guiding selected heads in this way: Zhang et al. 2024, PASTA, https://arxiv.org/abs/2311.02262.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import steer, watch
    >>> from heedful.layers import Encoder
    >>> model, x = Encoder(1, 8, 4, 32, rng=0), np.eye(3, 8, dtype=np.float32)
    >>> with watch(model) as before:
    ...     y = model(x)
    >>> with steer(model, bias=[0, 0, np.log(5)], heads=[1]), watch(model) as after:
    ...     y = model(x)
    >>> name = "layers.0.self_attn"
    >>> odds = [seen[name][:, 0, 2] / seen[name][:, 0, 0] for seen in (before, after)]
    >>> (odds[1] / odds[0]).round(3)
    array([1., 5., 1., 1.], dtype=float32)
    """
    of_torch = is_torch(model)
    found = {} if of_torch else chosen_layers(model, "where", where, without=("linear",))
    if bias is None and mask is None:
        raise ValueError("bias or mask must be given: got neither")
    if of_torch:
        return TorchSteer(model, _bias(bias), _mask(mask), where, heads)
    return Steer(found, chosen_heads(found, heads), _bias(bias), _mask(mask))


class Steer(Tap):
    """A tap that changes scores, see :func:`steer`.

    Attributes
    ----------
    grad : numpy.ndarray or None
        The gradient of the bias.
    """

    heads: Mapping[str, tuple[int, ...]] | None
    bias: Array | None
    mask: Array | None
    grad: Array | None = None

    def __init__(
        self, layers: Mapping[str, Any], heads: Mapping[str, tuple[int, ...]] | None,
        bias: Array | None, mask: Array | None,
    ) -> None:  # fmt: skip
        super().__init__(layers)
        self.heads, self.bias, self.mask = heads, bias, mask
        self._placements: dict[int, tuple[Placement, Any]] = {}

    def steer(self, call: Any) -> None:
        name = self.name_of(call.layer)
        placement = Placement.of(call, name, None if self.heads is None else self.heads[name])
        if self.mask is not None:
            call.restrict(placement.placed("mask", self.mask, True))
        if self.bias is not None:
            bias = finite_cast(self.bias, call.query.dtype)
            call.add_bias(placement.placed("bias", bias, call.query.dtype.type(0)))
            if call.training:  # with the call, whose id may be used again after it
                self._placements[id(call)] = placement, call

    def see_gradient(self, call: Any, dheads: Array, dbias: Array | None) -> None:
        placement, _ = self._placements.pop(id(call), (None, None))
        if placement is None or self.bias is None:
            return
        assert dbias is not None  # of a bias that the call was given
        grad = placement.gradient(dbias, self.bias.shape)
        self.grad = grad if self.grad is None else self.grad + grad


def _bias(given: Any) -> Array | None:
    if given is None:
        return None
    bias = numbers("bias", given)
    if bias.dtype.kind not in "f":
        bias = bias.astype(np.float64)
    if np.isnan(bias).any() or np.isposinf(bias).any():
        raise ValueError("bias must be finite or −inf: got NaN or +inf")
    return pair_axes("bias", bias)


def _mask(given: Any) -> Array | None:
    if given is None:
        return None
    mask = as_array("mask", given)
    if mask.dtype != np.bool_:
        raise TypeError(f"mask must be boolean, True where a query may attend: got {named(mask)}")
    return pair_axes("mask", mask)
