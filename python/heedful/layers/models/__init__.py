"""Whole models, and the stacks that they are composed of."""
