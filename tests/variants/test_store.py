from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from examples import STYLE, a_photo, a_twin
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotFound
from persona_img.rendering.base import Variant
from persona_img.rendering.proof.certificate import verify
from persona_img.variants.store import VariantStore, write_variant

AIRY = Style.of({**STYLE.values, "framing": "airy"})


@pytest.fixture
def store(tmp_path: Path) -> VariantStore:
    return VariantStore(tmp_path / "store")


def fingerprint(variant: Variant) -> str:
    return str(variant.certificate.recipe["renderer"])


def test_what_is_put_is_found_by_its_recipe(store: VariantStore, variant: Variant) -> None:
    record = store.put(variant, "shirt")
    assert (record.digest, record.product, record.style) == (variant.digest, "shirt", STYLE)
    assert record.certificate == variant.certificate
    assert (record.state, record.approved) == ("proposed", False)
    photo, printed = a_photo().digest, fingerprint(variant)
    again = VariantStore(store.folder)
    assert again.find(photo, STYLE, 7, printed) == record
    assert again.get(variant.digest, "shirt") == record
    for recipe in (
        ("0" * 64, STYLE, 7, printed),
        (photo, AIRY, 7, printed),
        (photo, STYLE, 6, printed),
        (photo, STYLE, 7, "another"),
    ):
        assert again.find(*recipe) is None
    assert store.path(variant.digest).read_bytes() == variant.png
    assert verify(store.path(variant.digest), a_photo()).passed


def test_a_stored_picture_is_seen_as_its_renderer_had_it(
    store: VariantStore, variant: Variant
) -> None:
    store.put(variant, "shirt")
    pixels, alpha = store.picture(variant.digest)
    assert np.array_equal(pixels, variant.pixels)
    assert np.array_equal(alpha, variant.alpha)
    with pytest.raises(NotFound):
        store.picture("0" * 64)


def test_putting_again_changes_nothing(store: VariantStore, variant: Variant) -> None:
    store.put(variant, "shirt")
    store.ledger.propose(variant.digest)
    assert store.put(variant, "shirt").approved
    assert len(store.records()) == 1


def test_only_what_is_approved_is_served(store: VariantStore, variant: Variant) -> None:
    store.put(variant, "shirt")
    with pytest.raises(NotFound, match="not approved"):
        store.servable_path(variant.digest)
    store.ledger.approve([variant.digest], by="ann")
    assert store.get(variant.digest).approved
    assert store.servable_path(variant.digest).read_bytes() == variant.png
    assert store.is_servable(variant.digest)
    store.ledger.withdraw([variant.digest], by="ann", reason="the rug hides the heel")
    assert store.get(variant.digest).state == "withdrawn"
    assert not store.is_servable(variant.digest)
    with pytest.raises(NotFound):
        store.servable_path(variant.digest)


def test_other_bytes_of_the_same_recipe_are_stored_too(
    store: VariantStore, variant: Variant
) -> None:
    """Another machine's arithmetic: the file was lost and is made again, a little different."""
    store.put(variant, "shirt")
    store.path(variant.digest).unlink()
    twin = a_twin(variant)
    assert store.put(twin, "shirt").digest == twin.digest
    found = store.find(a_photo().digest, STYLE, 7, fingerprint(variant))
    assert found is not None
    assert found.digest == twin.digest


def test_the_beginning_of_a_digest_names_it(store: VariantStore, variant: Variant) -> None:
    store.put(variant, "shirt")
    assert store.resolve(variant.digest[:4].upper()) == variant.digest
    assert store.resolve(variant.digest) == variant.digest
    near = a_twin(variant, digest=variant.digest[:20] + "0" * 44)
    store.put(near, "shirt")
    with pytest.raises(InvalidInput, match="several"):
        store.resolve(variant.digest[:20])
    assert store.resolve(variant.digest[:21]) == variant.digest
    for prefix in (variant.digest[:3], "", "wxyz", variant.digest + "0", "%%%%"):
        with pytest.raises(InvalidInput, match="hexadecimal"):
            store.resolve(prefix)
    with pytest.raises(NotFound, match="variants list"):
        store.resolve("0123456")


def test_a_photo_listed_twice_shares_its_variant(store: VariantStore, variant: Variant) -> None:
    store.put(variant, "shirt")
    assert store.show(variant.digest, "blouse").product == "blouse"
    assert [r.product for r in store.records()] == ["blouse", "shirt"]
    assert [r.product for r in store.records("shirt")] == ["shirt"]


def test_what_is_not_there_is_not_found(store: VariantStore) -> None:
    for ask in (store.get, store.ledger.propose, store.servable_path):
        with pytest.raises(NotFound):
            ask("0" * 64)
    with pytest.raises(NotFound):
        store.show("0" * 64, "shirt")
    assert store.records() == []


def test_a_crash_before_the_row_leaves_no_record(store: VariantStore, variant: Variant) -> None:
    """All files lie there, one only half written under its partial name, and there is no row."""
    folder = store.path(variant.digest).parent
    write_variant(variant, folder, variant.digest)
    partial = folder / f".{variant.digest}.png.1.part"
    store.path(variant.digest).rename(partial)
    partial.write_bytes(variant.png[:1000])
    assert store.find(a_photo().digest, STYLE, 7, fingerprint(variant)) is None
    assert store.records() == []
    assert not store.is_servable(variant.digest)
    assert store.put(variant, "shirt").digest == variant.digest
    assert store.path(variant.digest).read_bytes() == variant.png


def test_a_row_whose_file_is_lost_is_rendered_again(store: VariantStore, variant: Variant) -> None:
    store.put(variant, "shirt")
    store.path(variant.digest).unlink()
    assert store.find(a_photo().digest, STYLE, 7, fingerprint(variant)) is None


def test_what_failed_its_gate_is_not_stored(store: VariantStore, variant: Variant) -> None:
    gate = dataclasses.replace(variant.gate, passed=False, reasons=("the backdrop is blank",))
    changed = dataclasses.replace(variant.certificate, core_changed=1)
    for bad, says in (
        (dataclasses.replace(variant, gate=gate), "the backdrop is blank"),
        (dataclasses.replace(variant, certificate=changed), "the product is changed"),
    ):
        with pytest.raises(InvalidInput, match=says):
            store.put(bad, "shirt")
    assert list(store.folder.rglob("*.png")) == []


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidInput, match="choose another folder"):
        VariantStore(tmp_path / "file" / "store")
