from __future__ import annotations

import itertools
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from examples import watched
from persona_img.domain.decision import Arms, Candidate, Decision, DecisionTable, Ramp, Slate
from persona_img.domain.leaning import Leaning, Personal
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, StoreConflict
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog

NOON = 1_760_000_000.0
HALVES = Arms("hero", {"control": 0.5, "personalized": 0.5})
NEARLY_ALL = Arms("hero", {"control": 0.001, "personalized": 0.999})
STYLES = [Style(f"light=l{n}") for n in range(6)]
DIGESTS = {style.key: f"{n:064x}" for n, style in enumerate(STYLES, start=10)}


def slate(*shares: float) -> Slate:
    """The original with the first share, then styles l0, l1, ... with the others."""
    rest = (
        Candidate(style, DIGESTS[style.key], share)
        for style, share in zip(STYLES, shares[1:], strict=False)
    )
    return Slate((Candidate(ORIGINAL, None, shares[0]), *rest))


def a_table(version: str = "v1", mug: Slate | None = None) -> DecisionTable:
    return DecisionTable(version, {("all", "mug"): mug or slate(0.2, 0.5, 0.3)}, {}, "all")


@st.composite
def slates(draw: st.DrawFn) -> Slate:
    """The original and some of the styles, in any shares."""
    chosen = draw(st.lists(st.sampled_from(STYLES), unique=True, max_size=4))
    weights = [draw(st.integers(1, 20)) for _ in range(len(chosen) + 1)]
    shares = [weight / sum(weights) for weight in weights]
    return Slate(
        (
            Candidate(ORIGINAL, None, shares[0]),
            *(Candidate(s, DIGESTS[s.key], p) for s, p in zip(chosen, shares[1:], strict=True)),
        )
    )


def shopper_in(arm: str, arms: Arms = HALVES) -> str:
    return next(s for n in range(1000) if arms.assign(s := f"s{n}") == arm)


def seer_of(decider: Decider, key: str) -> str:
    """A shopper who saw this style."""
    names = map(str, range(999))
    shopper = next(s for s in names if decider.decide(s, "mug", NOON).style_key == key)
    assert watched(decider, shopper, "mug", NOON).style_key == key
    return shopper


def changes(decider: Decider, shopper: str) -> int:
    """How often the shopper was drawn for by another plan, and saw it."""
    return decider.log.seen("hero", shopper, ["mug"])["mug"].changes


def picture(decision: Decision) -> Decision:
    """All of a decision but when it was drawn."""
    return replace(decision, decided_at=0.0)


def test_control_sees_the_original_with_certainty():
    decision = Decider(a_table(), HALVES, MemoryEventLog()).decide(
        shopper_in("control"), "mug", NOON
    )
    assert (decision.arm, decision.style_key, decision.digest) == ("control", "original", None)
    assert decision.propensity == 1.0


def test_the_others_see_a_candidate_with_its_probability():
    decider = Decider(a_table(), HALVES, MemoryEventLog())
    decisions = [decider.decide(f"s{n}", "mug", NOON) for n in range(200)]
    candidates = {(c.style.key, c.digest, c.probability) for c in slate(0.2, 0.5, 0.3).candidates}
    shown = {(d.style_key, d.digest, d.propensity) for d in decisions if d.arm == "personalized"}
    assert shown == candidates


def test_with_nothing_prepared_it_is_the_original_with_certainty():
    decider = Decider(a_table(), HALVES, MemoryEventLog())
    decision = decider.decide(shopper_in("personalized"), "shoe", NOON)
    assert (decision.arm, decision.digest, decision.propensity) == ("personalized", None, 1.0)


def test_a_shopper_gets_the_slate_of_the_segment():
    table = DecisionTable(
        "v1",
        {("cooks", "mug"): slate(0.01, 0.99), ("all", "mug"): slate(1.0)},
        dict.fromkeys((f"s{n}" for n in range(0, 100, 2)), "cooks"),
        "all",
    )
    decider = Decider(table, NEARLY_ALL, MemoryEventLog())
    for n in range(100):
        decision = decider.decide(f"s{n}", "mug", NOON)
        assert decision.segment == ("all" if n % 2 else "cooks")
        assert decision.digest in ((None,) if n % 2 else (None, DIGESTS["light=l0"]))


