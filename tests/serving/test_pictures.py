"""Pictures over HTTP: their kinds, HEAD, and what a client has already."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from examples import DATA, PHOTOS, SIGNER
from persona_img.domain.catalog import Catalog, Product
from persona_img.errors import NotFound
from persona_img.imaging.photo import load_photo
from persona_img.serving.app import create_app
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer
from persona_img.variants.renditions import LazyRenditions, RenditionStore

from .conftest import DIGEST, VARIANT, Shop, a_decider, stored_variant

AVIF = DATA / "cases" / "42-avif-original" / "hat-avif.avif"
KINDS = {
    "image/avif": "AVIF",
    "image/bmp": "BMP",
    "image/gif": "GIF",
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
}


def served(*products: Product, variants=stored_variant) -> Iterator[httpx.Client]:
    app = create_app(a_decider(MemoryEventLog()), Catalog(products), variants, signer=SIGNER)
    with BackgroundServer(app) as server, httpx.Client(base_url=server.url) as client:
        yield client


def a_product(name: str, photo: Path, **more: str) -> Product:
    return Product(name, "mug", name, photo, "own", **more)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(PHOTOS / "shirt-01.jpg") as image:
        small = image.convert("RGB").resize((90, 100))
    for kind in KINDS.values():
        small.save(folder / kind, kind)  # names tell nothing
    small.save(folder / "TIFF", "TIFF")
    return folder


@pytest.fixture(scope="module")
def client(photos: Path) -> Iterator[httpx.Client]:
    """A variant as a file beside bytes, and a photo of each kind."""
    file = photos / "variant"
    file.write_bytes(VARIANT)
    variants = {DIGEST: VARIANT, "0" * 64: file}
    kinds = [a_product(kind, photos / kind) for kind in (*KINDS.values(), "TIFF")]
    odd = [a_product(name, photos / "JPEG") for name in ("AB 12/3", "Ü-7", "..", "a?b#c%2F")]
    hat = a_product("hat", AVIF)
    yield from served(*kinds, *odd, hat, variants=variants.__getitem__)


PICTURES = (
    f"/v1/variants/{DIGEST}",
    f"/v1/variants/{'0' * 64}",
    "/v1/photos/JPEG",
    "/v1/photos/TIFF",
)


def test_case_42_an_avif_is_sent_as_one(client: httpx.Client) -> None:
    answer = client.get("/v1/photos/hat")
    assert answer.headers["content-type"] == "image/avif"
    assert answer.content == AVIF.read_bytes()


@pytest.mark.parametrize(("media", "kind"), KINDS.items())
def test_every_kind_of_photo_has_its_media_type(
    client: httpx.Client, photos: Path, media: str, kind: str
) -> None:
    answer = client.get(f"/v1/photos/{kind}")
    assert answer.headers["content-type"] == media
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == (photos / kind).read_bytes()


def test_what_browsers_do_not_show_is_sent_as_png_of_the_same_pixels(
    client: httpx.Client, photos: Path
) -> None:
    answer = client.get("/v1/photos/TIFF")
    assert answer.headers["content-type"] == "image/png"
    assert load_photo(answer.content).digest == load_photo(photos / "TIFF").digest


@pytest.mark.parametrize("path", PICTURES)
def test_case_40_head_tells_what_get_would_send(client: httpx.Client, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))
    same = ("content-type", "etag", "cache-control", "x-content-type-options", "last-modified")
    assert [head.headers.get(name) for name in same] == [get.headers.get(name) for name in same]


def test_head_of_what_is_not_there_is_404_without_a_body(client: httpx.Client) -> None:
    for path in ("/v1/photos/nothing", "/v1/variants/x"):
        head = client.head(path)
        assert head.status_code in (404, 422)
        assert head.content == b""


def test_watchers_ask_by_head(shop: Shop) -> None:
    assert shop.client.head("/healthz").status_code == 200
    assert shop.client.head("/metrics").status_code == 200
    asked = shop.client.head("/v1/variant", params={"shopper": "head", "product": "shirt"})
    assert asked.status_code == 405


@pytest.mark.parametrize("path", PICTURES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_case_41_what_the_client_has_is_not_sent_again(
    client: httpx.Client, path: str, method: str
) -> None:
    first = client.get(path)
    etag = first.headers["etag"]
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.request(method, path, headers={"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert again.headers["cache-control"] == first.headers["cache-control"]
    for given in ('"other"', etag.strip('"'), ""):
        again = client.request(method, path, headers={"If-None-Match": given})
        assert again.status_code == 200


def test_a_date_counts_where_no_tag_is_given(client: httpx.Client) -> None:
    path = "/v1/photos/JPEG"
    modified = client.get(path).headers["last-modified"]
    long_ago = "Thu, 01 Jan 1998 00:00:00 GMT"
    for given, status in ((modified, 304), (long_ago, 200), ("yesterday", 200)):
        assert client.get(path, headers={"If-Modified-Since": given}).status_code == status
    both = {"If-Modified-Since": modified, "If-None-Match": '"other"'}
    assert client.get(path, headers=both).status_code == 200


def test_another_photo_under_the_same_name_has_another_tag(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    shutil.copyfile(photos / "JPEG", file)
    for client in served(a_product("a", file)):
        etag = client.get("/v1/photos/a").headers["etag"]
        shutil.copyfile(photos / "PNG", file)
        os.utime(file, (1, 1))
        answer = client.get("/v1/photos/a", headers={"If-None-Match": etag})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")


def test_a_part_may_be_asked_for(client: httpx.Client, photos: Path) -> None:
    answer = client.get("/v1/photos/JPEG", headers={"Range": "bytes=10-19"})
    assert answer.status_code == 206
    assert answer.content == (photos / "JPEG").read_bytes()[10:20]


@pytest.mark.parametrize("name", ["AB 12/3", "Ü-7", "..", "a?b#c%2F"])
def test_any_identifier_can_be_asked_for_and_its_address_is_plain(
    client: httpx.Client, name: str
) -> None:
    answer = client.get("/v1/variant", params={"shopper": "ann", "product": name})
    assert answer.status_code == 200, answer.text
    address = answer.json()["image_url"]
    assert address.startswith("/v1/photos/")
    assert httpx.URL(f"http://x{address}").raw_path.decode() == address  # nothing to encode
    assert client.get(address).headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("path", ["AB%2012%2F3", "AB%2012/3", "%C3%9C-7", "a%3Fb%23c%252F"])
def test_a_photo_is_found_by_its_own_identifier_too(client: httpx.Client, path: str) -> None:
    assert client.get(f"/v1/photos/{path}").status_code == 200


def test_decomposed_letters_name_the_same_product(client: httpx.Client) -> None:
    answer = client.get("/v1/variant", params={"shopper": "ann", "product": "U\u0308-7"})
    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["nobody", "a\x00b", "", "x" * 129])
def test_what_is_no_product_is_404(client: httpx.Client, name: str) -> None:
    answer = client.get("/v1/variant", params={"shopper": "ann", "product": name})
    assert (answer.status_code, "detail" in answer.json()) == (404, True)


def test_the_address_changes_with_the_photo(photos: Path) -> None:
    digests = ("a" * 64, "b" * 64)
    addresses = set()
    for digest in digests:
        for client in served(a_product("mug", photos / "JPEG", photo_digest=digest)):
            answer = client.get("/v1/variant", params={"shopper": "ann", "product": "mug"})
            addresses.add(answer.json()["image_url"])
            assert client.get(answer.json()["image_url"]).status_code == 200
    assert len(addresses) == 2


def test_a_tiff_that_is_damaged_or_a_folder_is_404(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"II*\0 and nothing")
    for client in served(a_product("t", tmp_path / "t"), a_product("folder", tmp_path)):
        assert client.get("/v1/photos/t").status_code == 404
        assert client.get("/v1/photos/folder").status_code == 404


MASTER = "9" * 64
PHOTO = "8" * 64
CHROME = {"Accept": "image/avif,image/webp,image/*,*/*;q=0.8"}


@pytest.fixture(scope="module")
def renditions(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> RenditionStore:
    store = RenditionStore(tmp_path_factory.mktemp("renditions"), (32, 64))
    store.make(MASTER, photos / "PNG", "variant")
    store.make(PHOTO, photos / "JPEG", "photo")
    return store


@pytest.fixture(scope="module")
def pages(photos: Path, renditions: RenditionStore) -> Iterator[httpx.Client]:
    """A variant and a photo of which there are renditions."""
    variants = {MASTER: photos / "PNG", "7" * 64: photos / "PNG"}

    def variant(digest: str) -> Path:
        if digest not in variants:
            raise NotFound(f"variant {digest}: withdrawn")
        return variants[digest]

    app = create_app(
        a_decider(MemoryEventLog()),
        Catalog([a_product("mug", photos / "JPEG", photo_digest=PHOTO)]),
        variant,
        signer=SIGNER,
        renditions=LazyRenditions(renditions),
        cdn_url="https://cdn.shop",
    )
    with BackgroundServer(app) as server, httpx.Client(base_url=server.url) as client:
        client.variants = variants  # type: ignore[attr-defined]
        yield client


def test_an_answer_names_every_width_and_format(pages: httpx.Client) -> None:
    shown = pages.get("/v1/variant", params={"shopper": "ann", "product": "mug"}).json()
    assert [(p["width"], p["type"]) for p in shown["pictures"]] == [
        (width, f"image/{kind}") for kind in ("avif", "webp", "jpeg") for width in (32, 64, 90)
    ]
    assert shown["alt"] == "mug"
    for one in shown["pictures"]:
        assert one["url"].startswith("https://cdn.shop/v1/renditions/")
        answer = pages.get(one["url"].removeprefix("https://cdn.shop"))
        assert answer.headers["content-type"] == one["type"]
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["access-control-allow-origin"] == "*"
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.width == one["width"]


def test_a_rendition_is_sent_once_in_parts_or_not_at_all(
    pages: httpx.Client, renditions: RenditionStore
) -> None:
    one = renditions.get(MASTER).files[0]
    path = f"/v1/renditions/{MASTER}/{one.file}"
    whole = pages.get(path)
    assert len(whole.content) == one.size
    head = pages.head(path)
    assert (head.content, head.headers["content-length"]) == (b"", str(one.size))
    part = pages.get(path, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, whole.content[5:10])
    again = pages.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", [f"/v1/variants/{MASTER}", "/v1/photos/mug"])
def test_what_is_negotiated_says_so(pages: httpx.Client, path: str) -> None:
    kinds = []
    for accept in (CHROME, {"Accept": "*/*"}):
        answer = pages.get(path, params={"w": 50}, headers=accept)
        assert answer.headers["vary"] == "Accept"
        assert "immutable" not in answer.headers["cache-control"]
        kinds.append(answer.headers["content-type"])
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.width == 64
        fixed = pages.get(answer.headers["content-location"])
        assert fixed.content == answer.content
        assert fixed.headers["etag"] == answer.headers["etag"]
    assert kinds == ["image/avif", "image/jpeg"]


def test_what_has_no_renditions_yet_is_sent_as_it_is_for_a_minute(pages: httpx.Client) -> None:
    path = f"/v1/variants/{'7' * 64}"
    answer = pages.get(path, params={"w": 50}, headers=CHROME)
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-type"] in ("image/png", "image/avif")
    whole = pages.get(path)
    assert "vary" not in whole.headers
    assert "immutable" in whole.headers["cache-control"]


def test_a_withdrawn_variant_is_there_in_no_size(
    pages: httpx.Client, renditions: RenditionStore
) -> None:
    paths = [f"/v1/renditions/{MASTER}/{one.file}" for one in renditions.get(MASTER).files]
    kept = pages.variants.pop(MASTER)  # type: ignore[attr-defined]
    try:
        assert {pages.get(path).status_code for path in paths} == {404}
        assert pages.get(f"/v1/variants/{MASTER}?w=50").status_code == 404
    finally:
        pages.variants[MASTER] = kept  # type: ignore[attr-defined]
    assert {pages.get(path).status_code for path in paths} == {200}


@pytest.mark.parametrize("width", ["0", "-1", "x", "20001"])
def test_a_width_that_is_none_is_refused(pages: httpx.Client, width: str) -> None:
    assert pages.get(f"/v1/variants/{MASTER}", params={"w": width}).status_code == 422


@pytest.mark.parametrize("file", ["record.json", "..%2Frecord.json", "32-0.avif", "x"])
def test_nothing_but_renditions_lies_there(pages: httpx.Client, file: str) -> None:
    assert pages.get(f"/v1/renditions/{MASTER}/{file}").status_code == 404
    assert pages.get(f"/v1/renditions/{'1' * 64}/{file}").status_code == 404
