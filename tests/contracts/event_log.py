"""What every EventLog must do; each adapter's tests inherit it and say how to make one."""

from __future__ import annotations

import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.domain.decision import Arms, Decision
from persona_img.domain.feedback import ATTRIBUTION_SECONDS, FEEDBACK_COLUMNS, Event, Showing
from persona_img.domain.people import MOST_NAMES, Link
from persona_img.errors import StoreConflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.serving.base import EventLog, Recorded

NOON = 1_760_000_000.0
RED, BLUE = "ab" * 32, "cd" * 32


def a_decision(**changes: object) -> Decision:
    """A decision for shopper ann and a mug, with fields changed as asked."""
    usual = Decision(
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


def a_showing(number: int = 1, **changes: object) -> Showing:
    """An answer with its own id, of a decision with fields changed as asked."""
    decision = a_decision(**changes)
    return Showing(f"{number:024x}", decision, decision.decided_at)


def an_event(
    kind: str, showing: Showing | int = 1, after: float = 0.0, name: str = "", **more: object
) -> Event:
    """Something that happens to a showing, so many seconds after its decision."""
    if isinstance(showing, int):
        showing = a_showing(showing)
    name = name or f"{kind}-{showing.showing_id[-6:]}"
    return Event(name, kind, showing, showing.decision.decided_at + after, **more)


def an_impression(showing: Showing | int = 1, after: float = 0.0, **more: object) -> Event:
    return an_event("impression", showing, after, **more)


def a_click(showing: Showing | int = 1, after: float = 5.0, **more: object) -> Event:
    return an_event("click", showing, after, **more)


def expected_outcomes(events: Sequence[Event]) -> list[tuple[str, int, int]]:
    """(showing, clicked, converted), by the definition and nothing else."""
    rows = []
    shown = {e.showing.showing_id: e for e in events if e.kind == "impression"}
    for i in sorted(shown.values(), key=lambda e: (e.occurred_at, e.showing.showing_id)):
        mine = {
            e.kind
            for e in events
            if e.showing == i.showing and 0 <= e.occurred_at - i.occurred_at <= ATTRIBUTION_SECONDS
        }
        rows.append((i.showing.showing_id, int("click" in mine), int("conversion" in mine)))
    return rows


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Event], list[list[Event]]]:
    """Events, and batches that deliver each at least once: in any order, some again and again."""
    kinds = st.sets(st.sampled_from(["impression", "click", "conversion", "dismiss"]))
    events = [
        an_event(kind, number, draw(st.sampled_from([0.0, 1.0, 2.0, ATTRIBUTION_SECONDS + 9.0])))
        for number in range(draw(st.integers(0, 6)))
        for kind in sorted(draw(kinds))
    ]
    again = draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    sent = draw(st.permutations(events + again))
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    ends = [0, *cuts, len(sent)]
    return events, [sent[a:b] for a, b in itertools.pairwise(ends)]


def fates(found: Recorded) -> list[str]:
    return [outcome.fate for outcome in found.outcomes]


