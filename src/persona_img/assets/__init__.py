"""What comes with the package: checkpoint, demo photos, tiles, styles."""

from pathlib import Path

ASSETS = Path(__file__).parent
