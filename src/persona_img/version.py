"""The release this is; also written into every variant's recipe."""

__version__ = "0.2.0"
