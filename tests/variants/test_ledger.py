"""Who decided on which variant: kept for good, and asked before anything is shown."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples import STYLE, a_twin
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, NotFound, StoreConflict, StoreFailed
from persona_img.rendering.base import Variant
from persona_img.variants.ledger import Entry
from persona_img.variants.store import VariantStore, recipe_key

WHY = "the rug hides the heel"


@pytest.fixture
def store(tmp_path: Path, variant: Variant) -> VariantStore:
    """One variant, proposed, of two products."""
    store = VariantStore(tmp_path / "store")
    store.put(variant, "shirt")
    store.show(variant.digest, "blouse")
    return store


def states(store: VariantStore) -> dict[str, str]:
    return {record.product: record.state for record in store.records()}


def said(store: VariantStore) -> list[tuple[str, str, str]]:
    return [(e.who, e.action, e.reason) for e in store.ledger.entries()]


def test_another_file_in_the_place_of_the_ledger_is_read_at_once(
    store: VariantStore, variant: Variant
) -> None:
    """A backup that is put back holds what was withdrawn before it."""
    store.ledger.approve([variant.digest], by="ann")
    assert store.is_servable(variant.digest)
    path = store.folder / "variants.sqlite"
    other = VariantStore(store.folder.with_name("other"))
    other.put(variant, "shirt")
    other.ledger.withdraw([variant.digest], by="bob", reason=WHY)
    shutil.copytree(other.folder / "variants", store.folder / "variants", dirs_exist_ok=True)
    for extra in store.folder.glob("variants.sqlite-*"):
        extra.unlink()
    (other.folder / "variants.sqlite").replace(path)
    assert not store.is_servable(variant.digest)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"no pages" * 999), Path.unlink])
def test_approvals_that_cannot_be_read_are_told_and_read_again(
    store: VariantStore, variant: Variant, spoil: Callable[[Path], object]
) -> None:
    store.ledger.approve([variant.digest], by="ann")
    with closing(sqlite3.connect(store.folder / "variants.sqlite")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = store.folder / "variants.sqlite"
    away = path.with_name("away")
    path.rename(away)
    path.write_bytes(b"")
    spoil(path)
    with pytest.raises(StoreFailed) as raised:
        store.servable_path(variant.digest)
    assert raised.value.reason == "approvals"
    assert "photos are shown" in store.ledger.hindrance
    away.replace(path)
    assert store.is_servable(variant.digest)
    assert store.ledger.hindrance, "a page of it could not be read a moment ago"


def test_the_gate_approves_where_nobody_decided(store: VariantStore, variant: Variant) -> None:
    assert set(states(store).values()) == {"proposed"}
    assert store.ledger.standing(variant.digest) is None
    for _ in range(2):
        store.ledger.propose(variant.digest)
    assert said(store) == [("gate", "approve", "passed the gate")]
    (entry,) = store.ledger.entries()
    assert entry.digest == variant.digest
    assert abs((datetime.now(UTC) - entry.at).total_seconds()) < 60
    assert store.is_servable(variant.digest)


def test_what_a_person_withdrew_the_gate_never_brings_back(
    store: VariantStore, variant: Variant
) -> None:
    store.ledger.propose(variant.digest)
    store.ledger.withdraw([variant.digest], by="ann", reason=WHY)
    for _ in range(2):
        store.put(variant, "shirt")
        store.ledger.propose(variant.digest)
    assert set(states(store).values()) == {"withdrawn"}
    standing = store.ledger.standing(variant.digest)
    assert standing is not None
    assert str(standing).startswith("withdrawn by ann, 20")
    assert str(standing).endswith(f"UTC: {WHY}")
    store.ledger.restore([variant.digest], by="bob", reason="it was another rug")
    assert set(states(store).values()) == {"approved"}
    assert [who for who, _, _ in said(store)] == ["gate", "ann", "bob"]
    assert store.ledger.history(variant.digest) == store.ledger.entries()


def test_the_same_recipe_stays_withdrawn_whatever_its_bytes(
    store: VariantStore, variant: Variant
) -> None:
    twin = a_twin(variant)
    store.ledger.withdraw([variant.digest], by="ann", reason=WHY)
    store.put(twin, "shirt")
    store.ledger.propose(twin.digest)
    assert store.get(twin.digest).state == "withdrawn"
    with pytest.raises(StoreConflict, match="withdrawn by ann"):
        store.ledger.approve([twin.digest], by="bob")
    store.ledger.restore([twin.digest], by="bob", reason="looked at both")
    assert store.is_servable(twin.digest)
    # The word was on the twin: what somebody withdrew by its own name waits for its own.
    assert store.get(variant.digest).state == "withdrawn"
    store.ledger.propose(variant.digest)
    assert not store.is_servable(variant.digest)
    store.ledger.restore([variant.digest], by="bob", reason="this one too")
    assert store.is_servable(variant.digest)
    assert store.is_servable(twin.digest)


def test_an_approval_is_of_one_picture_alone(store: VariantStore, variant: Variant) -> None:
    twin = a_twin(variant)
    store.put(twin, "shirt")
    store.ledger.approve([variant.digest], by="ann")
    assert not store.is_servable(twin.digest)
    store.ledger.propose(twin.digest)
    assert store.is_servable(twin.digest)


def test_a_withdrawn_picture_is_restored_and_not_approved(
    store: VariantStore, variant: Variant
) -> None:
    store.ledger.withdraw([variant.digest], by="ann", reason=WHY)
    with pytest.raises(StoreConflict, match=f"{WHY}.*restore"):
        store.ledger.approve([variant.digest], by="ann", reason="hm")
    store.ledger.restore([variant.digest], by="ann", reason="never mind")
    with pytest.raises(StoreConflict, match="nothing to restore"):
        store.ledger.restore([variant.digest], by="ann", reason="twice")
    store.ledger.withdraw([variant.digest], by="ann", reason=WHY)
    store.ledger.withdraw([variant.digest], by="bob", reason="I saw it too")
    assert not store.is_servable(variant.digest)
    assert len(said(store)) == 4


def test_a_style_of_a_product_is_withdrawn_for_that_product_alone(
    store: VariantStore, variant: Variant
) -> None:
    store.ledger.propose(variant.digest)
    store.ledger.withdraw_style("shirt", STYLE, by="ann", reason=WHY)
    assert states(store) == {"shirt": "withdrawn", "blouse": "approved"}
    assert not store.is_servable(variant.digest, "shirt")
    assert store.is_servable(variant.digest, "blouse")
    assert store.is_servable(variant.digest)
    assert store.servable_path(variant.digest)
    found = store.ledger.withdrawn_style("shirt", STYLE)
    assert found is not None
    assert (found.digest, found.product, found.style) == (None, "shirt", STYLE)
    assert store.ledger.withdrawn_style("blouse", STYLE) is None
    store.ledger.withdraw_style("blouse", STYLE, by="ann", reason=WHY)
    assert not store.is_servable(variant.digest)
    for ask in (store.ledger.restore, store.ledger.approve):
        with pytest.raises(StoreConflict, match="--product blouse --style"):
            ask([variant.digest], by="ann", reason="why not")
    store.ledger.restore_style("shirt", STYLE, by="ann", reason="a new rug")
    assert states(store) == {"shirt": "approved", "blouse": "withdrawn"}
    with pytest.raises(StoreConflict, match="nothing to restore"):
        store.ledger.restore_style("shirt", STYLE, by="ann", reason="again")
    with pytest.raises(InvalidInput, match="original"):
        store.ledger.withdraw_style("shirt", ORIGINAL, by="ann", reason=WHY)
    assert len(store.ledger.history(variant.digest)) == 4


def test_a_style_may_be_withdrawn_before_it_is_rendered(tmp_path: Path, variant: Variant) -> None:
    store = VariantStore(tmp_path / "new")
    store.ledger.withdraw_style("shirt", STYLE, by="ann", reason=WHY)
    store.put(variant, "shirt")
    store.ledger.propose(variant.digest)
    assert states(store) == {"shirt": "withdrawn"}


def test_waiting_for_one_product_is_not_hidden_by_another(
    store: VariantStore, variant: Variant
) -> None:
    """Proposed for the blouse, its style withdrawn for the shirt: it can still be approved."""
    store.ledger.withdraw_style("shirt", STYLE, by="ann", reason=WHY)
    assert store.ledger.standing(variant.digest) is None
    store.ledger.approve([variant.digest], by="ann")
    assert states(store) == {"shirt": "withdrawn", "blouse": "approved"}


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 1001])
def test_a_reason_is_one_line_and_asked_for(
    store: VariantStore, variant: Variant, reason: str
) -> None:
    for ask in (store.ledger.withdraw, store.ledger.restore):
        with pytest.raises(InvalidInput, match="reason"):
            ask([variant.digest], by="ann", reason=reason)
    assert said(store) == []


@pytest.mark.parametrize("by", ["", " ", "gate", "migrated", "a\nb"])
def test_whoever_decides_has_a_name(store: VariantStore, variant: Variant, by: str) -> None:
    with pytest.raises(InvalidInput, match="by"):
        store.ledger.approve([variant.digest], by=by)
    assert said(store) == []


def test_of_several_all_or_none(store: VariantStore, variant: Variant) -> None:
    for ask in (store.ledger.withdraw, store.ledger.approve):
        with pytest.raises(NotFound, match="variants list"):
            ask([variant.digest, "0" * 64], by="ann", reason=WHY)
    assert said(store) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger SET who = 'somebody'",
        "UPDATE ledger SET entry = entry + 10",
        "DELETE FROM ledger",
        "INSERT OR REPLACE INTO ledger (entry, at, who, action, reason, digest, recipe)"
        " SELECT entry, at, 'somebody', action, reason, digest, recipe FROM ledger",
        "UPDATE OR REPLACE ledger SET who = 'somebody'",
    ],
)
def test_the_database_itself_refuses_to_rewrite_the_ledger(
    store: VariantStore, variant: Variant, change: str
) -> None:
    store.ledger.withdraw([variant.digest], by="ann", reason=WHY)
    before = store.ledger.entries()
    with closing(sqlite3.connect(store.folder / "variants.sqlite")) as db:
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            db.execute(change)
        db.commit()
    assert store.ledger.entries() == before


def test_a_write_that_fails_leaves_nothing(
    store: VariantStore, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_img.variants.database._BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(store.folder / "variants.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="try again"):
            store.ledger.withdraw([variant.digest], by="ann", reason=WHY)
    assert said(store) == []


OLD = """
CREATE TABLE variants (
    digest TEXT PRIMARY KEY,
    recipe TEXT NOT NULL UNIQUE,
    style TEXT NOT NULL,
    certificate TEXT NOT NULL,
    approved INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE shown (
    product TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES variants (digest),
    PRIMARY KEY (product, digest)
) STRICT;
"""


@pytest.fixture
def old(tmp_path: Path, variant: Variant, store: VariantStore) -> VariantStore:
    """A store as it was before the ledger: one approved, one that was not. Not yet opened."""
    twin = a_twin(variant)
    folder = tmp_path / "old"
    folder.mkdir()
    store.put(twin, "shirt")
    with closing(sqlite3.connect(store.folder / "variants.sqlite")) as db:
        rows = db.execute("SELECT digest, recipe, style, certificate FROM variants").fetchall()
        shown = db.execute("SELECT product, digest FROM shown").fetchall()
    with closing(sqlite3.connect(folder / "variants.sqlite")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(OLD)
        for digest, recipe, *rest in rows:
            known = recipe if digest == variant.digest else recipe_key("p", STYLE, 8, "f")
            row = (digest, known, *rest, digest == variant.digest)
            db.execute("INSERT INTO variants VALUES (?, ?, ?, ?, ?)", row)
        db.executemany("INSERT INTO shown VALUES (?, ?)", shown)
        db.commit()
    (store.folder / "variants").rename(folder / "variants")
    store.folder = folder
    return store


def test_an_older_store_is_brought_up_to_date(old: VariantStore, variant: Variant) -> None:
    expected = [(r.digest, r.product, r.certificate) for r in old.records()]
    store = VariantStore(old.folder)
    assert [(r.digest, r.product, r.certificate) for r in store.records()] == expected
    assert store.is_servable(variant.digest)
    twin = a_twin(variant).digest
    store.ledger.propose(twin)
    assert store.get(twin).state == "withdrawn"  # perhaps somebody withdrew it: nothing tells
    before = store.ledger.entries()
    assert [(e.who, e.action) for e in before] == [
        ("migrated", "approve"),
        ("migrated", "withdraw"),
    ]
    assert all(abs((datetime.now(UTC) - e.at).total_seconds()) < 60 for e in before)
    assert VariantStore(old.folder).ledger.entries() == before
    store.ledger.restore([twin], by="ann", reason="it is fine")
    assert store.is_servable(twin)


def test_an_older_store_that_cannot_be_brought_up_to_date_stays_as_it_is(
    old: VariantStore,
) -> None:
    path = old.folder / "variants.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE ledger (somebody TEXT)")
        db.commit()
        before = list(db.iterdump())
    with pytest.raises((InvalidInput, StoreFailed)):
        VariantStore(old.folder)
    with closing(sqlite3.connect(path)) as db:
        assert list(db.iterdump()) == before


def test_a_newer_store_is_left_alone(store: VariantStore) -> None:
    with closing(sqlite3.connect(store.folder / "variants.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreConflict, match="version 99"):
        VariantStore(store.folder)


OPENING = """
import sys
from persona_img.variants.store import VariantStore

folder, digest, who = sys.argv[1:]
sys.stdin.readline()
store = VariantStore(folder)
for _ in range(20):
    store.ledger.withdraw([digest], by=who, reason="away")
    store.ledger.propose(digest)
    assert not store.is_servable(digest)
"""


def test_processes_that_open_and_write_at_once_lose_nothing(
    old: VariantStore, variant: Variant
) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENING, str(old.folder), variant.digest, who],
            stdin=subprocess.PIPE, text=True,
        )
        for who in ("ann", "bob", "cai")
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    entries = VariantStore(old.folder).ledger.entries()
    assert [e.who for e in entries if e.who == "migrated"] == ["migrated"] * 2
    assert {w: sum(e.who == w for e in entries) for w in ("ann", "bob", "cai")} == {
        "ann": 20, "bob": 20, "cai": 20,
    }  # fmt: skip
    assert [e.entry for e in entries] == list(range(1, 63))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["propose", "approve", "withdraw", "restore", "style away", "style back"]),
        st.booleans(),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, variant: Variant) -> VariantStore:
    """Two pictures of one recipe, proposed."""
    store = VariantStore(tmp_path_factory.mktemp("pair") / "store")
    for one in (variant, a_twin(variant)):
        store.put(one, "shirt")
    return store


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
@example([("withdraw", True), ("restore", False), ("propose", True)])
def test_nothing_withdrawn_is_served_whatever_happens(
    pair: VariantStore, steps: list[tuple[str, bool]]
) -> None:
    """Against the rules in a few plain words."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(pair.folder / "variants.sqlite", folder)
        first, second = (record.digest for record in pair.records())
        follow(VariantStore(folder), (first, second), steps)


def follow(store: VariantStore, pair: tuple[str, str], steps: list[tuple[str, bool]]) -> None:
    ledger, recipe_away, style_away = store.ledger, False, False
    approved: set[str] = set()
    gone: set[str] = set()
    for step, second in steps:
        digest = pair[second]
        try:
            if step == "propose":
                ledger.propose(digest)
            elif step == "style away":
                ledger.withdraw_style("shirt", STYLE, by="ann", reason=WHY)
            elif step == "style back":
                ledger.restore_style("shirt", STYLE, by="ann", reason=WHY)
            else:
                getattr(ledger, step)([digest], by="ann", reason=WHY)
        except StoreConflict:
            pass
        away = recipe_away or digest in gone
        if step == "withdraw":
            recipe_away = True
            gone.add(digest)
        elif step == "restore" and away:
            recipe_away = False
            gone.discard(digest)
            approved.add(digest)
        elif step == "propose" or (step == "approve" and not style_away):
            approved |= set() if away else {digest}
        elif step.startswith("style"):
            style_away = step == "style away"
        for one in pair:
            away = recipe_away or one in gone or style_away
            assert store.is_servable(one, "shirt") == (one in approved and not away)
            assert (store.get(one, "shirt").state == "withdrawn") == away


def test_an_entry_reads_as_a_sentence() -> None:
    at = datetime(2026, 11, 2, 9, 5, tzinfo=UTC)
    assert str(Entry(1, at, "ann", "approve", "", "ab")) == "approved by ann, 2026-11-02 09:05 UTC"
    entry = Entry(2, at, "bob", "restore", "a new rug", None, "shirt", Style("a=b"))
    assert str(entry) == "restored by bob, 2026-11-02 09:05 UTC: a new rug"
