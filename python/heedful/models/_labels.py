"""How many labels the classification of a config has."""

from __future__ import annotations

from heedful.models._config import Config


def num_labels(config: Config) -> int:
    """Of a classification: that of the labels listed, as in transformers, which has two if none."""
    listed = config.section("id2label", None)
    found: int = config.integer("num_labels", 2) if listed is None else len(listed)
    return found
