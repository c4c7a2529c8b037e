from __future__ import annotations

from pathlib import Path

import pytest

from persona_img.domain.catalog import Product
from persona_img.domain.rendition import Rendition, Renditions
from persona_img.serving.addresses import Addresses, choose

MUG = Product("mug", "mugs", "Blue mug", Path("mug.jpg"), "own", photo_digest="c" * 64)
TYPES = ("image/avif", "image/webp", "image/jpeg")
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


def made(master: str, *widths: int) -> Renditions:
    files = tuple(
        Rendition("d" * 64, kind, width, width, 9, f"{width}-x.{kind[-4:]}", {})
        for width in widths
        for kind in TYPES
    )
    return Renditions(master, "variant", (widths[-1], 9), {}, files)


class Source:
    def __init__(self) -> None:
        self.there: dict[str, Renditions] = {}
        self.asked: list[tuple[str, str]] = []

    def get(self, master: str, source: Path, of: str) -> Renditions | None:
        self.asked.append((master, of))
        return self.there.get(master)

    def known(self, master: str) -> Renditions | None:
        return self.there.get(master)

    def path(self, master: str, file: str) -> Path:
        raise NotImplementedError


def test_pictures_are_ready_for_srcset() -> None:
    source = Source()
    source.there["a" * 64] = made("a" * 64, 320, 700)
    shown = Addresses(source, lambda _: Path("v.png")).of(MUG, "a" * 64)
    assert shown["image_url"] == f"/v1/variants/{'a' * 64}"
    assert shown["alt"] == "Blue mug"
    assert [(p["type"], p["width"]) for p in shown["pictures"]] == [
        (kind, width) for kind in TYPES for width in (320, 700)
    ]
    assert shown["pictures"][0]["url"] == f"/v1/renditions/{'a' * 64}/320-x.avif"


def test_until_there_are_renditions_the_picture_itself_is_shown() -> None:
    source = Source()
    addresses = Addresses(source, lambda _: Path("v.png"))
    assert addresses.of(MUG, None)["pictures"] == []
    source.there["c" * 64] = made("c" * 64, 320)
    assert len(addresses.of(MUG, None)["pictures"]) == 3
    asked = len(source.asked)
    addresses.of(MUG, None)
    assert len(source.asked) == asked == 2  # what is known is not looked up again


def test_a_cdn_stands_before_every_path() -> None:
    source = Source()
    source.there["c" * 64] = made("c" * 64, 320)
    shown = Addresses(source, lambda _: Path("v.png"), "https://cdn.shop/").of(MUG, None)
    addresses = [shown["image_url"], *(p["url"] for p in shown["pictures"])]
    assert all(one.startswith("https://cdn.shop/v1/") for one in addresses)


def test_without_a_digest_or_a_store_there_are_no_renditions() -> None:
    plain = Product("mug", "mugs", "", Path("mug.jpg"), "own")
    shown = Addresses(Source(), lambda _: Path("v.png")).of(plain, None)
    assert shown == {"image_url": "/v1/photos/mug", "pictures": [], "alt": "mugs"}
    assert Addresses().of(MUG, "a" * 64)["pictures"] == []


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (CHROME, "image/avif"),
        ("image/webp,*/*", "image/webp"),
        ("image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "image/jpeg"),
        ("*/*", "image/jpeg"),
        ("", "image/jpeg"),
        ("IMAGE/AVIF", "image/avif"),
        ("image/avif;q=0, image/webp;q=0.000, image/*", "image/jpeg"),
        ("image/jpeg;q=0,image/webp", "image/webp"),
        ("text/html", None),
        ("image/jpeg;q=0", None),
    ],
)
def test_the_format_is_one_that_the_client_names(accept: str, kind: str | None) -> None:
    one = choose(made("a" * 64, 320, 700).files, 400, accept)
    assert (one and one.media_type) == kind


@pytest.mark.parametrize(("asked", "sent"), [(1, 320), (320, 320), (321, 700), (9000, 700)])
def test_the_smallest_that_is_as_wide_else_the_widest(asked: int, sent: int) -> None:
    one = choose(made("a" * 64, 320, 700).files, asked, CHROME)
    assert one is not None
    assert one.width == sent
