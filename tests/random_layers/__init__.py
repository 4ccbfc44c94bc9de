"""Random layers, losses and optimizers against PyTorch's: compact cases that shrink, and checks.

A case is a frozen dataclass of sizes, options and a seed for its numbers; ``case.check()`` computes
the same with heedful and with PyTorch, and its representation is Python that makes it again.
"""