def test_nothing_is_written_where_it_is_decided():
    log = MemoryEventLog()
    decision = Decider(a_table(), HALVES, log).decide("ann", "mug", NOON)
    assert (decision.decided_at, decision.policy_version, decision.test) == (NOON, "v1", "hero")
    assert log.seen("hero", "ann", ["mug"]) == {}
    assert log.feedback().empty


@given(st.text(min_size=1).filter(str.isprintable), st.lists(slates(), min_size=1, max_size=5))
def test_a_shopper_keeps_one_arm_and_propensities_are_positive(shopper, chosen):
    slots = {("all", f"p{n}"): one for n, one in enumerate(chosen)}
    decider = Decider(DecisionTable("v1", slots, {}, "all"), HALVES, MemoryEventLog())
    decisions = [decider.decide(shopper, f"p{n}", NOON) for n in range(len(chosen) + 1)]
    assert {d.arm for d in decisions} == {HALVES.assign(shopper)}
    assert all(0 < d.propensity <= 1 for d in decisions)


@given(st.text(min_size=1).filter(str.isprintable), slates())
def test_the_picture_stays_and_needs_no_memory_to_do_so(shopper, mug):
    decider = Decider(a_table("v1", mug), HALVES, MemoryEventLog())
    first = decider.decide(shopper, "mug", NOON)
    assert picture(decider.decide(shopper, "mug", NOON + 9)) == picture(first)
    other = Decider(a_table("v1", mug), HALVES, MemoryEventLog())
    assert other.decide(shopper, "mug", NOON) == first
    seen = watched(decider, shopper, "mug", NOON + 20)
    assert decider.decide(shopper, "mug", NOON + 30) == seen  # with the time of its draw


@given(st.lists(st.sampled_from(["mug", "shoe", "hat"]), max_size=6))
def test_a_page_is_its_products_one_by_one(page):
    mugs = {("all", name): slate(0.2, 0.5, 0.3) for name in ("mug", "shoe")}
    decider = Decider(DecisionTable("v1", mugs, {}, "all"), NEARLY_ALL, MemoryEventLog())
    watched(decider, "ann", "shoe", NOON - 5)
    alone = [decider.decide("ann", product, NOON) for product in page]
    assert decider.decide_page("ann", page, NOON) == alone


def test_a_page_is_one_look_at_what_was_seen():
    class Counting(MemoryEventLog):
        looks = 0

        def seen(self, *asked, **more):
            self.looks += 1
            return super().seen(*asked, **more)

    log = Counting()
    decisions = Decider(a_table(), HALVES, log).decide_page(
        "ann", [f"p{n}" for n in range(99)], 1.0
    )
    assert (len(decisions), log.looks) == (99, 1)


def test_probabilities_of_the_slate_are_kept():
    shares = (0.05, 0.5, 0.3, 0.15)
    decider = Decider(a_table("v1", slate(*shares)), NEARLY_ALL, MemoryEventLog())
    decisions = [decider.decide(f"s{n}", "mug", NOON) for n in range(6000)]
    counts = Counter(d.style_key for d in decisions if d.arm == "personalized")
    names = ["original", *(style.key for style in STYLES[:3])]
    total = sum(counts.values())
    seen = [counts[name] for name in names]
    assert chisquare(seen, [total * share for share in shares]).pvalue > 1e-3


def test_products_and_policies_are_drawn_independently():
    even = slate(0.5, 0.5)
    slots = {("all", "mug"): even, ("all", "shoe"): even}
    first = Decider(DecisionTable("v1", slots, {}, "all"), NEARLY_ALL, MemoryEventLog())
    second = Decider(DecisionTable("v2", slots, {}, "all"), NEARLY_ALL, MemoryEventLog())
    cells = Counter(
        (
            first.decide(f"s{n}", "mug", NOON).style_key,
            first.decide(f"s{n}", "shoe", NOON).style_key,
            second.decide(f"s{n}", "mug", NOON).style_key,
        )
        for n in range(4000)
    )
    assert len(cells) == 8
    assert chisquare(list(cells.values())).pvalue > 1e-3


