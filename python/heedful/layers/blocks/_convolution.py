"""Conv1d: the same dense product at every position of a sequence and its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import count, flag, is_integer, named, size
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._sums import add_sum_of_rows, plus
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.blocks._initial import kaiming
from heedful.layers.blocks._int8 import int8_shown, narrow_product, refuse_training

if TYPE_CHECKING:
    from heedful.base._parameter_types import OptionalOwn, Own

WORDS = ("valid", "same", "causal")


class Conv1d(Typed):
    """Convolution along the positions of a sequence.

    ::

        y[t, o] = Σ_k Σ_i x[stride · t + dilation · k − padding, i] · weight[o, i, k] + bias[o]

    where positions outside x count as 0, and channel o of group g reads the channels i of that
    group.

    Parameters
    ----------
    in_channels, out_channels : int
        Widths of x and y, whose last axis is the channels.
    kernel_size : int
        K, the number of positions that are multiplied.
    stride : int, default 1
        Distance between the positions of x that neighbours of y begin at.
    padding : int or {"valid", "same", "causal"}, default 0
        Zeros at both ends. "valid" is 0; "same" keeps the length, with the odd zero at the end, for
        stride 1; "causal" has dilation · (K − 1) zeros at the beginning alone, so that y[t] depends
        on nothing after stride · t.
    dilation : int, default 1
        Distance between the positions that are multiplied.
    groups : int, default 1
        Channels in so many groups, each with a convolution of its own; it must divide both widths.
    bias : bool, default True
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
        For the initial parameters: uniform within ±1/√(in_channels K / groups), as in PyTorch.

    Attributes
    ----------
    weight : numpy.ndarray, (out_channels, in_channels / groups, K)
    bias : numpy.ndarray, (out_channels,), or None

    Notes
    -----
    LeCun et al. 1989, https://doi.org/10.1162/neco.1989.1.4.541. Named ``nn.Conv1d`` in PyTorch,
    with the same parameters, whose x is (B, channels, L): here channels are the last axis, as the
    features of all layers are. Keras's kernel is ``weight.transpose(2, 1, 0)``.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`. The order of
    sums depends on the number of positions as that of :class:`Linear` on rows.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Conv1d
    >>> Conv1d(3, 4, 5, rng=0)(np.ones((2, 9, 3))).shape
    (2, 5, 4)
    >>> Conv1d(3, 4, 5, stride=2, padding="causal", rng=0)(np.ones((2, 9, 3))).shape
    (2, 5, 4)
    """

    stride: int
    dilation: int
    weight: Own
    bias: OptionalOwn

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1,
        padding: int | str = 0, dilation: int = 1, groups: int = 1, bias: bool = True, *,
        dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.in_channels: int = size("in_channels", in_channels)
        self.out_channels: int = size("out_channels", out_channels)
        self.kernel_size: int = size("kernel_size", kernel_size)
        self.stride, self.dilation = size("stride", stride), size("dilation", dilation)
        self.padding: int | str = _check_padding(padding, self.stride)
        self.groups: int = size("groups", groups)
        for name, width in (("in_channels", in_channels), ("out_channels", out_channels)):
            if width % self.groups:
                raise ValueError(
                    f"groups must divide {name}: got {name}={width}, groups={self.groups}"
                )
        rng = generator(rng)
        shape = (self.out_channels, self.in_channels // self.groups, self.kernel_size)
        self.weight = Parameter(kaiming(rng, shape, shape[1] * shape[2], self.dtype))
        self.bias = None
        if flag("bias", bias):
            first = kaiming(rng, (self.out_channels,), shape[1] * shape[2], self.dtype)
            self.bias = Parameter(first)

    @property
    def _reach(self) -> int:
        """The distance from the first to the last position that is multiplied."""
        return self.dilation * (self.kernel_size - 1)

    @property
    def _zeros(self) -> tuple[int, int]:
        """How many there are before x and after it."""
        if self.padding == "causal":
            return self._reach, 0
        if self.padding == "same":
            return self._reach // 2, self._reach - self._reach // 2
        return (0, 0) if isinstance(self.padding, str) else (self.padding, self.padding)

    def compute(self, mode: Mode, x: ArrayLike) -> tuple[Array, Backward]:
        """x (…, L, in_channels) → y (…, length, out_channels).

        length = ⌊(L + zeros − dilation · (K − 1) − 1) / stride⌋ + 1
        """
        x, weight = self.array("x", x, self.in_channels), self.own_parameters()["weight"]
        refuse_training(mode, self.own_parameters())
        if x.ndim < 2:
            raise ValueError(f"x must have positions and channels as axes: got shape {x.shape}")
        shape, (before, after) = x.shape, self._zeros
        room = shape[-2] + before + after - self._reach
        if room < 1:
            raise ValueError(
                f"x must have {self._reach + 1 - before - after} positions at least, as many as "
                f"the kernel reaches over: got shape {shape}"
            )
        length = (room - 1) // self.stride + 1
        padded = _Padded(x, before, self._reach, self.stride, length)
        y = empty((padded.rows, self.out_channels), self.dtype)
        bias = self.optional("bias", (self.out_channels,))
        for inputs, outputs in self._group_slices():
            windows = padded.windows(inputs, self.kernel_size, self.dilation)
            own, part = None if bias is None else bias[outputs], y[:, outputs]
            if isinstance(weight, NarrowParameter):
                narrow_product(windows, weight, outputs, own, None, "", part, _by_tap)
            else:
                rows = _by_tap(weight.value[outputs])
                native.linear_forward(windows, rows, own, None, "", None, part)
        out_shape = (*shape[:-2], length, self.out_channels)

        def backward(dy: Any) -> Array:
            dy = padded.rows_of(self.gradient(dy, out_shape))
            dpadded = np.zeros_like(padded.x)
            for inputs, outputs in self._group_slices():
                own = np.ascontiguousarray(dy[:, outputs])
                self._add_gradients(own, padded, inputs, outputs)
                for tap in range(self.kernel_size):
                    weight = np.ascontiguousarray(self.weight[outputs, :, tap])
                    rows = padded.taps(dpadded, inputs, tap * self.dilation)
                    native.linear_gradient_input(own, weight, rows, True)
            return padded.inside(dpadded).reshape(shape)

        return padded.results(y).reshape(out_shape), backward

    def int8_names(self) -> tuple[str, ...]:
        # a subclass with a computation of its own may read the weight in another way
        return ("weight",) if type(self).compute is Conv1d.compute else ()

    def _group_slices(self) -> list[tuple[slice, slice]]:
        """The channels of x and of y of each group."""
        inputs, outputs = self.in_channels // self.groups, self.out_channels // self.groups
        return [
            (slice(i * inputs, (i + 1) * inputs), slice(i * outputs, (i + 1) * outputs))
            for i in range(self.groups)
        ]

    def _add_gradients(self, dy: Array, padded: _Padded, inputs: slice, outputs: slice) -> None:
        dweight = self.parameter("weight").buffer()
        dbias = None if self.bias is None else self.parameter("bias").buffer()
        own = None if dbias is None else dbias[outputs]
        if dweight is not None:
            windows = padded.windows(inputs, self.kernel_size, self.dilation)
            added = np.zeros((dy.shape[1], windows.shape[1]), self.dtype)
            native.linear_gradient_weight(dy, windows, added, own)
            shape = (dy.shape[1], self.kernel_size, -1)
            plus(dweight[outputs], added.reshape(shape).swapaxes(1, 2), out=dweight[outputs])
        elif own is not None:
            add_sum_of_rows(dy, own)

    def extra_repr(self) -> str:
        shown = f"{self.in_channels}, {self.out_channels}, {self.kernel_size}"
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)):
            value = getattr(self, name)
            shown += "" if value == default else f", {name}={value!r}"
        shown += "" if self.bias is not None else ", bias=False"
        return shown + int8_shown(self.own_parameters().values())


class _Padded:
    """Sequences with zeros around, one after the other, of lengths that the stride divides.

    Window t of the whole array is x[stride · t : …] then, whichever sequence it begins in: windows
    are rows of a matrix whose rows overlap, and are not copied. A few at the end of a sequence
    reach into the next one; their results are left out, and their gradients are 0.
    """

    def __init__(self, x: Array, before: int, reach: int, stride: int, length: int) -> None:
        self.stride, self.length, self.before, self.own = stride, length, before, x.shape[-2]
        batch, width = int(np.prod(x.shape[:-2])), x.shape[-1]
        self.steps = -(-max(before + self.own, (length - 1) * stride + reach + 1) // stride)
        self.rows = batch * self.steps
        self.batch, self.width = batch, width
        # the last windows reach past the end
        self.x = np.zeros((self.rows * stride + reach, width), x.dtype)
        self.inside(self.x)[...] = x.reshape(batch, self.own, width)

    def inside(self, padded: Array) -> Array:
        """Where x is: (batch, L, channels)."""
        whole = padded[: self.rows * self.stride].reshape(
            self.batch, self.steps * self.stride, self.width
        )
        return whole[:, self.before : self.before + self.own]

    def windows(self, channels: slice, kernel: int, dilation: int) -> Array:
        """(rows, K · channels): a view if windows are contiguous, otherwise a copy."""
        step, element = self.x.strides
        count = channels.stop - channels.start
        shape = (self.rows, kernel, count)
        strides = (self.stride * step, dilation * step, element)
        if count == self.width and dilation == 1:
            flat = (self.rows, kernel * count)
            return as_strided(self.x, flat, (strides[0], element), writeable=False)
        view = as_strided(self.x[:, channels], shape, strides, writeable=False)
        return np.ascontiguousarray(view).reshape(self.rows, kernel * count)

    def taps(self, padded: Array, channels: slice, first: int) -> Array:
        """(rows, channels): the positions at a distance from the first one of each window."""
        step, element = padded.strides
        shape = (self.rows, channels.stop - channels.start)
        return as_strided(padded[first:, channels], shape, (self.stride * step, element))

    def results(self, y: Array) -> Array:
        """(rows, channels) → (batch, length, channels)."""
        return y.reshape(self.batch, self.steps, y.shape[-1])[:, : self.length]

    def rows_of(self, dy: Array) -> Array:
        """(batch, length, channels) → (rows, channels), 0 in those that are left out."""
        found = np.zeros((self.batch, self.steps, dy.shape[-1]), dy.dtype)
        found[:, : self.length] = dy.reshape(self.batch, self.length, dy.shape[-1])
        return found.reshape(self.rows, -1)


def _by_tap(weight: Array) -> Array:
    """(out, in, K) → (out, K · in), in the order of a window."""
    return np.ascontiguousarray(weight.swapaxes(1, 2)).reshape(len(weight), -1)


def _check_padding(padding: Any, stride: int) -> int | str:
    if is_integer(padding):
        return count("padding", padding)
    if not isinstance(padding, str) or padding not in WORDS:
        kind = ValueError if isinstance(padding, str) else TypeError
        raise kind(
            f"padding must be an integer from 0 on, or {' or '.join(map(repr, WORDS))}: "
            f"got {named(padding)}"
        )
    if padding == "same" and stride != 1:
        raise ValueError(
            f"padding 'same' keeps the length with stride 1 alone: got stride={stride}"
        )
    return padding
