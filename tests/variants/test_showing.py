from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from examples import watched
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms, Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL
from persona_img.errors import NotFound
from persona_img.rendering.base import Variant
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.variants import showing
from persona_img.variants.showing import LiveCatalog, Showing
from persona_img.variants.store import VariantStore

NOON = 1_760_000_000.0
SHIRT = Product("AB 12/3", "shirt", "A shirt", Path("/p.jpg"), "own")


@pytest.fixture
def store(tmp_path: Path, variant: Variant) -> VariantStore:
    store = VariantStore(tmp_path / "store")
    store.put(variant, SHIRT.product)
    store.ledger.approve([variant.digest], by="me")
    return store


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(showing, "_LOOK_SECONDS", 0.0)
    return tmp_path / "products.csv"


def save(table: Path, *products: Product) -> None:
    Catalog(products).save(table)


def test_a_variant_is_shown_while_product_photo_and_approval_stand(
    store: VariantStore, variant: Variant, table: Path
) -> None:
    made_of = variant.certificate.photo
    save(table, replace(SHIRT, photo_digest=made_of))
    shows = Showing(store, LiveCatalog(table))
    assert shows(variant.digest, SHIRT.product)
    assert not shows(variant.digest, "another")
    assert not shows("0" * 64, SHIRT.product)
    save(table, replace(SHIRT, photo_digest=made_of, retired="sold out"))
    assert not shows(variant.digest, SHIRT.product)
    save(table, replace(SHIRT, photo_digest="f" * 64))  # another photo
    assert not shows(variant.digest, SHIRT.product)
    save(table, SHIRT)  # a table of before, that says nothing of photos
    assert shows(variant.digest, SHIRT.product)
    save(table, replace(SHIRT, photo_digest=made_of))
    store.ledger.withdraw([variant.digest], by="me", reason="ugly")
    assert not shows(variant.digest, SHIRT.product)


def test_a_retired_product_shows_its_original_whatever_the_table_holds(
    store: VariantStore, variant: Variant, table: Path
) -> None:
    save(table, SHIRT)
    slate = Slate(
        (Candidate(ORIGINAL, None, 0.001), Candidate(variant.style, variant.digest, 0.999))
    )
    decisions = DecisionTable("v1", {("all", SHIRT.product): slate}, {}, "all")
    arms = Arms("hero", {"control": 0.001, "personalized": 0.999})
    decider = Decider(
        decisions, arms, MemoryEventLog(), servable=Showing(store, LiveCatalog(table))
    )
    seer = next(s for s in map(str, range(100)) if watched(decider, s, SHIRT.product, NOON).digest)
    save(table, replace(SHIRT, retired="sold out"))
    after = decider.decide(seer, SHIRT.product, NOON + 1)
    assert (after.digest, after.style_key, after.propensity) == (None, "original", 1.0)
    fresh = decider.decide("newcomer", SHIRT.product, NOON + 1)
    assert (fresh.digest, fresh.propensity) == (None, 1.0)


def test_a_table_that_breaks_a_rule_is_not_taken(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(table, SHIRT)
    live = LiveCatalog(table)
    for broken in (b"product,category\n", b"\xff\xfe"):
        table.write_bytes(broken)
        assert SHIRT.product in live()
        assert "as it was before" in live.hindrance
    assert "used as it was before" in caplog.text
    table.unlink()
    assert SHIRT.product in live()
    save(table, replace(SHIRT, product="b"))
    assert "b" in live()
    assert not live.hindrance
    table.rename(table.with_suffix(".away"))
    assert live.hindrance
    table.with_suffix(".away").rename(table)
    assert not live.hindrance


def test_while_a_thread_refreshes_it_nobody_who_asks_reads_and_after_a_pause_they_do(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun, load, now = threading.Event(), threading.Event(), Catalog.load, [100.0]
    monkeypatch.setattr(showing, "_LOOK_SECONDS", 1.0)
    monkeypatch.setattr(showing.time, "monotonic", lambda: now[0])
    save(table, SHIRT)
    live = LiveCatalog(table)
    by: list[str] = []

    def slow(path: Path) -> Catalog:
        by.append(threading.current_thread().name)
        begun.set()
        assert go.wait(60)
        return load(path)

    monkeypatch.setattr(Catalog, "load", slow)
    save(table, replace(SHIRT, product="b"))
    now[0] += 1.0
    thread = threading.Thread(target=live.refresh, name="refreshes")
    thread.start()
    assert begun.wait(60)
    for seconds in (0.0, 1.0, 9.0):  # answered while it is read, however long that takes
        now[0] = 101.0 + seconds
        assert SHIRT.product in live()
    go.set()
    thread.join()
    assert "b" in live()
    live.refresh()
    save(table, replace(SHIRT, product="c"))
    now[0] += 1.5
    assert "b" in live()  # the thread looks soon
    now[0] += 86_400.0
    assert "c" in live()  # it did not: whoever asks first is told what lies there now
    assert by == ["refreshes", threading.current_thread().name]


def test_it_looks_once_a_second(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_LOOK_SECONDS", 3600.0)
    save(table, SHIRT)
    live = LiveCatalog(table)
    save(table, replace(SHIRT, product="b"))
    assert SHIRT.product in live()


def test_a_catalogue_has_to_be_there_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        LiveCatalog(tmp_path / "nowhere.csv")