@settings(max_examples=60)
@given(st.lists(slates(), min_size=1, max_size=7), st.integers(0, 3), st.text("abc", min_size=1))
def test_pictures_change_within_the_budget(chosen, budget, shopper):
    decider = Decider(
        a_table("v0"),
        NEARLY_ALL,
        MemoryEventLog(),
        change_budget=budget,
        servable=lambda digest, product: True,
    )
    shown = [watched(decider, shopper, "mug", NOON)]
    for number, mug in enumerate(chosen, start=1):
        decider.replace(a_table(f"v{number}", mug))
        shown += [watched(decider, shopper, "mug", NOON + number + again) for again in (0, 0.5)]
    differ = sum(a.digest != b.digest for a, b in itertools.pairwise(shown))
    assert differ <= changes(decider, shopper) == min(budget, len(chosen))


def test_a_draw_that_was_not_seen_costs_no_change():
    decider = Decider(a_table("v1"), NEARLY_ALL, MemoryEventLog(), change_budget=1)
    watched(decider, "ann", "mug", NOON)
    for number in range(2, 6):
        decider.replace(a_table(f"v{number}"))
        assert decider.decide("ann", "mug", NOON + number).policy_version == f"v{number}"
    assert changes(decider, "ann") == 0
    assert watched(decider, "ann", "mug", NOON + 9).policy_version == "v5"
    decider.replace(a_table("v6"))
    assert decider.decide("ann", "mug", NOON + 10).policy_version == "v5"


def test_what_is_kept_holds_each_picture_as_often_as_its_chance_says():
    """It fails where pictures that differ spend the budget.

    Those whose draw was another one keep the second plan, and of the photo, which most had before,
    there are half as many.
    """
    tables = [slate(0.8, 0.1, 0.1), slate(0.34, 0.33, 0.33), slate(0.1, 0.1, 0.8)]
    last = [d for d in decisions_over_tables(1, 3000, tables) if d.policy_version != "v0"][-2900:]
    for key in ("original", "light=l0", "light=l1"):
        weights = np.array([(d.style_key == key) / d.propensity for d in last])
        assert abs(weights.mean() - 1) < 4 * weights.std() / len(weights) ** 0.5, key


def test_whether_a_shopper_is_drawn_for_is_the_same_in_every_arm_and_for_every_picture():
    """By plans and times alone: else what is kept would hold too few of some pictures."""
    decider = Decider(a_table("first"), HALVES, MemoryEventLog(), change_budget=2, keep_days=14)
    names = [str(n) for n in range(120)]
    for number, day in enumerate((0, 1, 2, 3, 20, 21)):
        decider.replace(a_table(f"v{number}", slate(0.2, 0.1 * number + 0.1, 0.7 - 0.1 * number)))
        versions = {watched(decider, s, "mug", NOON + 86400 * day).policy_version for s in names}
        assert len(versions) == 1, day


def test_a_kept_picture_keeps_its_policy_and_propensity():
    decider = Decider(a_table("v1"), NEARLY_ALL, MemoryEventLog(), change_budget=0)
    before = {s: watched(decider, s, "mug", NOON) for s in map(str, range(50))}
    decider.replace(a_table("v2", slate(0.1, 0.1, 0.8)))
    for shopper, decision in before.items():
        assert decider.decide(shopper, "mug", NOON + 60) == decision


def decisions_over_tables(budget: int, shoppers: int, tables: list[Slate]) -> list[Decision]:
    """Every decision that was answered, of shoppers who come once under each table."""
    decider = Decider(a_table("v0", tables[0]), NEARLY_ALL, MemoryEventLog(), change_budget=budget)
    answered = []
    for number, mug in enumerate(tables):
        decider.replace(a_table(f"v{number}", mug))
        answered += [watched(decider, f"s{n}", "mug", NOON + number) for n in range(shoppers)]
    return [d for d in answered if d.arm == "personalized"]


