"""Text generation: tokens after a prompt, from a model that scores the next one."""
