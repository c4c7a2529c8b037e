"""Where a picture cannot be read its product's photo is shown, and nothing is counted by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from examples import SIGNER
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms
from persona_img.errors import NotFound, StoreFailed
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.known import Known
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.stand_ins import StandIns

from .conftest import DIGEST, PHOTO, Shop, a_catalog, a_table, start, stored_variant
from .test_app import ask

MUG = Product("mug", "kitchen", "A mug", PHOTO, "own", photo_digest="ab" * 32)


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def stand_ins(now: list[float]) -> StandIns:
    shows = {DIGEST: "mug", "cd" * 32: "of another catalogue"}.get
    return StandIns(lambda: Catalog([MUG]), shows, clock=lambda: now[0])


def test_the_photo_is_of_the_product_that_the_picture_shows(stand_ins: StandIns) -> None:
    assert stand_ins.note(DIGEST) == MUG
    assert stand_ins.note("ab" * 32) == MUG, "a rendition of the photo itself"
    assert stand_ins.note("cd" * 32) is None
    assert stand_ins.note("ef" * 32) is None


def test_what_could_not_be_read_counts_for_nothing_for_two_seconds(
    stand_ins: StandIns, now: list[float]
) -> None:
    stand_ins.check(DIGEST)
    assert not stand_ins.hindrance
    stand_ins.note(DIGEST)
    with pytest.raises(StoreFailed) as raised:
        stand_ins.check(DIGEST)
    assert raised.value.reason == "missing-picture"
    assert "photos are shown" in stand_ins.hindrance
    stand_ins.check(None)
    stand_ins.check("cd" * 32)
    now[0] = 2.1
    stand_ins.check(DIGEST)
    assert not stand_ins.hindrance


def shows_variants(shop: Shop) -> str:
    return next(f"s{n}" for n in range(99) if ask(shop, f"s{n}").json()["digest"])


def test_a_page_that_loads_a_picture_whose_file_is_gone_gets_the_photo(tmp_path: Path) -> None:
    def gone(_: str) -> Path:
        return tmp_path / "gone.png"

    for shop in start(tmp_path, variants=gone):
        shopper = shows_variants(shop)
        shown = shop.client.get(f"/v1/variants/{DIGEST}")
        assert (shown.status_code, shown.content) == (200, PHOTO.read_bytes())
        assert shown.headers["cache-control"] == "no-store"
        assert "etag" in shown.headers, "the photo's own"
        assert DIGEST not in shown.headers["etag"]
        told = ask(shop, shopper).json()
        assert (told["counted"], told["token"]) == (False, None)
        ready = shop.client.get("/readyz")
        assert ready.status_code == 503
        assert "pictures cannot be read" in ready.json()["detail"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreFailed("approvals cannot be read", "approvals"), 200), (NotFound("withdrawn"), 404)],
)
def test_the_photo_stands_in_for_what_cannot_be_told_and_not_for_what_was_withdrawn(
    tmp_path: Path, error: Exception, status: int
) -> None:
    def fails(_: str) -> bytes:
        raise error

    for shop in start(tmp_path, variants=fails):
        assert shop.client.get(f"/v1/variants/{DIGEST}").status_code == status
        other = shop.client.get(f"/v1/variants/{'0' * 64}")
        assert other.status_code == 404, "of which nobody knows the product"


def test_a_picture_that_is_there_is_shown_and_counted(tmp_path: Path) -> None:
    for shop in start(tmp_path, variants=stored_variant):
        assert shop.client.get(f"/v1/variants/{DIGEST}").status_code == 200
        assert ask(shop, shows_variants(shop)).json()["counted"]
        assert shop.client.get("/readyz").status_code == 200


def test_what_else_hinders_is_told_and_a_feature_store_costs_no_readiness() -> None:
    def no_store(*_: object) -> None:
        raise ConnectionError("refused")

    known, hindered = Known(no_store, wait=5), list[str]()
    app = create_app(
        Decider(a_table(), Arms("hero", {"control": 1.0}), MemoryEventLog()),
        a_catalog(),
        stored_variant,
        signer=SIGNER,
        known=known,
        hindered=lambda: hindered,
        probe_seconds=0.0,
    )
    with TestClient(app) as client:
        assert set(client.get("/readyz").json()) == {"status", "test", "policy_version"}
        assert known("anna", ("views",), 0.0) is None
        told = client.get("/readyz")
        assert (told.status_code, told.json()["status"]) == (200, "ready")
        assert "segments decide" in told.json()["hindrance"]
        hindered.append("the catalogue cannot be read")
        told = client.get("/readyz")
        assert told.status_code == 503
        assert "the catalogue cannot be read" in told.json()["detail"]
    known.close()
