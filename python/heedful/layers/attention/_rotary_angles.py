"""RotaryAngles: how fast the pairs of features of a head rotate, by the rules of long texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from heedful._checks import named, one_of, positive, size
from heedful.base._types import Array

RULES = ("default", "linear", "dynamic", "llama3", "yarn")


@dataclass(frozen=True)
class RotaryAngles:
    """Angles of rotary positions, of models that read longer texts than they were trained with.

    ::

        angle[p, i] = p · f[i]        g[i] = base^(−2i / R)        i = 0 … R/2 − 1

        default    f = g
        linear     f = g / factor
        dynamic    f = g with base · (factor · n / original_length − factor + 1)^(R / (R − 2)),
                   n the length of the text, at least original_length
        llama3     f = g where its wavelength 2π / g is short, g / factor where it is long, and in
                   between a mixture
        yarn       f = g for features that rotate often in original_length, g / factor for those
                   that rotate seldom, a mixture in between; queries and keys grow by `amplitude`

    Parameters
    ----------
    base : float, default 10000
    rotary_dim : int, optional
        R, how many features of a head are rotated, counted from the first; None is all.
    rule : {"default", "linear", "dynamic", "llama3", "yarn"}
    factor : float, default 1
        How much longer texts may be.
    original_length : int, optional
        The longest text that the model was trained with, of all rules but the first two.
    low_frequency_factor, high_frequency_factor : float, default 1 and 4
        Of "llama3": wavelengths above original_length / low_frequency_factor are long, those below
        original_length / high_frequency_factor are short.
    beta_fast, beta_slow : float, default 32 and 1
        Of "yarn": features with more than beta_fast rotations in original_length rotate often,
        those with fewer than beta_slow seldom.
    whole_features : bool, default True
        Of "yarn": whether the bounds between features are rounded to integers.
    amplitude : float, optional
        Of "yarn": the factor of rotated queries and of keys; None is 0.1 · log(factor) + 1.

    Notes
    -----
    Linear: Chen et al. 2023, https://arxiv.org/abs/2306.15595. YaRN, and the dynamic rule: Peng et
    al. 2023, https://arxiv.org/abs/2309.00071. Llama 3: Grattafiori et al. 2024,
    https://arxiv.org/abs/2407.21783.
    In transformers these are ``rope_parameters`` of a config, formerly ``rope_scaling``.
    With the dynamic rule keys in a cache keep the angles of the length at which they were
    computed, as in transformers.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import MultiHeadAttention, RotaryAngles
    >>> angles = RotaryAngles(500000.0, rule="linear", factor=4.0)
    >>> MultiHeadAttention(8, 2, rotary=angles, rng=0)(np.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    base: float = 10000.0
    rotary_dim: int | None = None
    rule: str = "default"
    factor: float = 1.0
    original_length: int | None = None
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    whole_features: bool = True
    amplitude: float | None = None

    def __post_init__(self) -> None:
        one_of("rule", self.rule, RULES)
        for name in ("base", "factor", "low_frequency_factor", "high_frequency_factor",
                     "beta_fast", "beta_slow"):  # fmt: skip
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        if self.amplitude is not None:
            object.__setattr__(self, "amplitude", positive("amplitude", self.amplitude))
        if self.rule not in ("default", "linear"):
            if self.original_length is None:
                raise ValueError(f"original_length must be given for the rule {self.rule!r}")
            size("original_length", self.original_length)
        if self.rule == "llama3" and self.high_frequency_factor <= self.low_frequency_factor:
            raise ValueError(
                "high_frequency_factor must be above low_frequency_factor: got "
                f"{self.high_frequency_factor} and {self.low_frequency_factor}"
            )

    def check(self, depth: int) -> None:
        """Require heads of a width that the angles fit."""
        if self.rotary_dim is None:
            if depth % 2:
                raise ValueError(f"rotary needs an even number of features in a head: got {depth}")
        elif self.rotary_dim % 2 or not 0 < self.rotary_dim <= depth:
            raise ValueError(
                f"rotary_dim must be even and at most the depth {depth} of a head: "
                f"got {named(self.rotary_dim)}"
            )

    def options(self, depth: int, length: int) -> dict[str, Any]:
        """The options of :func:`heedful.rotary_embedding` for heads of `depth` features.

        `length` is that of the longest text in the call, on which "dynamic" depends alone.
        """
        rotated = depth if self.rotary_dim is None else self.rotary_dim
        if self.rule == "default":
            return {"base": self.base, "rotary_dim": rotated}
        found: dict[str, Any] = {
            "frequencies": self._frequencies(rotated, length), "rotary_dim": rotated,
        }  # fmt: skip
        if self.rule == "yarn":
            grown = 0.1 * math.log(self.factor) + 1 if self.factor > 1 else 1.0
            found["amplitude"] = grown if self.amplitude is None else self.amplitude
        return found

    def _frequencies(self, rotated: int, length: int) -> Array:
        """f[i], (R / 2,)."""
        base, factor = self.base, self.factor
        if self.rule == "dynamic":
            assert self.original_length is not None
            longer = factor * max(length, self.original_length) / self.original_length - factor + 1
            base = base * longer ** (rotated / (rotated - 2)) if rotated > 2 else base
        plain = base ** (-np.arange(0, rotated, 2) / rotated)
        if self.rule == "linear":
            plain = plain / factor
        if self.rule == "llama3":
            plain = self._by_wavelength(plain)
        if self.rule == "yarn":
            plain = self._by_rotations(plain)
        return plain

    def _by_wavelength(self, plain: Array) -> Array:
        assert self.original_length is not None
        low, high = self.low_frequency_factor, self.high_frequency_factor
        waves = self.original_length * plain / (2 * np.pi)  # in the original length
        kept = np.clip((waves - low) / (high - low), 0, 1)
        mixed: Array = plain * (kept + (1 - kept) / self.factor)
        return mixed

    def _by_rotations(self, plain: Array) -> Array:
        assert self.original_length is not None
        pairs = len(plain)

        def feature(rotations: float) -> float:
            """The index of the feature, a fraction, that rotates so often in original_length."""
            ratio = self.original_length / (rotations * 2 * math.pi)  # type: ignore[operator]
            return 2 * pairs * math.log(ratio) / (2 * math.log(self.base))

        low, high = feature(self.beta_fast), feature(self.beta_slow)
        if self.whole_features:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, 2 * pairs - 1)
        width = high - low if high != low else 0.001
        seldom = np.clip((np.arange(pairs) - low) / width, 0, 1)
        mixed: Array = plain * (1 - seldom + seldom / self.factor)
        return mixed