def see(log: EventLog, *showings: Showing) -> None:
    """Impressions of these."""
    assert log.record_events([an_impression(one) for one in showings]).rejected == 0


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

    def test_a_decision_is_seen_once_an_impression_of_it_came(self, log):
        assert log.seen("hero", "ann", ["mug"]) == {}
        log.record_events([a_click()])
        assert log.seen("hero", "ann", ["mug"]) == {}
        see(log, a_showing())
        seen = log.seen("hero", "ann", ["mug"])["mug"]
        assert (seen.latest, seen.changes) == (a_decision(), 0)

    def test_what_was_seen_of_many_products_is_told_in_one_look(self, log):
        shown = [a_showing(n, product=f"p{n}") for n in range(50)]
        see(log, *shown, a_showing(98, product="p3", test="other"), a_showing(99, shopper="bob"))
        seen = log.seen("hero", "ann", [f"p{n}" for n in range(30, 80)])
        assert {p: one.latest for p, one in seen.items()} == {
            f"p{n}": shown[n].decision for n in range(30, 50)
        }
        for place in (("none", "ann", ["p1"]), ("hero", "eve", ["p1"]), ("hero", "ann", [])):
            assert log.seen(*place) == {}

    def test_changes_are_draws_of_another_plan_whatever_their_picture(self, log):
        steps = [
            ({"policy_version": "v1", "digest": RED}, 0),
            ({"policy_version": "v1~r1", "digest": BLUE}, 0),  # a revision is the same plan
            ({"policy_version": "v2", "digest": BLUE}, 1),
            ({"policy_version": "v2~withdrawn", "digest": None, "style_key": "original"}, 1),
            ({"policy_version": "v3", "digest": None, "style_key": "original"}, 2),
            ({"policy_version": "v1", "digest": RED}, 3),  # back is a change too
        ]
        for number, (decision, changes) in enumerate(steps):
            see(log, a_showing(number, decided_at=NOON + number, **decision))
            seen = log.seen("hero", "ann", ["mug"])["mug"]
            assert seen.latest == a_decision(decided_at=NOON + number, **decision)
            assert seen.changes == changes

    def test_the_latest_is_the_one_that_was_drawn_last_in_whatever_order_they_are_seen(self):
        shown = [
            a_showing(1),
            a_showing(2, policy_version="v2", digest=BLUE, decided_at=NOON + 5),
            # The photo in the place of a withdrawn picture: as old as its draw, and after it.
            a_showing(3, policy_version="v2~withdrawn", digest=None, decided_at=NOON + 5),
        ]
        for order in itertools.permutations(shown):
            with closing(self.new_log()) as log:
                for one in order:
                    see(log, one)
                seen = log.seen("hero", "ann", ["mug"])["mug"]
                assert (seen.latest, seen.changes) == (shown[2].decision, 1)

    def test_a_decision_that_is_answered_again_is_the_same(self, log):
        see(log, a_showing(1), a_showing(2), a_showing(3))
        assert log.seen("hero", "ann", ["mug"])["mug"].changes == 0
        assert len(log.feedback()) == 3

    def test_an_event_counts_once(self, log):
        events = [an_impression(), a_click()]
        first, again = log.record_events(events), log.record_events([*events, *events])
        assert (first.new, first.duplicate) == (2, 0)
        assert (again.new, again.duplicate) == (0, 4)
        assert len(log.feedback()) == 1

    def test_twice_in_one_call_counts_once(self, log):
        event = an_impression()
        accepted = log.record_events([event, event, an_impression()])
        assert (accepted.new, accepted.duplicate) == (1, 2)

    def test_no_events_are_no_matter(self, log):
        accepted = log.record_events([])
        assert (accepted.new, accepted.duplicate) == (0, 0)

    @pytest.mark.parametrize("kind", ["impression", "click", "conversion", "dismiss"])
    def test_a_showing_counts_once_for_each_kind(self, log, kind):
        first, other = (an_event(kind, 1, n, name=f"e{n}") for n in range(2))
        found = log.record_events([first, other, first])
        assert fates(found) == ["accepted", "rejected", "duplicate"]
        assert (found.outcomes[1].rule, found.outcomes[0].rule) == ("replayed", "")
        assert "'e0'" in found.outcomes[1].reason
        assert fates(log.record_events([other])) == ["rejected"]
        # Of another kind, or of another showing, it is another event, whatever it is called.
        others = [an_event(k, 1, name="e0") for k in ("impression", "click") if k != kind]
        assert log.record_events([*others, an_event(kind, 2, name="e0")]).rejected == 0

    @pytest.mark.parametrize(
        ("event", "named"),
        [
            (an_impression(2, after=float("nan")), "occurred_at"),
            (an_impression(2, after=-2 * NOON), "occurred_at"),
            (an_impression(2, after=NOON * 1000), "occurred_at"),
            (an_impression(2, received_at=float("inf")), "received_at"),
            (an_impression(2, skew=float("nan")), "skew"),
            (an_impression(2, position=2**31), "position"),
            (an_impression(2, position=1.5), "position"),
            (an_impression(2, position=float("nan")), "position"),
            (an_impression(2, name="i\x00"), "printed"),
            (an_impression(2, name="i\udfff"), "printed"),
            (an_impression(a_showing(2, propensity=0.0)), "propensity"),
            (an_impression(a_showing(2, propensity=-0.1)), "propensity"),
            (an_impression(a_showing(2, propensity=1.1)), "propensity"),
            (an_impression(a_showing(2, propensity=float("nan"))), "propensity"),
            (an_impression(a_showing(2, decided_at=float("inf"))), "occurred_at"),
            (an_impression(a_showing(2, shopper="a\x00b")), "printed"),
            (an_impression(a_showing(2, product="\ud800")), "printed"),
            (an_impression(a_showing(2, segment="a\nb")), "printed"),
        ],
    )
    def test_an_event_that_breaks_a_rule_holds_up_no_other(self, log, event, named):
        found = log.record_events([an_impression(), event, a_click()])
        assert fates(found) == ["accepted", "rejected", "accepted"]
        assert (found.new, found.duplicate, found.rejected) == (2, 0, 1)
        assert found.outcomes[1].reason.startswith("event ")
        assert named in found.outcomes[1].reason
        assert found.outcomes[1].rule == "unreadable"
        assert list(log.feedback()["clicked"]) == [1]
        assert fates(log.record_events([event])) == ["rejected"]

    def test_bad_events_among_good_ones_change_nothing(self):
        @settings(max_examples=20, deadline=None)
        @given(deliveries(), st.randoms(use_true_random=False))
        def check(delivery, random):
            _, batches = delivery
            with closing(self.new_log()) as plain, closing(self.new_log()) as disturbed:
                for batch in batches:
                    mixed = [(event, True) for event in batch]
                    for bad in (an_impression(7, position=2**31), an_impression(8, skew=1e999)):
                        mixed.insert(random.randint(0, len(mixed)), (bad, False))
                    found = disturbed.record_events([event for event, _ in mixed])
                    expected = plain.record_events(batch)
                    good = [o for o, (_, fine) in zip(found.outcomes, mixed, strict=True) if fine]
                    assert tuple(good) == expected.outcomes
                    assert found.rejected == 2
                assert disturbed.feedback().equals(plain.feedback())

        check()

    def test_feedback_holds_the_decision_and_the_outcome(self, log):
        log.record_events([an_impression(after=0.25, position=3), a_click()])
        frame = log.feedback()
        (row,) = frame.to_dict("records")
        for name in FEEDBACK_COLUMNS[1:10]:
            assert row[name] == getattr(a_decision(), name)
        assert row["decision_id"] == a_showing().showing_id
        assert row["position"] == 3
        assert row["shown_at"] == pd.Timestamp(NOON + 0.25, unit="s", tz="UTC")
        assert (row["clicked"], row["converted"]) == (1, 0)

    @pytest.mark.parametrize("filled", [False, True])
    def test_feedback_has_the_documented_types(self, log, filled):
        if filled:
            see(log, a_showing(digest=None, style_key="original"))
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
        see(log, a_showing(1), a_showing(2, test="other"))
        assert list(log.feedback("other")["test"]) == ["other"]
        assert sorted(log.feedback()["test"]) == ["hero", "other"]
        assert log.feedback("none").empty

    def test_a_click_may_come_before_its_impression(self, log):
        log.record_events([a_click()])
        assert log.feedback().empty
        log.record_events([an_impression()])
        assert list(log.feedback()["clicked"]) == [1]

    def test_a_click_of_another_showing_is_not_counted(self, log):
        log.record_events([an_impression(1), a_click(2)])
        assert list(log.feedback()["clicked"]) == [0]

    @pytest.mark.parametrize(
        ("after", "skew", "counted"),
        [
            (0.0, 0.0, 1),
            (ATTRIBUTION_SECONDS, 0.0, 1),
            (ATTRIBUTION_SECONDS + 1, 0.0, 0),
            (-1.0, 0.0, 0),
            (-1.0, 3.0, 1),  # it arrived first, and both senders' clocks say that it was later
            (5.0, -60.0, 1),  # sent by another machine, whose clock is behind
            (-1.0, -1.0, 0),
        ],
    )
    def test_a_click_counts_within_the_window_and_after_its_impression(
        self, log, after, skew, counted
    ):
        found = log.record_events([an_impression(), a_click(after=after, skew=skew)])
        assert found.new == 2  # stored, whether or not it counts
        assert list(log.feedback()["clicked"]) == [counted]

    def test_the_window_is_told_by_whoever_asks(self, log):
        log.record_events([an_impression(), a_click(after=100.0)])
        assert list(log.feedback(within=99.0)["clicked"]) == [0]
        assert list(log.feedback(within=100.0)["clicked"]) == [1]

    def test_every_kind_is_kept_and_only_clicks_and_conversions_are_outcomes(self, log):
        events = [
            an_impression(),
            an_event("conversion", 1, 60.0, value=12.5),
            an_event("dismiss", 1, 61.0),
            an_event("survey", 1, 62.0, rating=4),
        ]
        assert log.record_events(events).new == 4
        assert log.record_events(events).duplicate == 4
        frame = log.feedback()
        assert (len(frame), frame["clicked"][0], frame["converted"][0]) == (1, 0, 1)

    def test_numpy_numbers_are_numbers(self, log):
        showing = a_showing(propensity=np.float32(0.5), decided_at=np.float64(NOON))
        event = an_impression(showing, np.float64(1.0), position=np.int64(2))
        assert log.record_events([event]).new == 1
        assert log.record_events([event]).duplicate == 1
        assert list(log.feedback()["propensity"]) == [0.5]

    def test_no_name_of_before_is_known_where_there_were_none(self, log):
        assert log.earlier(["d1"]) == {}

    def test_any_order_and_any_repetition_gives_the_same_feedback(self):
        @settings(max_examples=30, deadline=None)
        @given(deliveries())
        def check(delivery):
            events, batches = delivery
            with closing(self.new_log()) as log:
                new = sum(log.record_events(batch).new for batch in batches)
                frame = log.feedback()
            assert new == len(events)
            found = frame[["decision_id", "clicked", "converted"]].itertuples(
                index=False, name=None
            )
            assert list(found) == expected_outcomes(events)

        check()

    def test_threads_that_send_the_same_count_it_once(self, log):
        events = [an_impression(n, n) for n in range(60)]
        calls = [events[start : start + 20] for start in range(0, 60, 5)] * 4
        with ThreadPoolExecutor(8) as pool:
            accepted = list(pool.map(log.record_events, calls))
        assert sum(a.new for a in accepted) == 60
        assert sum(a.new + a.duplicate for a in accepted) == sum(map(len, calls))
        assert len(log.feedback()) == 60

    def test_a_name_that_was_never_linked_is_nobodys(self, log):
        assert log.person("ann") is None
        assert log.link([], NOON) == ()

    def test_a_link_makes_two_names_one_person_for_good(self, log):
        see(log, a_showing(1, shopper="c1"))
        (first,) = log.link([Link("c1", "ann")], NOON)
        assert (first.fate, first.unit, first.reason) == ("linked", "c1", "")
        for name in ("c1", "ann"):
            person = log.person(name)
            assert (person.unit, person.login, person.names) == ("c1", "ann", ("ann", "c1"))
        (again,) = log.link([Link("c1", "ann")], NOON + 5)
        assert (again.fate, again.unit) == ("known", "c1")
        assert log.person("bob") is None

    @pytest.mark.parametrize(
        ("seen", "unit"),
        [
            ([], "c1"),
            (["c1"], "c1"),
            (["ann"], "ann"),
            (["ann", "c1"], "ann"),
            (["c1", "ann"], "c1"),
        ],
    )
    def test_the_unit_is_whoever_was_seen_first_before_the_link(self, log, seen, unit):
        for number, shopper in enumerate(seen):
            see(log, a_showing(number, shopper=shopper, decided_at=NOON + number))
        assert log.link([Link("c1", "ann")], NOON + 9)[0].unit == unit
        # What comes later moves nobody.
        see(log, a_showing(8, shopper="ann", decided_at=NOON - 9))
        see(log, a_showing(9, shopper="c1", decided_at=NOON - 99))
        assert {log.person(name).unit for name in ("c1", "ann")} == {unit}

    @pytest.mark.parametrize(
        ("seen", "unit"),
        [
            # Which name saw which test, in this order; hero runs, beside the holdout.
            ([("ann", "old"), ("c1", "hero")], "c1"),
            ([("ann", "old"), ("c1", "hero"), ("ann", "hero")], "c1"),
            ([("c1", "old"), ("ann", "hero")], "ann"),
            ([("c1", "old"), ("ann", "holdout"), ("c1", "hero")], "ann"),
            ([("ann", "old"), ("c1", "old")], "ann"),
            ([("c1", "old"), ("ann", "old")], "c1"),
        ],
    )
    def test_what_was_seen_in_the_running_test_decides_before_all_that_is_over(
        self, log, seen, unit
    ):
        for number, (shopper, test) in enumerate(seen):
            see(log, a_showing(number, shopper=shopper, test=test, decided_at=NOON + number))
        (found,) = log.link([Link("c1", "ann")], NOON + 9, tests={"hero", "holdout"})
        assert found.unit == unit

    def test_further_browsers_of_a_login_come_to_its_unit(self, log):
        see(log, a_showing(1, shopper="c2", decided_at=NOON - 99), a_showing(2, shopper="c1"))
        found = log.link([Link("c1", "ann"), Link("c2", "ann"), Link("c1", "ann")], NOON)
        assert [(one.fate, one.unit) for one in found] == [
            ("linked", "c1"), ("linked", "c1"), ("known", "c1"),
        ]  # fmt: skip
        assert log.person("c2").names == ("ann", "c1", "c2")

    def test_a_link_that_contradicts_another_is_refused_by_name(self, log):
        log.link([Link("c1", "ann")], NOON)
        for anonymous, login, named in (
            ("c1", "bob", "'c1' is linked to another login than 'bob'"),
            ("ann", "bob", "'ann' is a login"),
            ("c9", "c1", "'c1' is linked as an anonymous name"),
            ("c9", "c9", "'c9' cannot be linked to itself"),
            ("ann", "ann", "'ann' cannot be linked to itself"),
        ):
            first, refused = log.link([Link("c2", "eve"), Link(anonymous, login)], NOON)
            assert first.fate in ("linked", "known")
            assert (refused.fate, refused.unit) == ("refused", "")
            assert named in refused.reason
        assert log.person("bob") is None
        assert log.person("c9") is None
        assert log.person("c1").names == ("ann", "c1")

    def test_a_person_has_so_many_names(self, log):
        names = [f"c{n}" for n in range(MOST_NAMES)]
        found = log.link([Link(name, "ann") for name in names], NOON)
        assert [one.fate for one in found[-2:]] == ["linked", "refused"]
        assert f"{MOST_NAMES} names" in found[-1].reason
        assert len(log.person("ann").names) == MOST_NAMES

    def test_what_was_seen_under_any_name_is_seen_in_the_units_arm(self, log):
        see(
            log,
            a_showing(1, shopper="c1", decided_at=NOON),
            a_showing(2, shopper="ann", decided_at=NOON + 5, policy_version="v2", digest=BLUE),
            a_showing(3, shopper="ann", product="cup", arm="control"),
            a_showing(4, shopper="c1", product="pot"),
        )
        seen = log.seen("hero", "ann", ["mug", "cup", "pot"], others=["c1"], arm="personalized")
        assert {product: one.latest.digest for product, one in seen.items()} == {
            "mug": BLUE,
            "pot": RED,
        }
        assert seen["mug"].changes == 1

    def test_feedback_of_linked_names_is_one_shoppers_also_from_before(self, log):
        see(log, a_showing(1, shopper="c1"), a_showing(2, shopper="bob"))
        log.link([Link("c1", "ann")], NOON)
        see(log, a_showing(3, shopper="ann"), a_showing(4, shopper="c1"))
        log.record_events([a_click(a_showing(3, shopper="ann"))])
        frame = log.feedback()
        assert sorted(frame["shopper"]) == ["bob", "c1", "c1", "c1"]
        assert frame["clicked"].sum() == 1

    def test_links_survive_in_whatever_order_threads_tell_them(self, log):
        links = [Link(f"c{n}", f"login-{n % 7}") for n in range(70)]
        calls = [links[start : start + 10] for start in range(0, 70, 5)] * 3
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda some: log.link(some, NOON), calls))
        assert {one.fate for some in told for one in some} == {"linked", "known"}
        assert sum(one.fate == "linked" for some in told for one in some) == 70
        for n in range(7):
            person = log.person(f"login-{n}")
            assert len(person.names) == 11
            assert {log.person(name).unit for name in person.names} == {person.unit}

    def test_a_probe_leaves_nothing_behind(self, log):
        see(log, a_showing())
        before = log.feedback()
        for _ in range(3):
            log.probe()
        assert log.feedback().equals(before)
        assert log.seen("hero", "ann", ["mug"])["mug"].latest == a_decision()

    def test_closing_twice_does_no_harm(self, log):
        log.close()
        log.close()
