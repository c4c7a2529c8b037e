"""The log on a real PostgreSQL."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, NullPool, create_engine, text

import persona_img as pi
from contracts.event_log import (
    NOON,
    EventLogContract,
    a_click,
    a_showing,
    an_impression,
    fates,
    see,
)
from examples import SIGNER
from persona_img import wiring
from persona_img.domain.decision import Arms
from persona_img.domain.people import Link
from persona_img.errors import InvalidInput, StoreConflict, StoreFailed
from persona_img.serving.app import create_app
from persona_img.serving.archive import Archive
from persona_img.serving.history import History
from persona_img.serving.postgres.log import PostgresEventLog
from persona_img.serving.postgres.reader import PostgresReader, prune
from persona_img.serving.postgres.schema import WRITING
from persona_img.serving.run import BackgroundServer
from persona_img.settings import Settings
from persona_img.workspace import Workspace

from .conftest import Shop, a_catalog, a_decider, stored_variant
from .postgres_server import PostgresServer
from .test_app import an_event as seen_now
from .test_app import ask, counts, send

pytestmark = pytest.mark.slow
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    found = PostgresServer()
    yield found
    found.remove()


@pytest.fixture
def url(server: PostgresServer) -> str:
    return a_place(server)


def a_place(server: PostgresServer) -> str:
    """Address of a schema of its own, empty."""
    name = f"shop{next(_NUMBERS)}"
    with connected(server.url) as db:
        db.execute(text(f"CREATE SCHEMA {name}"))
    return f"{server.url}?options=-csearch_path%3D{name}"


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.begin() as db:
        yield db


class TestPostgresEventLog(EventLogContract):
    @pytest.fixture(autouse=True)
    def _on(self, server: PostgresServer) -> None:
        self.server = server

    def new_log(self) -> PostgresEventLog:
        return PostgresEventLog(a_place(self.server))


def test_what_was_acknowledged_survives_a_crash_and_the_log_heals_by_itself(server, url):
    arms = Arms("hero", {"control": 0.5, "personalized": 0.5})
    with closing(PostgresEventLog(url)) as log:
        log.open_test(arms)
        see(log, a_showing(1))
        server.stop("immediate")
        try:
            for call in (
                lambda: log.record_events([an_impression(2)]),
                lambda: log.seen("hero", "ann", ["mug"]),
                log.feedback,
                log.probe,
            ):
                with pytest.raises(StoreFailed, match="start it") as failed:
                    call()
                assert failed.value.reason == "unreachable"
            with pytest.raises(StoreFailed):
                PostgresEventLog(url)
        finally:
            server.start()
        assert list(log.feedback()["decision_id"]) == [a_showing(1).showing_id]
        assert "mug" in log.seen("hero", "ann", ["mug"])
        assert fates(log.record_events([an_impression(1), an_impression(2)])) == [
            "duplicate",
            "accepted",
        ]
        log.probe()


def test_photos_are_shown_and_nothing_is_acknowledged_while_the_database_is_away(server, url):
    with closing(PostgresEventLog(url)) as log:
        decider = a_decider(log)
        app = create_app(
            decider, a_catalog(), stored_variant, signer=SIGNER, decision_seconds=10.0,
            probe_seconds=0.0,
        )  # fmt: skip
        with BackgroundServer(app) as running, httpx.Client(base_url=running.url) as client:
            shop = Shop(client, app, decider)
            shopper = shop.shopper("personalized")
            shown = ask(shop, shopper).json()
            assert shown["counted"] is True
            event = seen_now("i", shown["token"], occurred_at=time.time())
            server.stop()
            try:
                for _ in range(3):
                    photo = ask(shop, shopper)
                    assert (photo.status_code, photo.json()["counted"]) == (200, False)
                    assert photo.json()["style"] == "original"
                    refused = send(shop, event)
                    assert refused.status_code == 503
                    assert int(refused.headers["retry-after"]) >= 1
                assert shop.client.get("/readyz").status_code == 503
                assert shop.client.get("/healthz").status_code == 200
            finally:
                server.start()
            assert counts(send(shop, event)) == (1, 0, 0)  # nothing of it had been stored
            assert counts(send(shop, event)) == (0, 1, 0)
            assert ask(shop, shopper).json()["counted"] is True
            assert shop.client.get("/readyz").status_code == 200


def test_two_services_count_an_event_once_and_number_events_in_the_order_of_commits(url):
    events = [an_impression(n) for n in range(120)]
    with closing(PostgresEventLog(url)) as one, closing(PostgresEventLog(url)) as other:
        calls = [(log, events[n : n + 10]) for n in range(0, 120, 5) for log in (one, other)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda call: call[0].record_events(call[1]), calls))
        assert sum(some.new for some in found) == 120
        assert len(one.feedback()) == 120


def test_what_is_archived_and_the_tail_are_what_the_log_alone_says(url, tmp_path):
    history = History(
        Archive(tmp_path / "archive"),
        lambda: PostgresReader(url),
        lambda through, before: prune(url, through, before),
    )
    with closing(PostgresEventLog(url)) as log:
        log.record_events([an_impression(n, received_at=NOON) for n in range(5)])
        history.archive()
        log.record_events([a_click(1), an_impression(9), a_click(9)])
        assert history.frame().equals(log.feedback())
        whole = history.frame()
        history.archive()
        assert history.frame().equals(whole)
        with PostgresReader(url) as reader:
            assert reader.mark(0) == ""
            assert reader.mark(reader.last)
            with pytest.raises(StoreConflict, match="no event"):
                reader.mark(reader.last + 1)
            through = reader.last
        assert prune(url, through, NOON + 1) == 5
        assert prune(url, through, NOON + 1) == 0
        assert history.frame().equals(whole)
        assert "mug" in log.seen("hero", "ann", ["mug"])  # shoppers keep their pictures


def test_a_database_that_lacks_nothing_is_opened_while_somebody_writes(url):
    with closing(PostgresEventLog(url)) as log, connected(url) as db:
        see(log, a_showing())
        db.execute(WRITING)  # until the end of this block
        with closing(PostgresEventLog(url)) as other:
            assert "mug" in other.seen("hero", "ann", ["mug"])
            assert len(other.feedback()) == 1


def test_tables_of_before_there_were_links_get_theirs(url):
    with closing(PostgresEventLog(url)) as log:
        see(log, a_showing())
        before = log.feedback()
    with connected(url) as db:
        db.execute(text("DROP TABLE links"))
        db.execute(text("UPDATE persona_img_version SET version_num = '0001'"))
    with closing(PostgresEventLog(url)) as log:
        assert log.feedback().equals(before)
        assert log.link([Link("ann", "login")], NOON)[0].unit == "ann"


def test_one_service_knows_what_another_linked(url):
    with closing(PostgresEventLog(url)) as one, closing(PostgresEventLog(url)) as other:
        assert other.person("c1") is None  # looked at: nobody is linked
        one.link([Link("c1", "ann")], NOON)
        assert one.person("c1").login == "ann"
        until = time.monotonic() + 30
        while other.person("c1") is None:
            assert time.monotonic() < until
        one.link([Link("c2", "ann")], NOON)
        assert other.person("c2").names == ("ann", "c1", "c2")


def test_a_newer_programs_tables_are_refused(url):
    PostgresEventLog(url).close()
    with connected(url) as db:
        db.execute(text("UPDATE persona_img_version SET version_num = '9999'"))
    with pytest.raises(StoreConflict, match="another version"):
        PostgresEventLog(url)


def test_errors_do_not_tell_the_password():
    with pytest.raises(StoreFailed) as failed:
        PostgresEventLog("postgresql://shop:hunter2@127.0.0.1:1/persona")
    assert "hunter2" not in str(failed.value)
    with pytest.raises(InvalidInput, match="events_url") as wrong:
        PostgresEventLog("hunter2 is no address")
    assert "hunter2" not in str(wrong.value)


def test_a_shop_has_its_log_where_its_settings_say(url, tmp_path):
    settings = Settings(
        home=tmp_path / "mine",
        test={"name": "hero"},
        stores={"features": "frame", "tracker": "folder", "events_url": url},
    )
    shop = pi.Shop.begin(settings)
    with closing(wiring.event_log(shop.workspace, settings.stores.events_url)) as log:
        see(log, a_showing(1), a_showing(2))
        assert shop.archive().impressions == 2
        log.record_events([a_click(2)])
    assert list(shop.feedback()["clicked"]) == [0, 1]
    assert not shop.workspace.events.exists()
    kept = "".join(p.read_text() for p in (tmp_path / "mine").rglob("*.toml"))
    assert "postgresql" not in kept  # the address may hold a password
    with pytest.raises(InvalidInput, match="pg_dump"):
        shop.backup(tmp_path / "kept.zip")


def test_an_address_that_nobody_serves_is_refused(tmp_path):
    url = SecretStr("mysql://shop:hunter2@db/persona")
    with pytest.raises(InvalidInput, match="there are postgresql") as refused:
        wiring.event_log(Workspace(tmp_path), url)
    assert "hunter2" not in str(refused.value)