def test_logged_propensities_are_true_under_every_policy():
    """Among the distinct decisions of a policy each style has the share that was logged for it.

    It fails if the draw decides who is logged under the new policy: then those whose draw
    happens to be the old picture come on top.
    """
    tables = [
        slate(0.2, 0.6, 0.2),
        slate(0.3, 0.2, 0.5),
        slate(0.1, 0.45, 0.45),
        slate(0.4, 0.3, 0.3),
    ]
    decisions = set(decisions_over_tables(2, 5000, tables))
    assert {d.policy_version for d in decisions} == {"v0", "v1", "v2"}
    for version, table in enumerate(tables):
        mine = Counter(d.style_key for d in decisions if d.policy_version == f"v{version}")
        expected = [c.probability * mine.total() for c in table.candidates]
        if mine.total() > 50:
            seen = [mine[c.style.key] for c in table.candidates]
            assert chisquare(seen, expected).pvalue > 1e-3, version


def test_inverse_propensities_recover_the_slate():
    # The estimator that evaluation rests on: mean of 1/propensity over a style is 1.
    decisions = decisions_over_tables(2, 8000, [slate(0.1, 0.3, 0.6)])
    for key in ("original", "light=l0", "light=l1"):
        weights = [1 / d.propensity if d.style_key == key else 0.0 for d in decisions]
        mean = math.fsum(weights) / len(weights)
        spread = math.sqrt(math.fsum((w - mean) ** 2 for w in weights)) / len(weights)
        assert abs(mean - 1) < 4 * spread


def test_a_withdrawn_picture_gives_way_beyond_the_budget():
    decider = Decider(
        a_table("v1", slate(0.001, 0.999)), NEARLY_ALL, MemoryEventLog(), change_budget=0
    )
    shopper = seer_of(decider, "light=l0")
    decider.replace(a_table("v2", slate(1.0)))
    decision = decider.decide(shopper, "mug", NOON)
    # The photo, and no draw of the plan that all others wait for.
    assert (decision.digest, decision.propensity) == (None, 1.0)
    assert decision.policy_version == "v1~withdrawn"


def test_a_picture_that_is_still_approved_may_stay():
    approved = {DIGESTS["light=l0"]}
    decider = Decider(
        a_table("v1", slate(0.001, 0.999)),
        NEARLY_ALL,
        MemoryEventLog(),
        change_budget=0,
        servable=lambda digest, product: digest in approved,
    )
    shopper = seer_of(decider, "light=l0")
    decider.replace(a_table("v2", slate(1.0)))
    assert decider.decide(shopper, "mug", NOON).digest == DIGESTS["light=l0"]
    approved.clear()
    assert decider.decide(shopper, "mug", NOON).digest is None


def test_back_at_an_earlier_table_its_draw_is_back():
    decider = Decider(a_table("v1"), NEARLY_ALL, MemoryEventLog())
    first = [watched(decider, str(n), "mug", NOON) for n in range(50)]
    decider.replace(a_table("v2", slate(0.2, 0.3, 0.5)))
    second = [watched(decider, str(n), "mug", NOON + 1) for n in range(50)]
    decider.replace(a_table("v1"))
    third = [watched(decider, str(n), "mug", NOON + 2) for n in range(50)]
    assert list(map(picture, second)) != list(map(picture, first))
    assert list(map(picture, third)) == list(map(picture, first))
    assert {changes(decider, str(n)) for n in range(50)} == {2}


def answered(decider: Decider, days: float, shoppers: int = 60) -> list[Decision]:
    """What shoppers see who come back after so many days."""
    return [watched(decider, str(n), "mug", NOON + 86400 * days) for n in range(shoppers)]


def test_a_fourth_table_reaches_every_shopper_who_kept_a_picture_long_enough():
    decider = Decider(
        a_table("v1", slate(1.0)),
        NEARLY_ALL,
        MemoryEventLog(),
        keep_days=14,
        servable=lambda digest, product: True,
    )
    answered(decider, 0)
    for day, mug in enumerate((slate(1e-9, 1 - 1e-9), slate(1e-9, 1e-9, 1 - 2e-9)), start=1):
        decider.replace(a_table(f"v{day + 1}", mug))
        answered(decider, day)  # each time another picture for all: the budget is spent
    decider.replace(a_table("v4", slate(0.2, 0.3, 0.5)))
    assert "v4" not in {d.policy_version for d in answered(decider, 10) if d.arm != "control"}
    late = answered(decider, 30)
    assert {d.policy_version for d in late} == {"v4"}
    assert answered(decider, 31) == late


