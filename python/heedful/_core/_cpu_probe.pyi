"""What this processor and its operating system run, found by code that runs on every x86-64."""

def best_level() -> str:
    """The best x86-64 level that runs here: v1, v2, v3 or v4."""

def features() -> list[str]:
    """The names of the vector extensions that run here."""
