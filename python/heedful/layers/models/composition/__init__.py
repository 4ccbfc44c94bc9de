"""Compositions of layers: the functional form."""
