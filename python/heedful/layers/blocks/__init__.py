"""Layers that attention and models are made of."""
