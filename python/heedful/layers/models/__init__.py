"""Whole models, and the stacks that they are made of."""