def test_a_rollback_reaches_every_shopper_whatever_the_budget():
    decider = Decider(a_table("v1"), NEARLY_ALL, MemoryEventLog(), change_budget=1)
    first = answered(decider, 0)
    decider.replace(a_table("v2", slate(0.1, 0.2, 0.7)))
    second = answered(decider, 1)
    assert {d.policy_version for d in second} == {"v2"}
    decider.replace(a_table("v1"))
    assert answered(decider, 2) == second  # they were drawn for once
    decider.replace(a_table("v1"), revoked={"v2"})
    assert list(map(picture, answered(decider, 3))) == list(map(picture, first))


def test_a_rollback_keeps_what_it_does_not_concern_and_draws_truly_for_the_rest():
    decider = Decider(a_table("v1"), NEARLY_ALL, MemoryEventLog(), change_budget=0)
    first = answered(decider, 0)
    decider.replace(a_table("v2", slate(0.1, 0.2, 0.7)))
    new = [watched(decider, f"new{n}", "mug", NOON) for n in range(4000)]
    decider.replace(a_table("v3", slate(0.5, 0.25, 0.25)), revoked={"v2"})
    assert answered(decider, 1) == first
    again = [decider.decide(d.shopper, "mug", NOON + 5) for d in new]
    assert {d.policy_version for d in again} == {"v3"}
    shown = Counter(d.style_key for d in again if d.arm == "personalized")
    expected = {"original": 0.5, "light=l0": 0.25, "light=l1": 0.25}
    chances = [expected[key] * shown.total() for key in expected]
    assert chisquare([shown[key] for key in expected], chances).pvalue > 1e-3


SHARES = st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3)


@settings(max_examples=30, deadline=None)
@given(st.lists(SHARES, min_size=1, max_size=4))
def test_within_a_plan_a_picture_stays_and_who_comes_new_is_drawn_with_the_new_chances(revisions):
    table = a_table("v1", slate(0.4, 0.3, 0.3))
    decider = Decider(table, NEARLY_ALL, MemoryEventLog(), keep_days=0)
    first = answered(decider, 0)
    for number, weights in enumerate(revisions, start=1):
        chances = [weight / sum(weights) for weight in weights]
        table = table.revised({("all", "mug"): slate(*chances)})
        decider.replace(table)
        assert answered(decider, number) == first
        new = [decider.decide(f"{number} {n}", "mug", NOON) for n in range(20)]
        for one in new:
            if one.arm != "control":
                assert one.policy_version == f"v1~r{number}"
                offered = table.slates["all", "mug"].candidates
                known = {c.style.key: c.probability for c in offered}
                assert one.propensity == known[one.style_key]


def test_over_revisions_the_logged_chances_weigh_back_to_the_truth():
    """IPS of "always l0" over a log of four revisions: its own rate, within its error."""
    rng = np.random.default_rng(5)
    rate = {"original": 0.1, "light=l0": 0.3, "light=l1": 0.05}
    table = a_table("v1", slate(0.6, 0.2, 0.2))
    decider = Decider(table, NEARLY_ALL, MemoryEventLog())
    parts = []
    for number, chances in enumerate([(0.6, 0.2, 0.2), (0.2, 0.7, 0.1), (0.05, 0.9, 0.05)]):
        if number:
            table = table.revised({("all", "mug"): slate(*chances)})
            decider.replace(table)
        # Half are new, half come back and keep what they have.
        for one in (watched(decider, str(n), "mug", NOON) for n in range((number + 2) * 1500)):
            if one.arm != "control":
                hit = rng.random() < rate[one.style_key]
                parts.append(hit * (one.style_key == "light=l0") / one.propensity)
    error = np.std(parts) / len(parts) ** 0.5 * 1.8  # who comes back counts three times
    assert np.mean(parts) == pytest.approx(0.3, abs=4 * error)


