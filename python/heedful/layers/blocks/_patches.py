"""PatchEmbed: a vector for each patch of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import flag, named, size
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.blocks._initial import kaiming
from heedful.layers.blocks._weight_gradients import add_gradients

if TYPE_CHECKING:
    from heedful.base._parameter_types import OptionalOwn, Own

Pair = tuple[int, int]


class PatchEmbed(Typed):
    """The patches of an image as vectors: a dense product of the pixels of each patch.

    ::

        y[p, e] = Σ_c Σ_i Σ_j x[c, P r + i, P s + j] · weight[e, c, i, j] + bias[e]
                                                        p = r · (W / P) + s, row by row

    Parameters
    ----------
    image_size : int or (int, int)
        Height and width of the images, one number for both.
    patch_size : int or (int, int)
        P, which must divide them.
    channels : int
        C.
    d_model : int
        E, the width of y.
    bias : bool, default True
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
        For the initial weights: uniform within ±1/√(C P P), as of PyTorch's convolution.

    Attributes
    ----------
    weight : numpy.ndarray, (d_model, channels, P, P)
    bias : numpy.ndarray, (d_model,), or None
    grid : (int, int)
        Rows and columns of patches.
    num_patches : int
        Their product.

    Notes
    -----
    Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929. The weight is that of
    ``nn.Conv2d(channels, d_model, P, stride=P)`` in PyTorch, as vision Transformers have it.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import PatchEmbed
    >>> layer = PatchEmbed((8, 12), 4, channels=3, d_model=5, rng=0)
    >>> layer.grid, layer(np.ones((2, 3, 8, 12))).shape
    ((2, 3), (2, 6, 5))
    """

    channels: int
    d_model: int
    weight: Own
    bias: OptionalOwn

    def __init__(
        self, image_size: int | Pair, patch_size: int | Pair, channels: int, d_model: int,
        bias: bool = True, *, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.image_size: Pair = _pair("image_size", image_size)
        self.patch_size: Pair = _pair("patch_size", patch_size)
        self.channels, self.d_model = size("channels", channels), size("d_model", d_model)
        for image, patch in zip(self.image_size, self.patch_size, strict=True):
            if image % patch:
                raise ValueError(
                    "patch_size must divide image_size: "
                    f"got image_size={image_size}, patch_size={patch_size}"
                )
        rows, columns = (
            image // patch for image, patch in zip(self.image_size, self.patch_size, strict=True)
        )
        self.grid: Pair = rows, columns
        rng, shape = generator(rng), (self.d_model, self.channels, *self.patch_size)
        fan_in = int(np.prod(shape[1:]))
        self.weight = Parameter(kaiming(rng, shape, fan_in, self.dtype))
        self.bias = None
        if flag("bias", bias):
            self.bias = Parameter(kaiming(rng, (self.d_model,), fan_in, self.dtype))

    @property
    def num_patches(self) -> int:
        return self.grid[0] * self.grid[1]

    def compute(self, mode: Mode, x: ArrayLike) -> tuple[Array, Backward]:
        """x (…, C, H, W) → y (…, num_patches, d_model)."""
        x = self.array("x", x)
        image = (self.channels, *self.image_size)
        if x.shape[-3:] != image:
            shown = ", ".join(str(length) for length in image)
            raise ValueError(f"x must have shape (…, {shown}): got {x.shape}")
        shape = x.shape
        patches = self._patches(x)
        y = empty((len(patches), self.d_model), self.dtype)
        weight, bias = self.weight.reshape(self.d_model, -1), self.optional("bias", (self.d_model,))
        native.linear_forward(patches, weight, bias, None, "", None, y)
        out_shape = (*shape[:-3], self.num_patches, self.d_model)

        def backward(dy: Any) -> Array:
            dy = np.ascontiguousarray(self.gradient(dy, out_shape)).reshape(-1, self.d_model)
            dweight = self.parameter("weight").buffer()
            dbias = None if self.bias is None else self.parameter("bias").buffer()
            rows = None if dweight is None else dweight.reshape(self.d_model, -1)
            add_gradients(dy, patches, rows, dbias)
            dpatches = empty(patches.shape, patches.dtype)
            weight = self.weight.reshape(self.d_model, -1)
            native.linear_gradient_input(dy, weight, dpatches, False)
            return self._images(dpatches, shape)

        return y.reshape(out_shape), backward

    def _patches(self, x: Array) -> Array:
        """Images (…, C, H, W) → patches (B · patches, C · P · P), contiguous."""
        (rows, columns), (height, width) = self.grid, self.patch_size
        split = x.reshape(-1, self.channels, rows, height, columns, width)
        patches = np.ascontiguousarray(split.transpose(0, 2, 4, 1, 3, 5))
        return patches.reshape(-1, self.channels * height * width)

    def _images(self, patches: Array, shape: tuple[int, ...]) -> Array:
        """Patches → images again."""
        split = patches.reshape(-1, *self.grid, self.channels, *self.patch_size)
        images: Array = split.transpose(0, 3, 1, 4, 2, 5).reshape(shape)
        return images

    def extra_repr(self) -> str:
        image, patch = (
            pair[0] if pair[0] == pair[1] else pair for pair in (self.image_size, self.patch_size)
        )
        shown = f"{image}, {patch}, {self.channels}, {self.d_model}"
        return shown + ("" if self.bias is not None else ", bias=False")


def _pair(name: str, given: Any) -> Pair:
    """Height and width, of one number or two."""
    if not isinstance(given, (tuple, list)):
        number = size(name, given)
        return number, number
    if len(given) != 2:
        raise ValueError(f"{name} must be one number or height and width: got {named(given)}")
    return size(name, given[0]), size(name, given[1])
