"""What every EventLog must do; each adapter's tests inherit it and say how to make one."""

from __future__ import annotations

import dataclasses
import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.domain.decision import Arms, Decision
from persona_img.domain.feedback import FEEDBACK_COLUMNS, Event
from persona_img.errors import InvalidInput, StoreConflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.serving.base import EventLog, Recorded

NOON = 1_760_000_000.0
RED, BLUE = "ab" * 32, "cd" * 32


def a_decision(name: str = "d1", **changes: object) -> Decision:
    """A decision for shopper ann and a mug, with fields changed as asked."""
    usual = Decision(
        decision_id=name,
        test="hero",
        shopper="ann",
        product="mug",
        segment="minimalists",
        arm="personalized",
        style_key="light=soft",
        digest=RED,
        propensity=0.25,
        policy_version="v1",
        decided_at=NOON,
    )
    return dataclasses.replace(usual, **changes)


def an_impression(
    name: str = "i1", decision: str = "d1", at: float = NOON, place: int = 1
) -> Event:
    return Event(name, "impression", decision, name, at, place)


def a_click(name: str = "c1", impression: str = "i1", decision: str = "d1") -> Event:
    return Event(name, "click", decision, impression, NOON + 5)


def a_conversion(name: str = "b1", impression: str = "i1", decision: str = "d1") -> Event:
    return Event(name, "conversion", decision, impression, NOON + 900)


def expected_outcomes(events: Sequence[Event]) -> list[tuple[str, str, int, int]]:
    """(impression, decision, clicked, converted), by the definition and nothing else."""
    rows = []
    impressions = {e for e in events if e.kind == "impression"}
    for i in sorted(impressions, key=lambda e: (e.occurred_at, e.event_id)):
        mine = {
            e.kind
            for e in events
            if (e.impression_id, e.decision_id) == (i.event_id, i.decision_id)
        }
        rows.append((i.event_id, i.decision_id, int("click" in mine), int("conversion" in mine)))
    return rows


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Event], list[list[Event]]]:
    """Events, and batches that deliver each at least once: in any order, some again and again."""
    impressions = [
        an_impression(f"i{n}", draw(st.sampled_from(["d1", "d2"])), NOON + draw(st.integers(0, 3)))
        for n in range(draw(st.integers(0, 5)))
    ]
    others = [
        Event(f"e{n}", kind, decision, f"i{impression}", NOON + 9)
        for n, (kind, decision, impression) in enumerate(
            draw(
                st.lists(
                    st.tuples(
                        st.sampled_from(["click", "conversion"]),
                        st.sampled_from(["d1", "d2"]),
                        st.integers(0, 6),
                    ),
                    max_size=8,
                )
            )
        )
    ]
    events = impressions + others
    again = draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    sent = draw(st.permutations(events + again))
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    ends = [0, *cuts, len(sent)]
    return events, [sent[a:b] for a, b in itertools.pairwise(ends)]


def fates(found: Recorded) -> list[str]:
    return [outcome.fate for outcome in found.outcomes]


