"""Rendered variants, kept: files by digest and what may be served."""
