"""What pages load says where it comes from, and shows the same pixels as before."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from examples import PHOTOS
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.style import Style
from persona_img.imaging.photo import load_photo
from persona_img.provenance import altered, file_keys, xmp
from persona_img.provenance.manifest import Manifests, credentials
from persona_img.rendering.base import Variant
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.variants.marking import XMP_KEY, Marking, packet_of
from persona_img.variants.renditions import RenditionStore
from persona_img.variants.store import VariantStore
from provenance.signing import PHOTO, STATEMENT, encoded

WIDTHS = (64, 128)


@pytest.fixture(scope="module")
def variant() -> Variant:
    style = Style.of({"palette": "sage", "light": "soft", "framing": "centred"})
    return BackdropRenderer(PlainBackdrops()).render(
        load_photo(PHOTOS / "shirt-01.jpg"), style, seed=7
    )


@pytest.fixture
def store(tmp_path: Path, variant: Variant) -> VariantStore:
    store = VariantStore(tmp_path / "variants")
    store.put(variant, "shirt")
    return store


@pytest.fixture
def catalog(variant: Variant) -> Catalog:
    photo = PHOTOS / "shirt-01.jpg"
    digest = variant.certificate.photo
    return Catalog([Product("shirt", "tops", "A shirt", photo, "CC0-1.0", photo_digest=digest)])


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file_keys.make(tmp_path / "keys", "Our shop")
    return tmp_path / "keys"


@pytest.fixture
def signing(store: VariantStore, catalog: Catalog, keys: Path) -> Marking:
    manifests = Manifests(file_keys.FileKey.load(keys))
    return Marking(store, lambda: catalog, "Us", "© Us", manifests=manifests)


def renditions(tmp_path: Path, marking: Marking | None, name: str = "r") -> RenditionStore:
    return RenditionStore(tmp_path / name, WIDTHS, marking=marking)


def made(store: VariantStore, of: RenditionStore, digest: str):
    return of.make(digest, store.path(digest), "variant")


def shown(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_every_rendition_is_signed_and_its_pixels_are_those_of_an_unsigned_one(
    tmp_path: Path, store: VariantStore, signing: Marking, keys: Path, variant: Variant
) -> None:
    plain = renditions(tmp_path, None, "plain")
    signed = renditions(tmp_path, signing)
    before = made(store, plain, variant.digest)
    after = made(store, signed, variant.digest)
    assert len(after.files) == 9
    trusted = file_keys.trusted(keys).read_text()
    for old, new in zip(before.files, after.files, strict=True):
        path = signed.path(variant.digest, new.file)
        data = path.read_bytes()
        assert len(data) == new.size
        found = credentials(data, new.media_type, trusted)
        assert found.state == "trusted"
        assert found.digests is not None
        assert found.digests["variant"] == variant.digest
        assert found.product == "product unchanged"
        assert found.ingredients == (("shirt-01.jpg", "", "missing"),)
        resized = ("c2pa.resized", "") in found.actions
        assert resized == (new.width < variant.pixels.shape[1])
        packet = packet_of(path)
        assert xmp.source_type(packet) == altered.COMPOSITE
        assert xmp.read(packet)["photoshop:Credit"] == "Us"
        assert (shown(path) == shown(plain.path(variant.digest, old.file))).all()
    assert after.signed_by == file_keys.FileKey.load(keys).name


def test_before_it_is_signed_the_same_inputs_give_the_same_bytes(
    tmp_path: Path, store: VariantStore, catalog: Catalog, signing: Marking, variant: Variant
) -> None:
    unsigned = Marking(store, lambda: catalog, "Us", "© Us")
    first = made(store, renditions(tmp_path, unsigned, "a"), variant.digest)
    again = made(store, renditions(tmp_path, unsigned, "b"), variant.digest)
    assert first == again
    signed = made(store, renditions(tmp_path, signing, "c"), variant.digest)
    assert [f.digest for f in signed.files] == [f.digest for f in first.files]
    assert not {f.file for f in signed.files} & {f.file for f in first.files}


def test_the_masters_copy_shows_the_certified_pixels_and_without_its_chunk_is_the_same_again(
    tmp_path: Path, store: VariantStore, signing: Marking, keys: Path, variant: Variant
) -> None:
    kept = renditions(tmp_path, signing)
    made(store, kept, variant.digest)
    copy = kept.signed_master(variant.digest)
    assert copy is not None
    assert (shown(copy) == variant.pixels).all()
    core = variant.alpha == 255
    assert (shown(copy)[core] == shown(store.path(variant.digest))[core]).all()
    data = copy.read_bytes()
    assert credentials(data, "image/png", file_keys.trusted(keys).read_text()).state == "trusted"
    mark = signing.of(variant.digest, "variant", store.path(variant.digest))
    assert without_chunk(data, b"caBX") == mark.unsigned_master(variant.pixels)
    # The master itself is as it was certified.
    own = store.path(variant.digest).read_bytes()
    assert hashlib.sha256(own).hexdigest() == variant.digest


def without_chunk(png: bytes, name: bytes) -> bytes:
    out, at = png[:8], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        out += b"" if png[at + 4 : at + 8] == name else png[at:end]
        at = end
    return out


def test_what_is_signed_stays_so_without_a_key_and_what_is_not_is_signed_with_one(
    tmp_path: Path, store: VariantStore, catalog: Catalog, signing: Marking, variant: Variant
) -> None:
    keyless = Marking(store, lambda: catalog, "Us", "© Us")
    plain = renditions(tmp_path, keyless)
    made(store, plain, variant.digest)
    assert plain.is_current(variant.digest)
    signed = renditions(tmp_path, signing)
    assert not signed.is_current(variant.digest)
    kept = made(store, signed, variant.digest)
    again = renditions(tmp_path, keyless)
    assert again.is_current(variant.digest)
    assert made(store, again, variant.digest) == kept


def test_a_process_without_keys_replaces_nothing_that_is_signed(
    tmp_path: Path, store: VariantStore, catalog: Catalog, signing: Marking, variant: Variant
) -> None:
    kept = made(store, renditions(tmp_path, signing), variant.digest)
    others = Marking(store, lambda: catalog, "Others", "© Others", "allowed")
    for keyless in (
        renditions(tmp_path, others),
        renditions(tmp_path, None),
        RenditionStore(tmp_path / "r", (32,), marking=others),
    ):
        assert keyless.is_current(variant.digest)
        assert made(store, keyless, variant.digest) == kept


def test_another_key_signs_anew_and_the_one_of_before_undoes_nothing(
    tmp_path: Path, store: VariantStore, catalog: Catalog, keys: Path, variant: Variant
) -> None:
    def by(key: file_keys.FileKey) -> RenditionStore:
        marking = Marking(store, lambda: catalog, "Us", manifests=Manifests(key))
        return renditions(tmp_path, marking)

    now = file_keys.FileKey.load(keys)
    before = replace(now, name="ab" * 32, until=now.until - timedelta(days=1))
    old = made(store, by(before), variant.digest)
    assert not by(now).is_current(variant.digest)
    new = made(store, by(now), variant.digest)
    assert (old.signed_by, new.signed_by) == (before.name, now.name)
    assert by(now).is_current(variant.digest)
    assert by(before).is_current(variant.digest)


def test_another_word_in_the_manifest_is_another_name(
    tmp_path: Path, store: VariantStore, catalog: Catalog, keys: Path, variant: Variant
) -> None:
    key = file_keys.FileKey.load(keys)
    names = []
    for training in ("allowed", "not-allowed"):
        signs = Manifests(key, training)  # type: ignore[arg-type]
        marking = Marking(store, lambda: catalog, training=training, manifests=signs)  # type: ignore[arg-type]
        photo = PHOTOS / "shirt-01.jpg"  # of which no XMP is written
        files = renditions(tmp_path, marking, training).make("cd" * 32, photo, "photo").files
        names.append({one.file for one in files})
    assert not names[0] & names[1]


def test_what_a_photograph_forbids_stays_forbidden(
    tmp_path: Path, store: VariantStore, keys: Path, variant: Variant
) -> None:
    photo = tmp_path / "own.jpg"
    said = xmp.written(STATEMENT, "A", "r", "not-allowed")
    with Image.open(PHOTOS / "shirt-01.jpg") as image:
        image.save(photo, xmp=said.replace(b"DMI-PROHIBITED-AIMLTRAINING", b"DMI-PROHIBITED"))
    digest = variant.certificate.photo
    shirt = Product("shirt", "tops", "A shirt", photo, "CC0-1.0", photo_digest=digest)
    signs = Manifests(file_keys.FileKey.load(keys), "allowed")
    marking = Marking(store, lambda: Catalog([shirt]), training="allowed", manifests=signs)
    for mark in (
        marking.of(variant.digest, "variant", store.path(variant.digest)),
        marking.of(digest, "photo", photo),
    ):
        assert b"DMI-ALLOWED" not in mark.xmp
        data = mark.signed(encoded("image/webp"), "image/webp")
        found = credentials(data, "image/webp", file_keys.trusted(keys).read_text())
        assert found.training == "notAllowed"


def test_words_that_are_too_long_for_a_file_are_cut(
    tmp_path: Path, store: VariantStore, catalog: Catalog
) -> None:
    photo = tmp_path / "long.png"
    said = xmp.written(STATEMENT, "A", "r", "allowed").replace(b">r<", b">" + b"r" * 70_000 + b"<")
    text = PngInfo()
    text.add_itxt(XMP_KEY, said.decode())
    with Image.open(PHOTOS / "shirt-01.jpg") as image:
        image.save(photo, pnginfo=text)
    marking = Marking(store, lambda: catalog)
    assert len(renditions(tmp_path, marking).make("cd" * 32, photo, "photo").files) == 9


def test_another_credit_is_written_anew(
    tmp_path: Path, store: VariantStore, catalog: Catalog, variant: Variant
) -> None:
    made(store, renditions(tmp_path, Marking(store, lambda: catalog, "Us")), variant.digest)
    other = renditions(tmp_path, Marking(store, lambda: catalog, "Others"))
    assert not other.is_current(variant.digest)


def test_a_photograph_of_which_nothing_is_said_stays_as_it_was(
    tmp_path: Path, store: VariantStore, catalog: Catalog
) -> None:
    photo, digest = PHOTOS / "shirt-01.jpg", "cd" * 32
    silent = renditions(tmp_path, Marking(store, lambda: catalog), "silent")
    plain = renditions(tmp_path, None, "plain")
    assert silent.make(digest, photo, "photo").files == plain.make(digest, photo, "photo").files


def test_a_photographs_own_words_and_manifest_are_kept(
    tmp_path: Path, signing: Marking, keys: Path
) -> None:
    said = xmp.written(STATEMENT, "A photographer", "© Photographer", "not-allowed")
    camera = Manifests(file_keys.make(tmp_path / "camera", "A camera"))
    photo = tmp_path / "taken.jpg"
    image = Image.open(PHOTOS / "shirt-01.jpg")
    out = io.BytesIO()
    image.save(out, "JPEG", xmp=said)
    photo.write_bytes(camera.signed(out.getvalue(), "image/jpeg", STATEMENT, PHOTO))
    store = renditions(tmp_path, signing)
    files = store.make("cd" * 32, photo, "photo").files
    for one in files:
        path = store.path("cd" * 32, one.file)
        packet = xmp.read(packet_of(path))
        assert packet["photoshop:Credit"] == "A photographer"
        assert packet["dc:rights"] == "© Photographer"
        assert xmp.source_type(packet_of(path)) == altered.COMPOSITE_TRAINED
        trusted = file_keys.trusted(keys).read_text()
        found = credentials(path.read_bytes(), one.media_type, trusted)
        assert found.state == "trusted"
        assert found.ingredients == (("taken.jpg", "A camera pictures", "untrusted"),)
        assert found.source_types == (altered.COMPOSITE_TRAINED,)  # as the photograph says


def test_a_photo_that_only_its_manifest_calls_generated_makes_generated_pictures(
    tmp_path: Path, store: VariantStore, keys: Path, variant: Variant
) -> None:
    made_by = replace(STATEMENT, actions=(), source_type=altered.TRAINED)
    machine = Manifests(file_keys.make(tmp_path / "machine", "A machine"))
    photo = tmp_path / "made.jpg"
    plain = (PHOTOS / "shirt-01.jpg").read_bytes()
    photo.write_bytes(machine.signed(plain, "image/jpeg", made_by, PHOTO))
    assert packet_of(photo) == b""
    digest = variant.certificate.photo
    shirt = Product("shirt", "tops", "A shirt", photo, "CC0-1.0", photo_digest=digest)
    signs = Manifests(file_keys.FileKey.load(keys))
    marking = Marking(store, lambda: Catalog([shirt]), manifests=signs)
    for of, said in (("variant", altered.COMPOSITE_TRAINED), ("photo", altered.TRAINED)):
        source = store.path(variant.digest) if of == "variant" else photo
        mark = marking.of(variant.digest if of == "variant" else digest, of, source)
        assert xmp.source_type(mark.xmp) == said
        data = mark.signed(encoded("image/webp"), "image/webp")
        found = credentials(data, "image/webp", file_keys.trusted(keys).read_text())
        assert found.source_types == (said,)


def test_a_variant_of_a_photo_that_is_gone_is_still_bound_to_it(
    tmp_path: Path, store: VariantStore, keys: Path, variant: Variant
) -> None:
    manifests = Manifests(file_keys.FileKey.load(keys))
    marking = Marking(store, lambda: None, manifests=manifests)
    mark = marking.of(variant.digest, "variant", store.path(variant.digest))
    data = mark.signed(encoded("image/webp"), "image/webp")
    found = credentials(data, "image/webp", file_keys.trusted(keys).read_text())
    assert found.digests is not None
    assert found.digests["photo"] == variant.certificate.photo
    assert found.ingredients == ((f"photo {variant.certificate.photo[:12]}", "", "missing"),)