def test_a_ramp_gives_its_table_to_its_share_of_the_arm_and_to_nobody_else():
    ramp = Ramp(a_table("v2", slate(0.1, 0.9)), 0.3)
    decider = Decider(a_table("v1", slate(0.2, 0.1, 0.7)), HALVES, MemoryEventLog(), ramp=ramp)
    decisions = [decider.decide(str(n), "mug", NOON) for n in range(4000)]
    for one in decisions:
        member = one.arm != "control" and ramp.includes("hero", one.shopper)
        assert one.policy_version == ("v2" if member else "v1")
    arm = [d for d in decisions if d.arm != "control"]
    dealt = sum(d.policy_version == "v2" for d in arm)
    assert chisquare([dealt, len(arm) - dealt], [0.3 * len(arm), 0.7 * len(arm)]).pvalue > 1e-3
    of_ramp = Counter(d.style_key for d in arm if d.policy_version == "v2")
    seen = [of_ramp["original"], of_ramp["light=l0"]]
    assert chisquare(seen, [0.1 * dealt, 0.9 * dealt]).pvalue > 1e-3


def test_a_wider_ramp_keeps_everybody_it_had_and_their_pictures():
    table, other = a_table("v1"), a_table("v2", slate(0.1, 0.2, 0.7))
    decider = Decider(table, NEARLY_ALL, MemoryEventLog(), ramp=Ramp(other, 0.1))
    narrow = {d.shopper: d for d in answered(decider, 0, 300) if d.policy_version == "v2"}
    decider.replace(table, ramp=Ramp(other, 0.5))
    wide = {d.shopper: d for d in answered(decider, 1, 300) if d.policy_version == "v2"}
    assert narrow.items() < wide.items()
    decider.replace(other)
    everybody = {d.shopper: d for d in answered(decider, 2, 300)}
    assert wide.items() < everybody.items()


def test_who_saw_a_ramp_that_was_halted_gets_what_is_served():
    decider = Decider(
        a_table("v1"), NEARLY_ALL, MemoryEventLog(), change_budget=0,
        ramp=Ramp(a_table("v2", slate(0.1, 0.2, 0.7)), 0.5))  # fmt: skip
    assert {d.policy_version for d in answered(decider, 0)} == {"v1", "v2"}
    decider.replace(a_table("v1"), revoked={"v2"})
    assert {d.policy_version for d in answered(decider, 1)} == {"v1"}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
def test_a_ramp_is_of_a_part(share):
    with pytest.raises(InvalidInput, match="share"):
        Ramp(a_table(), share)


def test_a_policy_version_names_one_table():
    decider = Decider(a_table("v1"), HALVES, MemoryEventLog())
    decider.replace(a_table("v1"))
    with pytest.raises(StoreConflict, match="'v1'"):
        decider.replace(a_table("v1", slate(1.0)))
    assert decider.table == a_table("v1")


def test_a_withdrawn_picture_gives_way_to_the_original_at_once():
    approved = set(DIGESTS.values())
    decider = Decider(
        a_table(),
        NEARLY_ALL,
        MemoryEventLog(),
        change_budget=9,
        servable=lambda digest, product: digest in approved,
    )
    red, blue = seer_of(decider, "light=l0"), seer_of(decider, "light=l1")
    before, kept = (decider.decide(s, "mug", NOON) for s in (red, blue))
    approved.remove(DIGESTS["light=l0"])
    after = decider.decide(red, "mug", NOON + 1)
    assert (after.digest, after.style_key, after.propensity) == (None, "original", 1.0)
    assert (after.policy_version, after.decided_at) == ("v1~withdrawn", before.decided_at)
    approved.add(DIGESTS["light=l0"])
    assert decider.decide(red, "mug", NOON + 2) == before  # nobody saw the photo
    approved.remove(DIGESTS["light=l0"])
    assert watched(decider, red, "mug", NOON + 3) == after
    approved.add(DIGESTS["light=l0"])
    assert decider.decide(red, "mug", NOON + 4) == after  # it does not flicker back
    assert decider.decide(blue, "mug", NOON + 5) == kept
    assert changes(decider, red) == 0


def test_the_original_takes_over_the_probability_of_what_was_withdrawn():
    gone = {DIGESTS["light=l0"], DIGESTS["light=l2"]}
    decider = Decider(
        a_table("v1", slate(0.1, 0.3, 0.4, 0.2)),
        NEARLY_ALL,
        MemoryEventLog(),
        servable=lambda digest, product: digest not in gone,
    )
    decisions = [decider.decide(f"s{n}", "mug", NOON) for n in range(4000)]
    decisions = [d for d in decisions if d.arm == "personalized"]
    shown = sorted({(d.style_key, round(d.propensity, 9)) for d in decisions})
    assert shown == [("light=l1", 0.4), ("original", 0.6)]
    counts = Counter(d.style_key for d in decisions)
    expected = [0.6 * counts.total(), 0.4 * counts.total()]
    assert chisquare([counts["original"], counts["light=l1"]], expected).pvalue > 1e-3


