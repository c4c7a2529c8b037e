"""What becomes of events, whoever sends them and whatever their clocks say."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from contracts.event_log import NOON, a_decision
from examples import SIGNER
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.receive import Receiver, Sent
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.token import TOKEN_DAYS

DAY = 86400.0


def a_token(at: float = NOON, **changes: object) -> str:
    return SIGNER.sign(SIGNER.show(a_decision(**changes), at))


@pytest.fixture
def log():
    return MemoryEventLog()


@pytest.fixture
def receiver(log):
    return Receiver(log, SIGNER, "hero")


def told(receiver, *sent, now=NOON + 60):
    found = receiver.record(dict(enumerate(sent)), now)
    return [outcome.rule or outcome.fate for outcome in found.outcomes]


def test_each_event_is_told_what_became_of_it(receiver, log):
    token, old = a_token(), a_token(NOON - (TOKEN_DAYS + 1) * DAY)
    sent = [
        Sent("impression", token, "e1", NOON + 4),
        Sent("click", token, "e2", NOON + 5),
        Sent("click", token, "e2", NOON + 5),
        Sent("click", token, "e3", NOON + 5),
        Sent("click", old, "e4"),
        Sent("click", a_token(test="spring"), "e5"),
        Sent("click", token[:-1], "e6"),
        Sent("click", None, "e7", decision_id="nobody", impression_id="i"),
        Sent("conversion", token, "e8", value=20.0),
        Sent("dismiss", token),
        Sent("survey", token, rating=5),
        Sent("impression", a_token(), position=2**40),
        Sent("survey", a_token(), rating=9),
    ]
    assert told(receiver, *sent) == [
        "accepted", "accepted", "duplicate", "replayed", "expired", "other-test", "forged",
        "unknown", "accepted", "accepted", "accepted", "unreadable", "unreadable",
    ]  # fmt: skip
    assert list(log.feedback()["clicked"]) == [1]
    assert log.seen("hero", "ann", ["mug"])["mug"].latest == a_decision()


def test_an_event_without_a_name_is_named_after_its_token(receiver):
    token = a_token()
    assert told(receiver, Sent("impression", token), Sent("click", token)) == ["accepted"] * 2
    assert told(receiver, Sent("click", token), Sent("click", token, "mine")) == [
        "duplicate",
        "replayed",
    ]


def test_an_impression_is_of_what_was_answered_whatever_is_decided_by_then(receiver, log):
    token = a_token(propensity=0.125, policy_version="an-old-plan~r3", decided_at=NOON - 9 * DAY)
    assert told(receiver, Sent("impression", token), now=NOON + 20 * DAY) == ["accepted"]
    (row,) = log.feedback().to_dict("records")
    assert (row["propensity"], row["policy_version"]) == (0.125, "an-old-plan~r3")


@pytest.mark.parametrize(
    ("sent_at", "kept", "skew"),
    [
        (NOON + 30, NOON + 30, 0.0),
        (NOON - 3600, NOON, -3600.0),  # before it was answered
        (NOON + DAY, NOON + 60, DAY - 60),  # after it was received
        (0.0, NOON, -NOON),
        (None, NOON + 60, 0.0),
    ],
)
def test_a_senders_clock_is_believed_within_what_the_servers_allows(tmp_path, sent_at, kept, skew):
    path = tmp_path / "log.sqlite"
    with closing(SqliteEventLog(path)) as log:
        receiver = Receiver(log, SIGNER, "hero")
        assert told(receiver, Sent("impression", a_token(), "e", sent_at)) == ["accepted"]
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT occurred_at, skew, received_at FROM events").fetchone()
    assert found == (kept, skew, NOON + 60)


def test_a_clock_that_is_days_ahead_loses_no_click_whichever_arrives_first(receiver, log):
    token = a_token()
    ahead = NOON + 3 * DAY
    assert told(receiver, Sent("click", token, occurred_at=ahead + 5), now=NOON + 6) == ["accepted"]
    assert told(receiver, Sent("impression", token, occurred_at=ahead), now=NOON + 7) == [
        "accepted"
    ]
    assert list(log.feedback()["clicked"]) == [1]


@pytest.mark.parametrize("after", [-5.0, 7 * DAY + 1])
def test_a_click_before_its_impression_or_after_the_window_is_stored_and_not_counted(
    receiver, log, after
):
    token, shown = a_token(), NOON + 10
    sent = [Sent("impression", token, occurred_at=shown), Sent("click", token, "c", shown + after)]
    assert told(receiver, *sent, now=NOON + 9 * DAY) == ["accepted", "accepted"]
    assert list(log.feedback()["clicked"]) == [0]
    assert list(log.feedback(within=8 * DAY)["clicked"]) == [int(after > 0)]


def test_simulated_shoppers_clocks_are_believed(log):
    receiver = Receiver(log, SIGNER, "hero", trusting=lambda: True)
    assert told(receiver, Sent("impression", a_token(), "e", NOON - 99 * DAY)) == ["accepted"]
    assert log.feedback()["shown_at"][0].timestamp() == NOON - 99 * DAY


def test_nothing_to_store_needs_no_log():
    class Broken(MemoryEventLog):
        def record_events(self, events):
            raise AssertionError("nothing is to be stored")

    receiver = Receiver(Broken(), SIGNER, "hero")
    assert told(receiver, Sent("click", "nonsense")) == ["forged"]
    assert told(receiver) == []
