"""Layers that mix positions without comparing them."""
