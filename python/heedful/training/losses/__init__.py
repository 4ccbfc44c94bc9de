"""Losses, and the targets and sample weights that they take."""
