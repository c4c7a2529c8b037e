"""What kind of picture a file is, by its first bytes: names lie, and some systems have none."""

from __future__ import annotations

HEAD = 64
"""How many bytes of a file :func:`media_type` wants."""
SUFFIX = {
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "image/webp": ".webp",
}
"""Media type to the usual end of a file's name: every kind that ``load_photo`` opens."""
NOT_SHOWN = frozenset({"image/tiff"})
"""Kinds that most browsers do not show: such a photograph is sent as PNG."""

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),  # over 4 GB: BigTIFF
    (b"MM\0+", "image/tiff"),
)
_AVIF_BRANDS = (b"avif", b"avis")


def media_type(head: bytes) -> str | None:
    """Media type of a picture by its first :data:`HEAD` bytes; None for anything else."""
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":  # RIFF alone is also sound and film
        return "image/webp"
    if head[4:8] == b"ftyp":
        # The main brand, or one of those behind it: some encoders write mif1 first.
        brands = head[8 : min(int.from_bytes(head[:4], "big"), len(head))]
        if any(brands[at : at + 4] in _AVIF_BRANDS for at in range(0, len(brands), 4)):
            return "image/avif"
    return None