class EventLogContract:
    """Inherit as ``class TestX(EventLogContract)`` and define ``new_log``."""

    def new_log(self) -> EventLog:
        raise AssertionError("the adapter's test says how to make an empty log")

    @pytest.fixture
    def log(self):
        with closing(self.new_log()) as log:
            yield log

    def test_a_test_keeps_its_arms(self, log):
        log.open_test(Arms("hero", {"control": 0.5, "personalized": 0.5}))
        log.open_test(Arms("hero", {"control": 0.5, "personalized": 0.5}))
        log.open_test(Arms("other", {"control": 0.1, "personalized": 0.9}))
        with pytest.raises(StoreConflict, match=r"hero.*new name"):
            log.open_test(Arms("hero", {"control": 0.4, "personalized": 0.6}))

    def test_the_order_of_arms_is_part_of_the_test(self, log):
        # Arms are laid out in order over [0, 1): the other order swaps everybody's arm.
        log.open_test(Arms("hero", {"control": 0.5, "personalized": 0.5}))
        with pytest.raises(StoreConflict):
            log.open_test(Arms("hero", {"personalized": 0.5, "control": 0.5}))

    def test_the_first_decision_of_a_policy_stays(self, log):
        first = a_decision()
        second = a_decision("d2", style_key="light=hard", digest=BLUE, propensity=0.5)
        assert log.record_decision(first) == first
        assert log.record_decision(second) == first
        assert log.latest_decision("hero", "ann", "mug") == first

    def test_a_decision_id_names_one_decision(self, log):
        log.record_decision(a_decision())
        with pytest.raises(StoreConflict, match="'d1'"):
            log.record_decision(a_decision(shopper="bob"))
        assert log.latest_decision("hero", "bob", "mug") is None

    @pytest.mark.parametrize(
        "wrong",
        [
            {"propensity": 0.0},
            {"propensity": -0.1},
            {"propensity": 1.1},
            {"propensity": float("nan")},
            {"decided_at": float("inf")},
            {"decided_at": NOON * 1000},
            {"shopper": "a\x00b"},
            {"product": "\ud800"},
            {"segment": "a\nb"},
        ],
    )
    def test_no_decision_breaks_a_rule(self, log, wrong):
        with pytest.raises(InvalidInput, match="d1"):
            log.record_decision(a_decision(**wrong))
        assert log.latest_decision("hero", "ann", "mug") is None

    def test_nothing_is_known_of_an_unseen_place(self, log):
        log.record_decision(a_decision())
        for place in (("other", "ann", "mug"), ("hero", "bob", "mug"), ("hero", "ann", "shoe")):
            assert log.latest_decision(*place) is None
            assert log.change_count(*place) == 0

    def test_changes_of_the_picture_are_counted(self, log):
        steps = [
            (a_decision("d1", policy_version="v1", digest=RED), 0),
            (a_decision("d1", policy_version="v1", digest=RED), 0),
            (a_decision("d2", policy_version="v2", digest=RED), 0),
            (a_decision("d3", policy_version="v3", digest=None, style_key="original"), 1),
            (a_decision("d4", policy_version="v4", digest=None, style_key="original"), 1),
            (a_decision("d5", policy_version="v5", digest=BLUE), 2),
            (a_decision("d1", policy_version="v1", digest=RED), 3),  # back is a change too
        ]
        for decision, changes in steps:
            log.record_decision(decision)
            assert log.latest_decision("hero", "ann", "mug") == decision
            assert log.change_count("hero", "ann", "mug") == changes
        log.record_decision(a_decision("e1", shopper="bob"))
        assert log.change_count("hero", "bob", "mug") == 0

    def test_an_event_counts_once(self, log):
        log.record_decision(a_decision())
        events = [an_impression(), a_click()]
        first, again = log.record_events(events), log.record_events([*events, *events])
        assert (first.new, first.duplicate) == (2, 0)
        assert (again.new, again.duplicate) == (0, 4)
        assert len(log.feedback()) == 1

    def test_twice_in_one_call_counts_once(self, log):
        log.record_decision(a_decision())
        accepted = log.record_events([an_impression(), an_impression()])
        assert (accepted.new, accepted.duplicate) == (1, 1)

    def test_no_events_are_no_matter(self, log):
        accepted = log.record_events([])
        assert (accepted.new, accepted.duplicate) == (0, 0)

    @pytest.mark.parametrize(
        "other",
        [
            an_impression(at=NOON + 1),
            an_impression(place=2),
            an_impression(decision="d2"),
            Event("i1", "click", "d1", "i1", NOON),
        ],
    )
    def test_an_event_id_names_one_event(self, log, other):
        log.record_decision(a_decision())
        log.record_decision(a_decision("d2", shopper="bob"))
        log.record_events([an_impression()])
        before = log.feedback()
        found = log.record_events([an_impression("i2", at=NOON + 2), other])
        assert fates(found) == ["accepted", "rejected"]
        assert re.search("'i1'.*its own event_id", found.outcomes[1].reason)
        assert log.feedback().head(1).equals(before)  # what was stored is as it was
        assert len(log.feedback()) == 2

    def test_an_event_id_names_one_event_within_a_call(self, log):
        log.record_decision(a_decision())
        sent = [an_impression(), an_impression(place=2), an_impression()]
        found = log.record_events(sent)
        assert fates(found) == ["accepted", "rejected", "duplicate"]
        assert "position 1, sent with 2" in found.outcomes[1].reason
        assert list(log.feedback()["position"]) == [1]
        assert fates(log.record_events(sent)) == ["duplicate", "rejected", "duplicate"]

    def test_a_rejected_event_takes_no_event_id(self, log):
        log.record_decision(a_decision())
        found = log.record_events([an_impression(decision="nobody"), an_impression()])
        assert fates(found) == ["rejected", "accepted"]

    def test_an_unknown_decision_is_named_and_holds_up_no_other(self, log):
        log.record_decision(a_decision())
        sent = [an_impression("i2", decision="nobody"), an_impression()]
        found = log.record_events(sent)
        assert fates(found) == ["rejected", "accepted"]
        assert re.search(r"'i2'.*'nobody'.*GET /v1/variant", found.outcomes[0].reason)
        assert found.outcomes[1].reason == ""
        assert list(log.feedback()["decision_id"]) == ["d1"]
        assert fates(log.record_events(sent)) == ["rejected", "duplicate"]

    @pytest.mark.parametrize(
        "event",
        [
            an_impression(at=float("nan")),
            an_impression(at=-1.0),
            an_impression(at=NOON * 1000),
            an_impression(place=2**31),
            an_impression(place=1.5),
            an_impression(place=float("nan")),
            an_impression("i\x00"),
            an_impression("i\udfff"),
        ],
    )
    def test_an_event_that_breaks_a_rule_holds_up_no_other(self, log, event):
        log.record_decision(a_decision())
        found = log.record_events([an_impression("fine"), event, a_click(impression="fine")])
        assert fates(found) == ["accepted", "rejected", "accepted"]
        assert (found.new, found.duplicate, found.rejected) == (2, 0, 1)
        assert found.outcomes[1].reason.startswith("event ")
        assert list(log.feedback()["clicked"]) == [1]
        assert fates(log.record_events([event])) == ["rejected"]

    def test_bad_events_among_good_ones_change_nothing(self):
        @settings(max_examples=20, deadline=None)
        @given(deliveries(), st.randoms(use_true_random=False))
        def check(delivery, random):
            _, batches = delivery
            with closing(self.new_log()) as plain, closing(self.new_log()) as disturbed:
                for log in (plain, disturbed):
                    log.record_decision(a_decision("d1"))
                    log.record_decision(a_decision("d2", shopper="bob"))
                for batch in batches:
                    mixed = [(event, True) for event in batch]
                    for bad in (an_impression("b", "nobody"), an_impression("i0", at=-1.0)):
                        mixed.insert(random.randint(0, len(mixed)), (bad, False))
                    found = disturbed.record_events([event for event, _ in mixed])
                    expected = plain.record_events(batch)
                    good = [o for o, (_, fine) in zip(found.outcomes, mixed, strict=True) if fine]
                    assert tuple(good) == expected.outcomes
                    assert found.rejected == 2
                assert disturbed.feedback().equals(plain.feedback())

        check()

    def test_feedback_holds_the_decision_and_the_outcome(self, log):
        decision = log.record_decision(a_decision())
        log.record_events([an_impression(at=NOON + 0.25, place=3), a_click()])
        frame = log.feedback()
        (row,) = frame.to_dict("records")
        for name in FEEDBACK_COLUMNS[:10]:
            assert row[name] == getattr(decision, name)
        assert row["position"] == 3
        assert row["shown_at"] == pd.Timestamp(NOON + 0.25, unit="s", tz="UTC")
        assert (row["clicked"], row["converted"]) == (1, 0)

    @pytest.mark.parametrize("filled", [False, True])
    def test_feedback_has_the_documented_types(self, log, filled):
        if filled:
            log.record_decision(a_decision(digest=None, style_key="original"))
            log.record_events([an_impression()])
        frame = log.feedback()
        assert tuple(frame.columns) == FEEDBACK_COLUMNS
        assert len(frame) == int(filled)
        types = frame.dtypes.astype(str).to_dict()
        numbers = {
            "position": "int64",
            "clicked": "int64",
            "converted": "int64",
            "propensity": "float64",
            "shown_at": "datetime64[us, UTC]",
        }
        assert types == dict.fromkeys(FEEDBACK_COLUMNS, "object") | numbers
        if filled:
            assert frame["digest"][0] is None

    def test_feedback_of_one_test(self, log):
        log.record_decision(a_decision())
        log.record_decision(a_decision("d2", test="other"))
        log.record_events([an_impression(), an_impression("i2", "d2")])
        assert list(log.feedback("other")["decision_id"]) == ["d2"]
        assert sorted(log.feedback()["decision_id"]) == ["d1", "d2"]
        assert log.feedback("none").empty

    def test_clicks_and_conversions_count_once_however_many_came(self, log):
        log.record_decision(a_decision())
        events = [an_impression(), a_click("c1"), a_click("c2"), a_conversion(), a_conversion("b2")]
        log.record_events(events)
        frame = log.feedback()
        assert (len(frame), frame["clicked"][0], frame["converted"][0]) == (1, 1, 1)

    def test_a_click_may_come_before_its_impression(self, log):
        log.record_decision(a_decision())
        log.record_events([a_click()])
        assert log.feedback().empty
        log.record_events([an_impression()])
        assert list(log.feedback()["clicked"]) == [1]

    def test_a_click_with_another_decision_is_not_counted(self, log):
        log.record_decision(a_decision())
        log.record_decision(a_decision("d2", shopper="bob"))
        log.record_events([an_impression(), a_click(decision="d2")])
        assert list(log.feedback()["clicked"]) == [0]

    def test_numpy_numbers_are_numbers(self, log):
        log.record_decision(a_decision(propensity=np.float32(0.5), decided_at=np.float64(NOON)))
        event = an_impression(at=np.float64(NOON), place=np.int64(2))
        log.record_events([event])
        assert log.record_events([an_impression(place=2)]).duplicate == 1
        assert list(log.feedback()["propensity"]) == [0.5]

    def test_any_order_and_any_repetition_gives_the_same_feedback(self):
        @settings(max_examples=30, deadline=None)
        @given(deliveries())
        def check(delivery):
            events, batches = delivery
            with closing(self.new_log()) as log:
                log.record_decision(a_decision("d1"))
                log.record_decision(a_decision("d2", shopper="bob"))
                new = sum(log.record_events(batch).new for batch in batches)
                frame = log.feedback()
            assert new == len(events)
            found = frame[["decision_id", "clicked", "converted"]].itertuples(
                index=False, name=None
            )
            assert list(found) == [row[1:] for row in expected_outcomes(events)]

        check()

    def test_threads_that_send_the_same_count_it_once(self, log):
        log.record_decision(a_decision())
        events = [an_impression(f"i{n}", at=NOON + n) for n in range(60)]
        calls = [events[start : start + 20] for start in range(0, 60, 5)] * 4
        with ThreadPoolExecutor(8) as pool:
            accepted = list(pool.map(log.record_events, calls))
        assert sum(a.new for a in accepted) == 60
        assert sum(a.new + a.duplicate for a in accepted) == sum(map(len, calls))
        assert len(log.feedback()) == 60

    def test_threads_that_decide_the_same_agree(self, log):
        decisions = [a_decision(f"d{n}", digest=[RED, BLUE][n % 2]) for n in range(40)]
        with ThreadPoolExecutor(8) as pool:
            stored = set(pool.map(log.record_decision, decisions))
        assert len(stored) == 1
        assert log.change_count("hero", "ann", "mug") == 0

    def test_a_probe_leaves_nothing_behind(self, log):
        log.record_decision(a_decision())
        log.record_events([an_impression()])
        before = log.feedback()
        for _ in range(3):
            log.probe()
        assert log.feedback().equals(before)
        assert log.latest_decision("hero", "ann", "mug") == a_decision()

    def test_closing_twice_does_no_harm(self, log):
        log.close()
        log.close()
