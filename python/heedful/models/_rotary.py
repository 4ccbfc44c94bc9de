"""Rotary positions of a config: rope_parameters, or rope_scaling and rope_theta of older files."""

from __future__ import annotations

import math
from typing import Any

from heedful.layers import RotaryAngles
from heedful.models._config import Config

_RULES = ("default", "linear", "dynamic", "llama3", "yarn")


def angles_of(config: Config) -> RotaryAngles:
    """What transformers computes from the same config."""
    given = config.section("rope_parameters", config.section("rope_scaling", Config({})))
    base = given.number("rope_theta", config.number("rope_theta", 10000.0))
    # formerly "type", and "mrope" and others are of models that are not known here
    key = "rope_type" if "rope_type" in given else "type"
    rule = given.choice(key, _RULES, "default")
    found: dict[str, Any] = {"base": base, "rule": rule}
    if rule != "default":
        found["factor"] = given.number("factor")
    longest = config.integer("max_position_embeddings", 2048)
    if rule == "dynamic":  # as in transformers, which takes no other length here
        found["original_length"] = longest
    if rule in ("llama3", "yarn"):
        found["original_length"] = given.integer("original_max_position_embeddings", longest)
    if rule == "llama3":
        found["low_frequency_factor"] = given.number("low_freq_factor")
        found["high_frequency_factor"] = given.number("high_freq_factor")
    if rule == "yarn":
        found["beta_fast"] = given.number("beta_fast", 32.0)
        found["beta_slow"] = given.number("beta_slow", 1.0)
        found["whole_features"] = given.flag("truncate", True)
        found["amplitude"] = _amplitude(given, found["factor"])
    return RotaryAngles(**found)


def _amplitude(given: Config, factor: float) -> float | None:
    """Of "yarn", with the two factors of models that divide one by the other."""
    own = given.number("attention_factor", None)
    one, other = given.number("mscale", 0.0), given.number("mscale_all_dim", 0.0)
    if own is not None or not one or not other or factor <= 1:
        return own  # type: ignore[no-any-return]
    grown = 0.1 * math.log(factor)
    return (one * grown + 1) / (other * grown + 1)  # type: ignore[no-any-return]
