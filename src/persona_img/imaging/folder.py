"""Folders of photos: which files are photos, which are results of ours, and what results are named.

One rule for every command. Files that begin with a dot are nobody's photos, folders inside are not
looked through, and everything that looks like a picture, by its suffix or by its first bytes, is
one, so that a file which cannot be read is named and not lost. What we made ourselves is known by
what it is, not by its name alone: a mask or a sheet is never a photo, and an edit or a variant is
none where the photo it was made from lies beside it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from persona_img.errors import BadPhoto, InvalidInput, NotFound, UnreadablePhoto
from persona_img.imaging.mask_file import load_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif")
"""Names of files that are taken for photographs, in lower case."""
MARK = b"persona-img"
"""Every picture of ours holds this near its beginning: a PNG's text, or a JPEG's comment."""
VARIANT_KEY, EDITS_KEY, MASK_KEY = "persona-img", "persona-img-edits", "persona-img-mask"
"""Keywords of PNG texts: of a variant, of an edited picture, of a mask."""
MASK_BY_KEY = "persona-img-mask-by"
"""Keyword of what made a mask, and of the values that it gave (:mod:`.drawn`)."""
SHEET_MARK = "persona-img-sheet"
"""Keyword of a contact sheet's PNG text, and the comment of its JPEG."""

_PERHAPS = (".gif", ".jpe", ".jfif", ".heic", ".heif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3",
               ".nef", ".arw", ".raf", ".orf", ".rw2")  # fmt: skip
_HEAD = 4096
_FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"GIF8")
_GREY = ("1", "L", "LA", "I;16")
_VARIANT_NAME = re.compile(r"(.+?)(?:-\d+x\d+)?-[0-9a-f]{12}")


@dataclass(frozen=True)
class Found:
    """What a source holds.

    Attributes:
        photos: Its photos, by name.
        skipped: What looks like a photo and is not taken for one, with the reason.
    """

    photos: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...] = ()


def find_photos(source: str | Path) -> Found:
    """The photo itself, whatever it is, or a folder's photos sorted by name.

    Raises:
        BadPhoto: nothing there, a folder that may not be read, or one without a photo.
    """
    source = Path(source)
    if not source.is_dir():
        if not source.exists():
            raise BadPhoto(f"{source}: no such file or folder; name a photo or a folder of photos")
        return Found((source,))
    pictures, skipped = _entries(source)
    beside = _Beside(pictures)
    photos: list[Path] = []
    for path in pictures:
        reason = beside.own(path)
        if reason is None:
            photos.append(path)
        else:
            skipped.append((path, reason))
    if not photos:
        passed = f" ({len(skipped)} were passed over: {skipped[0][1]})" if skipped else ""
        raise BadPhoto(
            f"{source}: no photo in this folder{passed}; put {', '.join(SUFFIXES)} files in it"
        )
    return Found(tuple(photos), tuple(sorted(skipped)))


def list_photos(source: str | Path) -> list[Path]:
    """The photos of :func:`find_photos`.

    Raises:
        BadPhoto: nothing there, a folder that may not be read, or one without a photo.
    """
    return list(find_photos(source).photos)


