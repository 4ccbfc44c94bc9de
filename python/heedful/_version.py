"""The version, in one place for both the build and the package."""

__version__ = "0.1.0.dev0"
