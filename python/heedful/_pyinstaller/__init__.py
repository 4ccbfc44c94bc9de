"""The hook for PyInstaller, which calls `hook_dirs` by the entry point pyinstaller40."""

__all__ = ["hook_dirs"]


def hook_dirs() -> list[str]:
    """The folder of hook-heedful.py."""
    return list(__path__)