def test_a_picture_that_is_restored_in_the_middle_of_a_draw_is_counted_once():
    """Gone when it is drawn, back when the slate is gone through: its chance is still in it."""
    for n in range(200):
        answers = iter([False, *[True] * 9])
        decider = Decider(
            a_table("v1", slate(0.1, 0.9)),
            NEARLY_ALL,
            MemoryEventLog(),
            servable=lambda digest, product, answers=answers: next(answers),
        )
        decision = decider.decide(f"s{n}", "mug", NOON)
        assert (decision.digest, decision.propensity) == (None, 1.0)


def test_a_picture_of_an_earlier_run_that_is_gone_is_never_answered():
    log = MemoryEventLog()
    shopper = seer_of(Decider(a_table("v1", slate(0.001, 0.999)), NEARLY_ALL, log), "light=l0")
    later = Decider(a_table("v1", slate(1.0)), NEARLY_ALL, log)
    assert later.decide(shopper, "mug", NOON).digest is None


def test_propensities_stay_within_one_though_sums_have_a_tolerance():
    barely = Slate((Candidate(ORIGINAL, None, 1 + 5e-10),))
    decision = Decider(a_table("v1", barely), NEARLY_ALL, MemoryEventLog()).decide(
        "s1", "mug", NOON
    )
    assert decision.propensity == 1.0


def test_arms_cannot_change_under_a_running_test():
    log = MemoryEventLog()
    Decider(a_table(), HALVES, log)
    with pytest.raises(StoreConflict, match="hero"):
        Decider(a_table(), NEARLY_ALL, log)


def test_a_negative_budget_is_refused():
    with pytest.raises(InvalidInput, match="-1"):
        Decider(a_table(), HALVES, MemoryEventLog(), change_budget=-1)


@pytest.mark.parametrize("place", [("", "mug"), ("a\x1fb", "mug"), ("ann", ""), ("ann", "\ud800")])
def test_names_that_cannot_be_logged_are_refused(place):
    with pytest.raises(InvalidInput, match="printable"):
        Decider(a_table(), HALVES, MemoryEventLog()).decide(*place, NOON)


def test_a_table_is_swapped_whole_under_traffic():
    tables = {
        f"v{n}": a_table(
            f"v{n}",
            Slate((Candidate(ORIGINAL, None, 0.001), Candidate(style, DIGESTS[style.key], 0.999))),
        )
        for n, style in enumerate(STYLES[:4])
    }
    decider = Decider(tables["v0"], NEARLY_ALL, MemoryEventLog())
    with ThreadPoolExecutor(4) as pool:
        calls = []
        for n in range(2000):
            if n % 100 == 0:
                decider.replace(tables[f"v{n // 100 % 4}"])
            calls.append(pool.submit(decider.decide, f"s{n}", "mug", NOON))
        decisions = [call.result() for call in calls]
    assert len({d.policy_version for d in decisions}) > 1
    for decision in decisions:
        candidates = tables[decision.policy_version].slates["all", "mug"].candidates
        assert decision.digest in {c.digest for c in candidates}


def test_one_shopper_asking_many_times_at_once_gets_one_decision():
    decider = Decider(a_table(), NEARLY_ALL, MemoryEventLog())
    with ThreadPoolExecutor(8) as pool:
        decisions = pool.map(lambda n: decider.decide("ann", "mug", NOON + n), range(200))
    assert len(set(map(picture, decisions))) == 1


KEEN = Leaning(("views",), (("light", "l0"),), {"all": (0.0,)}, (1.0,), ((1.0,), (0.0,)))


def a_personal_table(version: str = "v1") -> DecisionTable:
    return replace(a_table(version), personal=Personal(KEEN, 2.0, 0.02))


