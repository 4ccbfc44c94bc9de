"""Metrics, and their sums over an epoch."""
