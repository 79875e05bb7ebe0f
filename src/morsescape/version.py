"""The version, where every module can read it, and the build."""

__version__ = "0.2.0"
