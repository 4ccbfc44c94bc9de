"""Losses, and what targets and weights they take."""
