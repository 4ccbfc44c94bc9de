"""Each option that is documented or in a signature: it works, or is refused in its own name."""
