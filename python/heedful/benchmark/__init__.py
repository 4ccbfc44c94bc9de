"""Comparison with other libraries: named shapes, checks against float64, interleaved timing.

It is part of the package, so that `python -m heedful bench` works wherever heedful is installed.
No other module of heedful imports it, and it imports other frameworks only in separate processes.
"""
