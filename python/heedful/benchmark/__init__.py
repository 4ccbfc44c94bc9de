"""Comparison with other libraries: named shapes, checks against float64, times in turns.

It lives in the package, so that `python -m heedful bench` works wherever heedful is installed.
Nothing else of heedful imports it, and it imports another framework only in a process of its own.
"""