def test_a_shopper_is_drawn_for_with_the_own_chances_and_these_are_logged():
    known = {"keen": np.array([1.5])}
    decider = Decider(
        a_personal_table(),
        NEARLY_ALL,
        MemoryEventLog(),
        traits=lambda s, _, now: known.get(s[:4]),
    )
    keen = [decider.decide(f"keen{n}", "mug", NOON) for n in range(400)]
    others = [decider.decide(f"some{n}", "mug", NOON) for n in range(400)]
    own = a_personal_table().personal.slate(slate(0.2, 0.5, 0.3), "all", known["keen"])
    expected = {c.style.key: c.probability for c in own.candidates}
    for decisions, chances in ((keen, expected), (others, {"light=l0": 0.5})):
        shown = [d for d in decisions if d.arm != "control"]
        share = np.mean([d.style_key == "light=l0" for d in shown])
        assert share == pytest.approx(chances["light=l0"], abs=0.08)
    assert {(d.style_key, round(d.propensity, 12)) for d in keen if d.arm != "control"} <= {
        (key, round(p, 12)) for key, p in expected.items()
    }


def test_a_picture_stays_when_what_is_known_of_the_shopper_changes():
    known = {"views": 0.0}
    decider = Decider(
        a_personal_table(),
        NEARLY_ALL,
        MemoryEventLog(),
        traits=lambda *_: np.array([known["views"]]),
    )
    before = [watched(decider, f"s{n}", "mug", NOON) for n in range(100)]
    known["views"] = 3.0
    assert [decider.decide(f"s{n}", "mug", NOON + 5) for n in range(100)] == before


def test_own_chances_of_a_slate_that_lost_a_variant_are_noted_and_the_photo_is_kept():
    gone: set[str] = set()
    decider = Decider(
        a_personal_table(),
        NEARLY_ALL,
        MemoryEventLog(),
        traits=lambda *_: np.array([0.5]),
        servable=lambda digest, _: digest not in gone,
    )
    had = seer_of(decider, "light=l0")
    gone.add(DIGESTS["light=l0"])
    now = watched(decider, had, "mug", NOON + 5)
    assert (now.style_key, now.propensity, now.policy_version) == ("original", 1.0, "v1~withdrawn")
    fresh = [watched(decider, f"new{n}", "mug", NOON + 5) for n in range(60)]
    fresh = [d for d in fresh if d.arm != "control"]
    assert {d.policy_version for d in fresh} == {"v1~partial"}
    assert "light=l0" not in {d.style_key for d in fresh}
    # The other one goes too: who drew it from the partial slate gets the photo, for certain.
    other = next(d for d in fresh if d.style_key == "light=l1")
    gone.add(DIGESTS["light=l1"])
    last = decider.decide(other.shopper, "mug", NOON + 6)
    assert (last.style_key, last.policy_version) == ("original", "v1~withdrawn")


def test_logged_own_chances_weigh_the_log_right():
    """The mean weight of any target is 1 where the logged propensities are true."""
    rng = np.random.default_rng(5)
    views = {f"s{n}": rng.normal() for n in range(4000)}
    decider = Decider(
        a_personal_table(),
        NEARLY_ALL,
        MemoryEventLog(),
        traits=lambda s, *_: np.array([views[s]]),
    )
    made = [decider.decide(s, "mug", NOON) for s in views]
    made = [d for d in made if d.arm != "control"]
    for key in ("original", "light=l0", "light=l1"):
        weights = np.array([(d.style_key == key) / d.propensity for d in made])
        error = weights.std(ddof=1) / len(weights) ** 0.5
        assert abs(weights.mean() - 1.0) < 4 * error


def test_who_kept_a_withdrawn_picture_sees_the_photo_for_certain_across_revisions():
    gone: set[str] = set()
    decider = Decider(
        a_table(), NEARLY_ALL, MemoryEventLog(), servable=lambda digest, _: digest not in gone
    )
    keepers = [
        s for s in map(str, range(200)) if watched(decider, s, "mug", NOON).style_key == "light=l0"
    ]
    decider.replace(a_table().revised({("all", "mug"): slate(0.05, 0.15, 0.8)}))
    gone.add(DIGESTS["light=l0"])
    for shopper in keepers:
        now = decider.decide(shopper, "mug", NOON + 5)
        assert (now.style_key, now.propensity) == ("original", 1.0)
        assert now.policy_version == "v1~withdrawn"
