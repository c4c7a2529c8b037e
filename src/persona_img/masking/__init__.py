"""Which pixels are the product: the Masker port, its adapters, and how the learned one is taught.

Start with ``base.py``.
"""
