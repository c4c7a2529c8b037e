from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.shops import a_shop


@pytest.fixture(scope="session")
def shop(made_once: Callable[..., Path]) -> Path:
    """A folder with a shop and its key, to be copied."""
    return made_once("chaos-shop", lambda folder: a_shop(folder / "home"))


@pytest.fixture
def home(shop: Path, tmp_path: Path) -> Path:
    """A shop of the test's own."""
    shutil.copytree(shop, tmp_path, dirs_exist_ok=True)
    return tmp_path / "home"
