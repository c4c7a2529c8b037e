"""The files of a feature repository, read as Feast's own command reads them, without its traces."""

from __future__ import annotations

import hashlib
import importlib
import sys
import threading
from typing import TYPE_CHECKING

from persona_img.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

_IMPORTING = threading.Lock()


STORE = "feature_store.yaml"
"""The file that says where features lie, unless another of the folder is named."""


def load_definitions(repo: Path, store: str = STORE) -> list[ModuleType]:
    """The modules of a folder, in the order of their names.

    They import each other by bare names, as ``feast apply`` wants it; here the folder is on the
    path, and the names are taken, only while they are imported. No bytecode is written beside them.

    Raises:
        NotFound: the folder holds no file named ``store``.
    """
    if not (repo / store).is_file():
        raise NotFound(f"{repo}: no {store}; name the folder of the Feast definitions")
    names = sorted(path.stem for path in repo.glob("*.py"))
    with _IMPORTING:
        others = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        silent, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.path.insert(0, str(repo))
        importlib.invalidate_caches()
        try:
            return [importlib.import_module(name) for name in names]
        finally:
            sys.path.remove(str(repo))
            sys.dont_write_bytecode = silent
            for name in names:
                sys.modules.pop(name, None)
            sys.modules.update(others)


def definitions_digest(repo: Path, store: str = STORE) -> str:
    """SHA-256 over the names and bytes of a folder's definitions and its file ``store``, hex."""
    digest = hashlib.sha256()
    for path in sorted([*repo.glob("*.py"), repo / store]):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()
