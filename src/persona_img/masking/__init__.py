"""Which pixels are the product: the Masker port and its adapters.

Start with ``base.py``.
"""
