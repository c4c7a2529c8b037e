"""Folders of files that are copied whole, or not at all, and checked by digest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from typing import TYPE_CHECKING, Any

from persona_img.errors import InvalidInput, NotFound, StoreConflict, VerificationFailed

if TYPE_CHECKING:
    from pathlib import Path

_PICKLES = {".pkl", ".pickle", ".joblib", ".pt", ".pth"}


def ranker_digest(folder: Path) -> str:
    """Digest of a folder that is to be registered.

    Raises:
        NotFound: no such folder.
        InvalidInput: no file in it, a link, or a pickle.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: no such folder; save the ranker first")
    entries = sorted(folder.rglob("*"))
    for entry in entries:
        if entry.is_symlink():
            raise InvalidInput(f"{entry}: a link; a ranker's files must be its own")
        if entry.suffix.lower() in _PICKLES:
            raise InvalidInput(f"{entry}: a pickle runs code when loaded; save text or safetensors")
    if not any(entry.is_file() for entry in entries):
        raise InvalidInput(f"{folder}: no file in it; save the ranker first")
    return folder_digest(folder)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the relative names and bytes of all files below, hex."""
    total = hashlib.sha256()
    names = {f.relative_to(folder).as_posix(): f for f in folder.rglob("*") if f.is_file()}
    for name in sorted(names):
        with names[name].open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{content}  {name}\n".encode())
    return total.hexdigest()


def check_folder(folder: Path, digest: str) -> None:
    """Refuse a stored folder that is not what was stored.

    Raises:
        VerificationFailed: it is missing, or a file was changed, added or lost.
    """
    if not folder.is_dir() or folder_digest(folder) != digest:
        raise VerificationFailed(
            f"{folder}: its files are not those that were registered; register the ranker again"
        )


def copy_checked(source: Path, target: Path, digest: str) -> Path:
    """Copy a folder, whole or not at all.

    Raises:
        StoreConflict: ``target`` holds something else.
        VerificationFailed: the copy has another digest.
    """
    if target.exists():
        if target.is_dir() and folder_digest(target) == digest:
            return target
        raise StoreConflict(f"{target} holds something else; choose another place")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        shutil.copytree(source, partial)
        check_folder(partial, digest)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def copy_any(source: Path, target: Path) -> None:
    """Copy a file or a folder, making the folders above."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all, and on the disk when this returns."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    with partial.open("w", encoding="utf-8") as out:
        json.dump(value, out, indent=2, sort_keys=True)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
