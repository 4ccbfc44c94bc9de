"""Tokens after a prompt, from a model that scores the next one."""
