"""What a file says of its colours, converted to sRGB: by what a profile does, never by its name.

littleCMS, perceptual, as ImageMagick and libvips do by default. Which statement counts is as in
browsers (PNG, third edition): code points (cICP), then an ICC profile, then the sRGB chunk, then
gamma and chromaticities. A profile that is damaged, or of another kind than the pixels, is ignored,
as browsers do. EXIF's mark of Adobe RGB is not read: browsers show such photographs as sRGB.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from persona_img.errors import BadPhoto
from persona_img.imaging.decode import with_info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.imaging.decode import Decoded

_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""Pillow's mode for the pixels that an ICC profile describes."""
_DEVICES = ("mntr", "scnr", "prtr", "spac")
_SAME = 1  # 8-bit level: what differs less is sRGB, and its pixels stay as they are
_SIGNIFICANT = 0.05  # of a gamma: less is sRGB, as libpng takes it
_NEAR = 0.005  # of a chromaticity
_D65 = (0.3127, 0.3290)
_SRGB = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: _SRGB,
    2: _SRGB,  # unspecified
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
"""White, red, green and blue, each x and y, by H.273's code point."""
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
"""By H.273's code point; the curves of television are taken for sRGB's, as browsers do."""
_HIGH_RANGE = {16: "PQ", 18: "HLG"}


def srgb_of(decoded: Decoded) -> NDArray[np.uint8]:
    """The colours, uint8 sRGB (H, W, 3), of a picture of any mode; alpha is left out.

    Raises:
        BadPhoto: of high dynamic range, which has no one meaning in sRGB.
    """
    image = decoded.image
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        keep = "L" if image.mode in ("1", "LA", "La") else "RGB"
        base = image.convert("RGBA") if image.mode == "P" else image
        image = with_info(base.convert(keep), image)
    profile = _profile(decoded)
    converted = None if profile is None else _converted(image, profile)
    return np.asarray(image.convert("RGB") if converted is None else converted)


def matrix_profile(chromaticities: tuple[float, ...], gamma: float | None = None) -> bytes:
    """An ICC profile (4.2) of three primaries.

    Args:
        chromaticities: x and y of white, red, green and blue.
        gamma: Of the curve; None is sRGB's.

    Raises:
        ValueError: chromaticities that span no colours.
    """
    points = np.array(chromaticities, dtype=np.float64).reshape(4, 2)
    if (points[:, 1] <= 0).any():
        raise ValueError(f"chromaticities {chromaticities}: y is above 0")
    xyz = np.column_stack([points[:, 0], points[:, 1], 1 - points.sum(axis=1)]) / points[:, 1:]
    try:
        shares = np.linalg.solve(xyz[1:].T, xyz[0])
    except np.linalg.LinAlgError as error:
        raise ValueError(f"chromaticities {chromaticities}: three in a line") from error
    # Bradford: the profile's white becomes D50, the white of all profiles.
    cones = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    d50 = np.array([0.9642, 1.0, 0.8249])
    adapt = np.linalg.inv(cones) @ np.diag((cones @ d50) / (cones @ xyz[0])) @ cones
    colours = (xyz[1:] * shares[:, None]) @ adapt.T
    if not np.isfinite(colours).all() or np.abs(colours).max() > 100:
        raise ValueError(f"chromaticities {chromaticities}: no colours that can be seen")
    if gamma is None:
        curve = _fixed("para", [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045], kind=3)
    else:
        curve = _fixed("para", [gamma], kind=0)
    text = "made of chromaticities".encode("utf-16-be")
    said = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    tags = {b"desc": said, b"cprt": said, b"wtpt": _fixed("XYZ ", d50)}
    for name, colour in zip((b"r", b"g", b"b"), colours, strict=True):
        tags |= {name + b"XYZ": _fixed("XYZ ", colour), name + b"TRC": curve}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        start + len(body), 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp", *_s15(d50),
    )  # fmt: skip
    return head + table + body


def _profile(decoded: Decoded) -> bytes | None:
    """The profile of a picture's colours; None where they are sRGB, or nothing is said."""
    info = decoded.image.info
    if decoded.coding is not None:
        primaries, transfer = decoded.coding
        if transfer in _HIGH_RANGE:
            raise BadPhoto(
                f"{decoded.name}: high dynamic range ({_HIGH_RANGE[transfer]}); save it as sRGB"
            )
        if primaries in _PRIMARIES:
            return matrix_profile(_PRIMARIES[primaries], _GAMMAS.get(transfer))
    if info.get("icc_profile"):
        return bytes(info["icc_profile"])
    if "srgb" in info:
        return None
    exponent, chromaticities = info.get("gamma"), info.get("chromaticity")
    gamma = None
    if isinstance(exponent, float) and 0.01 < exponent < 10:
        gamma = None if abs(2.2 * exponent - 1) < _SIGNIFICANT else 1 / exponent
    points = _SRGB
    if isinstance(chromaticities, tuple) and len(chromaticities) == 8:
        far = np.abs(np.array(chromaticities) - np.array(_SRGB)).max() > _NEAR
        points = chromaticities if far else _SRGB
    if gamma is None and points is _SRGB:
        return None
    try:
        return matrix_profile(points, gamma)
    except ValueError:  # nonsense is no statement
        return None


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture in sRGB; None where the profile is sRGB, cannot be used or is of other pixels."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _SPACES.get(source.profile.xcolor_space.strip())
        if mode == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if mode != image.mode or source.profile.device_class.strip() not in _DEVICES:
            return None
        change = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        probe = _probe(mode)
        if probe is not None:
            before = np.asarray(probe.convert("RGB")).astype(np.int16)
            after = np.asarray(ImageCms.applyTransform(probe, change)).astype(np.int16)
            if np.abs(after - before).max() <= _SAME:
                return None
        return ImageCms.applyTransform(image, change)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None


def _probe(mode: str) -> Image.Image | None:
    """Values all over a mode that may be sRGB; None for one that cannot be."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    if mode != "RGB":
        return None
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    greys = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    return Image.fromarray(np.concatenate([colours, greys], axis=1))


def _s15(values: NDArray[np.float64] | list[float]) -> list[int]:
    return [round(float(value) * 65536) for value in values]


def _fixed(tag: str, values: NDArray[np.float64] | list[float], kind: int | None = None) -> bytes:
    """An ICC tag of fixed-point numbers; ``kind`` is a parametric curve's function."""
    head = tag.encode() + bytes(4) + (b"" if kind is None else struct.pack(">HH", kind, 0))
    return head + struct.pack(f">{len(values)}i", *_s15(values))
