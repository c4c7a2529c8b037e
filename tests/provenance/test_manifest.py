"""A statement is signed into a file and nothing else of it changes; what is wrong is told."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import c2pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_img.errors import StoreFailed
from persona_img.provenance import altered, file_keys
from persona_img.provenance.file_keys import FileKey
from persona_img.provenance.manifest import Ingredient, Manifests, credentials, generated
from provenance.signing import FORMATS, PHOTO, STATEMENT, decoded, encoded


class Keyed:
    """A key that never leaves its place, as one in a token."""

    def __init__(self, key: FileKey) -> None:
        self._key, self.asked = key, 0
        self.chain, self.name, self.private_key = key.chain, key.name, None
        self.until = key.until

    def sign(self, data: bytes) -> bytes:
        self.asked += 1
        return self._key.sign(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signing") / "keys"


@pytest.fixture(scope="module")
def key(folder: Path) -> FileKey:
    return file_keys.make(folder, "Our shop")


@pytest.fixture(scope="module")
def trusted(key: FileKey, folder: Path) -> str:
    return file_keys.trusted(folder).read_text()


@pytest.fixture(scope="module")
def signs(key: FileKey) -> Manifests:
    return Manifests(key)


@pytest.fixture(scope="module", params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_not_one_pixel_changes(signs: Manifests, kind: str) -> None:
    data = encoded(kind)
    signed = signs.signed(data, kind, STATEMENT, PHOTO)
    assert len(signed) > len(data)
    assert (decoded(signed) == decoded(data)).all()


def test_what_is_said_is_read_again(signs: Manifests, trusted: str, kind: str) -> None:
    signed = signs.signed(encoded(kind), kind, STATEMENT, PHOTO)
    found = credentials(signed, kind, trusted)
    assert (found.state, found.reasons) == ("trusted", ())
    assert found.signed_by == "Our shop pictures"
    assert [name for name, _ in found.actions] == [
        "c2pa.opened", "c2pa.edited", "c2pa.watermarked.bound",
    ]  # fmt: skip
    assert found.source_types == (altered.COMPOSITE_TRAINED,)
    assert found.digests == STATEMENT.digests
    assert (found.product, found.payload) == (STATEMENT.product, STATEMENT.payload)
    assert found.ingredients == (("mug.jpg", "", "missing"),)
    assert found.training == "notAllowed"


def test_stock_tools_find_nothing_wrong(signs: Manifests, trusted: str, kind: str) -> None:
    """Validated by the reader of c2pa-rs itself, with our authority as its anchor."""
    signed = signs.signed(encoded(kind), kind, STATEMENT, PHOTO)
    told = {"version": 1, "verify": {"verify_trust": True}, "trust": {"trust_anchors": trusted}}
    context = c2pa.Context(c2pa.Settings.from_dict(told))
    reader = c2pa.Reader(kind, io.BytesIO(signed), context=context)
    found = json.loads(reader.json())
    assert found["validation_state"] == "Trusted"
    results = found["validation_results"]["activeManifest"]
    assert results["failure"] == []
    active = found["manifests"][found["active_manifest"]]
    assert active["ingredients"][0]["relationship"] == "parentOf"
    labels = {one["label"] for one in active["assertions"]}
    assert {"c2pa.actions.v2", "cawg.training-mining", "c2pa.soft-binding"} <= labels


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_changed_byte_of_what_was_there_before_is_told(
    signs: Manifests, trusted: str, place: float, bit: int
) -> None:
    data = encoded("image/webp")
    signed = bytearray(signs.signed(data, "image/webp", STATEMENT, PHOTO))
    begins = signed.index(data[12:])  # pixels come first in this format, the manifest behind them
    signed[begins + int(place * (len(data) - 12))] ^= 1 << bit
    found = credentials(bytes(signed), "image/webp", trusted)
    assert found.state in ("invalid", "missing")
    assert found.reasons


def test_a_changed_pixel_is_told_in_words(signs: Manifests, trusted: str) -> None:
    signed = bytearray(signs.signed(encoded("image/png"), "image/png", STATEMENT, PHOTO))
    signed[-40] ^= 1
    found = credentials(bytes(signed), "image/png", trusted)
    assert found.state == "invalid"
    assert "its bytes are not those that were signed" in found.reasons


def test_a_changed_statement_is_told_in_words(signs: Manifests, trusted: str) -> None:
    signed = signs.signed(encoded("image/jpeg"), "image/jpeg", STATEMENT, PHOTO)
    other = signed.replace(b"product unchanged", b"product whatever!")
    assert other != signed
    found = credentials(other, "image/jpeg", trusted)
    assert found.state == "invalid"
    assert "its statement is not the one that was signed" in found.reasons


def test_no_manifest_and_no_picture_are_told_apart(trusted: str, kind: str) -> None:
    assert credentials(encoded(kind), kind, trusted).state == "missing"
    assert credentials(b"no picture", kind, trusted).state == "invalid"


def test_another_authority_is_not_trusted_nor_is_nobody(
    signs: Manifests, kind: str, tmp_path: Path
) -> None:
    signed = signs.signed(encoded(kind), kind, STATEMENT, PHOTO)
    file_keys.make(tmp_path / "keys", "Our shop")
    for others in (file_keys.trusted(tmp_path / "keys").read_text(), None):
        found = credentials(signed, kind, others)
        assert found.state == "untrusted"
        assert found.reasons == ("who signed it is not trusted",)


def test_a_photographs_own_manifest_is_kept(signs: Manifests, trusted: str, tmp_path: Path) -> None:
    camera = Manifests(file_keys.make(tmp_path / "camera", "A camera"))
    taken = replace(STATEMENT, title="taken", actions=(), payload=None)
    photo = camera.signed(encoded("image/jpeg"), "image/jpeg", taken, PHOTO)
    made_of = Ingredient("mug.jpg", photo, "image/jpeg", "cd" * 32)
    signed = signs.signed(encoded("image/avif"), "image/avif", STATEMENT, made_of)
    found = credentials(signed, "image/avif", trusted)
    assert found.state == "trusted"  # of what it was made of somebody else vouches
    assert found.ingredients == (("mug.jpg", "A camera pictures", "untrusted"),)
    assert b"A camera" in signed
    both = trusted + file_keys.trusted(tmp_path / "camera").read_text()
    known = credentials(signed, "image/avif", both)
    assert known.ingredients == (("mug.jpg", "A camera pictures", "trusted"),)


def test_a_photograph_whose_manifest_is_broken_is_told(
    signs: Manifests, trusted: str, tmp_path: Path
) -> None:
    camera = Manifests(file_keys.make(tmp_path / "camera", "A camera"))
    photo = bytearray(camera.signed(encoded("image/jpeg"), "image/jpeg", STATEMENT, PHOTO))
    photo[-40] ^= 1
    made_of = Ingredient("mug.jpg", bytes(photo), "image/jpeg", "cd" * 32)
    signed = signs.signed(encoded("image/webp"), "image/webp", STATEMENT, made_of)
    for anchors in (trusted, trusted + file_keys.trusted(tmp_path / "camera").read_text()):
        found = credentials(signed, "image/webp", anchors)
        assert found.state == "trusted"
        assert found.ingredients == (("mug.jpg", "A camera pictures", "invalid"),)


def test_the_whole_pictures_source_type_stands_where_it_was_composed_or_opened(
    signs: Manifests, trusted: str
) -> None:
    built = replace(STATEMENT, actions=(altered.backdrop("library"),))
    shown = replace(STATEMENT, actions=(), source_type=altered.TRAINED)
    for said in (built, shown):
        signed = signs.signed(encoded("image/webp"), "image/webp", said, PHOTO)
        found = credentials(signed, "image/webp", trusted)
        assert (found.state, found.source_types) == ("trusted", (said.source_type,))
        assert generated(signed, "image/webp") == said.source_type
    assert generated(encoded("image/webp"), "image/webp") is None
    assert generated(b"no picture", "image/webp") is None
    whole = Ingredient("photo.webp", signed, "image/webp", "cd" * 32)
    edit = replace(STATEMENT, actions=(altered.Action("c2pa.cropped"),), source_type=None)
    cropped = signs.signed(encoded("image/jpeg"), "image/jpeg", edit, whole)
    assert generated(cropped, "image/jpeg") == altered.TRAINED  # of what it was made of


@pytest.mark.parametrize(
    "photo",
    [
        Ingredient("gone.jpg", None, None, "cd" * 32),
        Ingredient("old.bmp", b"BM" + bytes(64), "image/bmp", "cd" * 32),
        Ingredient("broken.jpg", b"\xff\xd8\xff" + bytes(64), "image/jpeg", "cd" * 32),
    ],
)
def test_a_photograph_that_is_gone_or_of_another_kind_is_still_named(
    signs: Manifests, trusted: str, photo: Ingredient
) -> None:
    signed = signs.signed(encoded("image/webp"), "image/webp", STATEMENT, photo)
    found = credentials(signed, "image/webp", trusted)
    assert found.state == "trusted"
    assert found.ingredients == ((photo.title, "", "missing"),)


def test_a_key_that_stays_where_it_is_is_asked(key: FileKey, trusted: str) -> None:
    kept = Keyed(key)
    signed = Manifests(kept).signed(encoded("image/webp"), "image/webp", STATEMENT, PHOTO)
    assert kept.asked == 1
    assert credentials(signed, "image/webp", trusted).state == "trusted"


def test_a_key_that_fails_leaves_nothing(key: FileKey) -> None:
    kept = Keyed(key)

    def broken(_: bytes) -> bytes:
        raise OSError("the token is out")

    kept.sign = broken  # type: ignore[method-assign]
    with pytest.raises(StoreFailed, match="A mug: cannot be signed"):
        Manifests(kept).signed(encoded("image/webp"), "image/webp", STATEMENT, PHOTO)


def test_threads_sign_side_by_side(signs: Manifests, trusted: str) -> None:
    data = encoded("image/webp")

    def sign(number: int) -> str:
        said = replace(STATEMENT, title=f"mug {number}")
        return credentials(
            signs.signed(data, "image/webp", said, PHOTO), "image/webp", trusted
        ).title

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sign, range(40))) == [f"mug {n}" for n in range(40)]
