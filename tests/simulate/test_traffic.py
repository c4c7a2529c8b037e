from __future__ import annotations

import dataclasses
import hashlib

import pytest

from examples import SIGNER
from persona_img.domain.decision import Arms, Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput, ServiceFailed, StoreFailed
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.run import BackgroundServer
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.simulate.shop import SimulatedShop
from persona_img.simulate.traffic import drive

from .worlds import START, a_catalog, a_shop, shipped_space

STYLES = shipped_space().styles()
TOKEN = "a-token-of-tests-only"


def a_table():
    digest = hashlib.sha256(b"variant").hexdigest()
    slate = Slate((Candidate(ORIGINAL, None, 0.5), Candidate(STYLES[4], digest, 0.5)))
    return DecisionTable("t1", {("all", p.product): slate for p in a_catalog(16)}, {}, "all")


def driven(path, *, workers, tokens=(), **options):
    shop = a_shop(shoppers=40)
    visits = shop.visits(1, START, 7)
    log = SqliteEventLog(path)
    arms = Arms("hero", {"control": 0.5, "personalized": 0.5})
    app = create_app(
        Decider(a_table(), arms, log), a_catalog(16), lambda _: None, signer=SIGNER, tokens=tokens
    )
    seen = []
    try:
        with BackgroundServer(app) as server:
            report = drive(
                server.url, shop, visits, on_visit=seen.append, workers=workers, **options
            )
        return visits, seen, report, log.feedback("hero")
    finally:
        log.close()


def test_every_visit_reaches_the_log_and_workers_change_nothing(tmp_path):
    visits, seen, report, feedback = driven(tmp_path / "a", workers=4)
    assert sorted(v.visit for v in seen) == sorted(v.visit for v in visits)
    impressions = sum(len(v.products) for v in visits)
    assert report.visits == len(visits)
    assert report.decisions == impressions == len(feedback)
    assert report.events >= impressions + report.clicks
    assert feedback["clicked"].sum() == report.clicks > 0
    assert set(feedback["arm"]) == {"control", "personalized"}
    columns = ["shopper", "product", "style_key", "position", "clicked", "converted"]
    _, _, alone, again = driven(tmp_path / "b", workers=1, visits_per_post=3)
    assert (alone.events, alone.clicks) == (report.events, report.clicks)
    one, two = (f[columns].sort_values(columns, ignore_index=True) for f in (feedback, again))
    assert one.equals(two)


def test_a_picture_that_is_not_counted_is_asked_for_again(tmp_path, monkeypatch, caplog):
    seen, failed = SqliteEventLog.seen, []

    def fails_at_first(self, *asked, **more):
        if len(failed) < 7:
            failed.append(asked)
            raise StoreFailed("away for a moment", "missing")
        return seen(self, *asked, **more)

    monkeypatch.setattr(SqliteEventLog, "seen", fails_at_first)
    visits, _, report, feedback = driven(tmp_path / "a", workers=4)
    assert "photos shown, not counted" in caplog.text
    assert report.decisions == len(feedback) == sum(len(v.products) for v in visits)


def test_pictures_that_are_never_counted_end_the_drive(tmp_path, monkeypatch):
    def fails(self, *_):
        raise StoreFailed("no such log", "missing")

    monkeypatch.setattr(SqliteEventLog, "seen", fails)
    with pytest.raises(ServiceFailed, match="readyz"):
        driven(tmp_path / "a", workers=2, timeout=0.3)


def test_a_refusal_ends_the_drive_with_the_answer(tmp_path):
    with pytest.raises(ServiceFailed, match="401"):
        driven(tmp_path / "a", workers=2, tokens=(TOKEN,))


def test_a_rejected_event_ends_the_drive_with_its_reason(tmp_path, monkeypatch):
    respond = SimulatedShop.respond

    def late(self, visit, shown):
        return [dataclasses.replace(e, token="nobody") for e in respond(self, visit, shown)]

    monkeypatch.setattr(SimulatedShop, "respond", late)
    with pytest.raises(ServiceFailed, match=r"rejected \d+ of \d+ events: .*did not sign"):
        driven(tmp_path / "a", workers=2)


def test_a_token_is_sent(tmp_path):
    _, _, report, _ = driven(tmp_path / "a", workers=2, tokens=(TOKEN,), token=TOKEN)
    assert report.decisions > 0


def test_nobody_listening_is_said():
    shop = a_shop(shoppers=10)
    with pytest.raises(ServiceFailed, match="is the service running"):
        drive("http://127.0.0.1:9", shop, shop.visits(1, START, 7))


def test_no_workers_are_refused():
    with pytest.raises(InvalidInput, match="at least 1"):
        drive("http://127.0.0.1:9", a_shop(shoppers=10), [], workers=0)