def pictures_below(folder: Path) -> list[Path]:
    """Every picture of a folder and of the folders in it, by path; none that is hidden."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def photo_named(name: str, photos: Iterable[Path], table: Path) -> Path:
    """The photo that a table names, by its whole name or without the suffix.

    Args:
        name: As the table has it.
        photos: Those there are.
        table: To be named in an error.

    Raises:
        NotFound: none is called so.
        InvalidInput: two are.
    """
    photos = list(photos)
    found = [p for p in photos if p.name == name] or [p for p in photos if p.stem == name]
    if not found:
        raise NotFound(f"{table}: no photo {name}; correct the name, or add the photo")
    if len(found) > 1:
        both = ", ".join(str(p) for p in found)
        raise InvalidInput(f"{table}: {name}: could be {both}; write the name with its suffix")
    return found[0]


def why_unreadable(path: Path, error: Exception) -> str:
    """What to say of a file that learning goes on without."""
    return f"{path}: cannot be read ({error}); left out"


def leave_out(reason: str) -> None:
    """Warn that learning goes on without a file."""
    warnings.warn(reason, UnreadablePhoto, stacklevel=3)


def result_names(photos: Sequence[Path]) -> dict[Path, str]:
    """What the results of each photo of one folder are called, without a suffix; never two alike.

    A photo's stem; where two photos share it (``item.jpg`` and ``item.png``), their whole names;
    where these differ in nothing but case, also six digits of the name's digest.
    """
    steps = dict.fromkeys(photos, 0)
    while True:
        names = {path: _name(path, step) for path, step in steps.items()}
        count = Counter(_alike(name) for name in names.values())
        shared = [p for p, name in names.items() if count[_alike(name)] > 1 and steps[p] < 2]
        if not shared:
            return names
        for path in shared:
            steps[path] += 1


def result_name(photo: Path) -> str:
    """What the results of a photo are called, the photos beside it considered.

    So it is the same whether the photo is given alone or with its folder.
    """
    near = {_alike(photo.stem), _alike(photo.name)}
    try:
        others = [p for p in photo.parent.iterdir() if p.name != photo.name]
        if not any({_alike(p.stem), _alike(p.name)} & near for p in others):
            return photo.stem
        photos = list_photos(photo.parent)
    except (OSError, BadPhoto):
        return photo.stem
    return result_names(list(dict.fromkeys([*photos, photo])))[photo]


def made_by_us(path: Path) -> bool:
    """Whether a file is a picture that persona-img wrote."""
    return bool(marks_of(path))


def free_for_result(path: Path) -> Path:
    """The same path, where nothing lies or what lies there is a result of ours.

    Raises:
        InvalidInput: somebody else's file lies there.
    """
    if path.exists() and not made_by_us(path):
        raise InvalidInput(
            f"{path}: is there already and was not made by persona-img; move it, or name another "
            f"folder with -o"
        )
    return path


class _Beside:
    """What lies in one folder, to tell results from photos."""

    def __init__(self, pictures: Iterable[Path]) -> None:
        self.by_name: dict[str, Path] = {}
        for path in pictures:
            self.by_name.setdefault(_alike(path.stem), path)
            self.by_name[_alike(path.name)] = path

    def own(self, path: Path) -> str | None:
        """Why a file is a result and not a photo; None for a photo."""
        marks = marks_of(path)
        if MASK_KEY in marks:
            return "a mask made by persona-img"
        if SHEET_MARK in marks:
            return "a contact sheet made by persona-img"
        if EDITS_KEY in marks:
            edit = _last_edit(marks[EDITS_KEY])
            if edit and path.stem.endswith(f"-{edit}"):
                return self._made_of(path, path.stem[: -len(edit) - 1], f"`edit {edit}`")
        elif VARIANT_KEY in marks:
            name = _VARIANT_NAME.fullmatch(path.stem)
            return None if name is None else self._made_of(path, name[1], "`render`")
        elif path.name.lower().endswith(".mask.png"):
            return self._mask(path)
        return None

    def _made_of(self, path: Path, source: str, command: str) -> str | None:
        photo = self.by_name.get(_alike(source))
        if photo is None or photo == path:
            return None
        return f"made by {command} from {photo.name}, which lies beside it"

    def _mask(self, path: Path) -> str | None:
        """A mask without a mark: of a variant, or grey and as large as the photo it is named of."""
        photo = self.by_name.get(_alike(path.name[: -len(".mask.png")]))
        if photo is None or photo == path:
            return None
        if VARIANT_KEY in marks_of(photo):
            return f"the mask of {photo.name}, which lies beside it"
        try:
            with Image.open(path) as mask, Image.open(photo) as picture:
                # A photo may be turned by its EXIF, and its mask not.
                same = sorted(mask.size) == sorted(picture.size)
                if same and (mask.mode in _GREY or _is_mask(path)):
                    return f"a mask of {photo.name}, which lies beside it"
        except Exception:  # damaged: it is named when it is read
            return None
        return None


def _entries(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Files that look like pictures, and what is passed over at once."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise BadPhoto(
            f"{folder}: cannot be read ({error.strerror}); name a folder of photos"
        ) from error
    pictures: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    for path in entries:
        if path.name.startswith("."):
            continue
        named = path.suffix.lower() in SUFFIXES + _PERHAPS
        if path.is_dir():
            skipped.append((path, "a folder; folders inside are not read, name it to use it"))
        elif path.is_file() or (path.is_symlink() and not path.exists()):
            if named or _looks_like_a_picture(_head(path)):
                pictures.append(path)
        elif named:
            skipped.append((path, "neither a file nor a folder"))
    return pictures, skipped


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _looks_like_a_picture(head: bytes) -> bool:
    boxed = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    iso = head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1")
    return head.startswith(_FIRST_BYTES) or boxed or iso


def _is_mask(path: Path) -> bool:
    """Whether a picture in colours, or a transparent one, tells of shares and not of a product."""
    try:
        load_mask(path)
    except BadPhoto:
        return False
    return True


def marks_of(path: Path) -> dict[str, str]:
    """Our texts in a picture, by keyword; empty where there are none."""
    if not path.is_file() or MARK not in _head(path):
        return {}
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            info = dict(image.info)
    except Exception:  # damaged: it is named when it is read
        return {}
    if info.get("comment") == SHEET_MARK.encode():
        info[SHEET_MARK] = ""
    ours = (VARIANT_KEY, EDITS_KEY, MASK_KEY, MASK_BY_KEY, SHEET_MARK)
    return {key: str(info[key]) for key in ours if key in info}


def _last_edit(text: str) -> str:
    try:
        return str(json.loads(text)[-1]["name"])
    except (ValueError, TypeError, LookupError):
        return ""


def _name(path: Path, step: int) -> str:
    if step == 0:
        return path.stem
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()
    return path.name if step == 1 else f"{path.name}~{digest[:6]}"


def _alike(name: str) -> str:
    """The same for names that some file system takes for one: case, composed letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
