"""Random calls of attention, each a description that can be shrunk and repeated."""
