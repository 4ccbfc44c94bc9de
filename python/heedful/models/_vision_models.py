"""VisionEncoder and ImageClassification: images to vectors of their patches, and to labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import named, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers import Dropout, Encoder, LearnedPositions, Linear, Parameter, PatchEmbed
from heedful.layers._typed import Typed
from heedful.layers.blocks._initial import normal
from heedful.layers.models._pooled import PooledEncoder, with_pooled

if TYPE_CHECKING:
    from heedful.base._parameter_types import Own


class VisionEncoder(PooledEncoder):
    """Images to a vector of the image and vectors of its patches, a vision Transformer.

    ::

        x = dropout([class_token, patches(pixels)] + positions)          (B, 1 + N, E)
        y = norm(encoder(x))

    Parameters
    ----------
    image_size, patch_size : int or (int, int)
        Height and width; N = the number of patches.
    channels : int
        C.
    d_model, num_heads, num_layers, dff : int
    rate : float, default 0
        Of dropout.
    activation : str, default "gelu"
    eps : float, default 1e-12
        Of the norms.
    pooler_size : int, optional
        Width of the vector that a dense layer makes of the first one; None is no such layer.
    pooler_activation : str, default "tanh"
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    class_token : numpy.ndarray, (d_model,)

    Notes
    -----
    Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929. Computes in `dtype`, whatever the
    input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.models import VisionEncoder
    >>> model = VisionEncoder(12, 4, 3, d_model=8, num_heads=2, num_layers=2, dff=16, rng=0)
    >>> model(np.zeros((2, 3, 12, 12))).shape
    (2, 10, 8)
    """

    class_token: Own

    def __init__(
        self,
        image_size: int | tuple[int, int],
        patch_size: int | tuple[int, int],
        channels: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dff: int,
        rate: float = 0.0,
        *,
        activation: str = "gelu",
        eps: float = 1e-12,
        pooler_size: int | None = None,
        pooler_activation: str = "tanh",
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(dtype)
        rng = generator(rng)
        self.patches: PatchEmbed = PatchEmbed(
            image_size, patch_size, channels, d_model, dtype=dtype, rng=rng
        )
        self.class_token = Parameter(normal(rng, (size("d_model", d_model),), 0.02, self.dtype))
        self.positions: LearnedPositions = LearnedPositions(
            1 + self.patches.num_patches, d_model, dtype=dtype, rng=rng
        )
        self.dropout: Dropout = Dropout(rate, dtype=dtype)
        self.encoder: Encoder = Encoder(
            num_layers, d_model, num_heads, dff, rate, activation=activation, norm_first=True,
            eps=eps, dtype=dtype, rng=rng,
        )  # fmt: skip
        self.pooler: Linear | None = None
        if pooler_size is not None:
            self.pooler = Linear(
                d_model, size("pooler_size", pooler_size), activation=pooler_activation,
                dtype=dtype, rng=rng,
            )  # fmt: skip

    def compute(
        self, mode: Mode, pixels: Any, *, pooled: bool = False, hidden_states: bool = False
    ) -> tuple[Any, Backward]:
        """pixels (B, C, H, W) → y (B, 1 + N, E).

        Parameters
        ----------
        pooled : bool, default False
            Return (y, pooled): pooled (B, pooler_size) is made of the first vector by the pooler.
        hidden_states : bool, default False
            Return also, as the last, a list of the encoder's input and of the output of each of its
            layers, before the final norm. They are constant in the backward pass.
        """
        pooler = self.pooler_if(pooled)
        with argument_names(x="pixels"):
            x, back_patches = self.patches.compute(mode, pixels)
        first = np.broadcast_to(self.class_token, (*x.shape[:-2], 1, x.shape[-1]))
        x = np.concatenate([first, x], axis=-2)
        x, back_positions = self.positions.compute(mode, x)
        x, drop = self.dropout.compute(mode, x)
        y, back_encoder = self.encoder.compute(mode, x, hidden_states=hidden_states)
        y, *states = y if hidden_states else (y,)
        found, back_pooled = with_pooled(mode, pooler, y)

        def backward(*gradients: Any) -> Array:
            dx = back_positions(drop(back_encoder(back_pooled(*gradients))))
            token = dx[..., 0, :].reshape(-1, dx.shape[-1]).sum(0)
            self.add_gradient("class_token", token)
            dpixels: Array = back_patches(np.ascontiguousarray(dx[..., 1:, :]))
            return dpixels

        outputs = (*found, *states)
        return outputs if len(outputs) > 1 else y, backward


class ImageClassification(Typed):
    """Logits of an image, from the first vector of the encoder.

    ::

        logits = classifier(y[:, 0])                                 (B, num_labels)

    Parameters
    ----------
    vision : VisionEncoder
    num_labels : int
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Computes in the encoder's type; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.models import ImageClassification, VisionEncoder
    >>> vision = VisionEncoder(12, 4, 3, d_model=8, num_heads=2, num_layers=2, dff=16, rng=0)
    >>> ImageClassification(vision, 5, rng=0)(np.zeros((2, 3, 12, 12))).shape
    (2, 5)
    """

    def __init__(self, vision: VisionEncoder, num_labels: int, *, rng: Rng = None) -> None:
        if not isinstance(vision, VisionEncoder):
            raise TypeError(f"vision must be a VisionEncoder: got {named(vision)}")
        super().__init__(vision.dtype)
        self.vision = vision
        self.classifier: Linear = Linear(
            vision.patches.d_model, size("num_labels", num_labels), dtype=self.dtype,
            rng=generator(rng),
        )  # fmt: skip

    def compute(
        self, mode: Mode, pixels: Any, *, hidden_states: bool = False
    ) -> tuple[Array, Backward]:
        """pixels (B, C, H, W) → logits (B, num_labels).

        Parameters
        ----------
        hidden_states : bool, default False
            Return (logits, states), see ``VisionEncoder.compute``.
        """
        y, back_encoder = self.vision.compute(mode, pixels, hidden_states=hidden_states)
        y, *states = y if hidden_states else (y,)
        logits, back = self.classifier.compute(mode, y[..., 0, :])
        shape = y.shape

        def backward(dlogits: Any) -> Any:
            dy = np.zeros(shape, self.dtype)
            dy[..., 0, :] = back(dlogits)
            return back_encoder(dy)

        result: Any = (logits, *states) if states else logits
        return result, backward

    def ends_in(self, before: str | None) -> str | None:
        return "linear"
