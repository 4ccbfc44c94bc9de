"""Layers that attention and models are composed of."""
