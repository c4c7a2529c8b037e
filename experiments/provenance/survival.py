"""What a watermark survives: variants of a store, marked, handled as pictures are, and searched.

    python experiments/provenance/survival.py SHOP/variants/variants --variants 200

Prints a table (Markdown): per handling the share in which the mark was found and its payload read,
and the least score; then what marking cost, and scores of the pictures without a mark.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from persona_img.imaging.frame import Frame
from persona_img.imaging.mask_file import load_mask
from persona_img.provenance.detector import Detector
from persona_img.provenance.watermark import Watermark
from persona_img.rendering.proof.certificate import certificate_path, load_certificate, mask_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_KEY = b"the survival study's key"
_SHARES = (0.7, 0.5)


def saved(kind: str, **told: int) -> Callable[[Image.Image], Image.Image]:
    """A handling: saved in a format, and opened again."""

    def handle(image: Image.Image) -> Image.Image:
        out = io.BytesIO()
        image.save(out, kind, **told)
        return Image.open(out).convert("RGB")

    return handle


def resized(scale: float) -> Callable[[Image.Image], Image.Image]:
    """A handling: another size."""
    return lambda image: image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )


def cropped(share: float, at: float = 0.3) -> Callable[[Image.Image], Image.Image]:
    """A handling: a part of both sides, off the middle."""

    def handle(image: Image.Image) -> Image.Image:
        width, height = round(image.width * share), round(image.height * share)
        left, top = round((image.width - width) * at), round((image.height - height) * at)
        return image.crop((left, top, left + width, top + height))

    return handle


def after(
    first: Callable[[Image.Image], Image.Image], second: Callable[[Image.Image], Image.Image]
) -> Callable[[Image.Image], Image.Image]:
    """Two handlings, one after the other."""
    return lambda image: second(first(image))


HANDLINGS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    **{f"JPEG {quality}": saved("JPEG", quality=quality) for quality in (95, 70, 50, 30)},
    "WebP 60": saved("WEBP", quality=60),
    "AVIF 50": saved("AVIF", quality=50),
    **{f"{scale} of its size": resized(scale) for scale in (0.5, 0.75, 1.5, 2.0)},
    **{f"{share:.0%} of each side": cropped(share) for share in _SHARES},
    "half its size, JPEG 50": after(resized(0.5), saved("JPEG", quality=50)),
    "70% of each side, JPEG 50": after(cropped(0.7), saved("JPEG", quality=50)),
}


def variants(store: Path, count: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pictures and products, uint8 (H, W, 3) and (H, W), spread over a store."""
    found = [path for path in sorted(store.rglob("*.png")) if not path.stem.endswith(".mask")]
    for path in found[:: max(1, len(found) // count)][:count]:
        certificate = load_certificate(certificate_path(path))
        alpha = load_mask(mask_path(path).read_bytes())
        frame = Frame(*certificate.size, *certificate.offset)
        yield np.asarray(Image.open(path).convert("RGB")), frame.place(alpha, 0)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="folder of variants, masks and certificates")
    parser.add_argument("--variants", type=int, default=12, help="how many, at least 1")
    told = parser.parse_args()
    cv2.setNumThreads(1)
    mark, detector = Watermark(_KEY), Detector(_KEY)
    scores: dict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
    unmarked: list[float] = []
    false = 0
    noise: list[float] = []
    marking: list[float] = []
    searching: list[float] = []
    touched = 0
    for number, (pixels, alpha) in enumerate(variants(told.store, told.variants)):
        payload = number.to_bytes(8, "big")
        began = time.process_time()
        marked = mark.mark(pixels, alpha, payload)
        marking.append(time.process_time() - began)
        change = (marked.astype(np.int16) - pixels)[alpha == 0]
        noise.append(10 * np.log10(255**2 / max(float((change**2).mean()), 1e-12)))
        touched += int((marked != pixels)[alpha > 0].sum())
        for name, handle in HANDLINGS.items():
            began = time.process_time()
            found = detector.detect(np.asarray(handle(Image.fromarray(marked))))
            searching.append(time.process_time() - began)
            scores[name].append((found.found, found.payload == payload, found.score))
        plain = detector.detect(pixels)
        unmarked.append(plain.score)
        false += plain.found
    print(f"| {len(noise)} variants | found | payload read | median score | least |")
    print("|---|---|---|---|---|")
    for name, rows in scores.items():
        values = [score for _, _, score in rows]
        print(
            f"| {name} | {np.mean([f for f, _, _ in rows]):.2f} "
            f"| {np.mean([p for _, p, _ in rows]):.2f} "
            f"| {np.median(values):.1f} | {min(values):.1f} |"
        )
    print(f"\nThreshold {found.threshold:.2f} at the last. Unmarked: {false} found, most")
    print(f"{max(unmarked):.2f}. PSNR of backdrops: least {min(noise):.1f}, median")
    print(f"{np.median(noise):.1f} dB. Pixels of products changed: {touched}. Marking")
    print(f"{1000 * np.median(marking):.0f} ms, searching {np.median(searching):.2f} s (CPU).")


if __name__ == "__main__":
    main()
