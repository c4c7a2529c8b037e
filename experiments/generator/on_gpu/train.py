"""Starts the training of :mod:`learn`: what draws is started anew and must not load what learns."""

from __future__ import annotations

if __name__ == "__main__":
    from learn import main

    main()
