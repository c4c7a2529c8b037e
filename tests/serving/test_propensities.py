"""Logged propensities are true whatever happens: shops that change all the time, and lose events.

Thousands of shoppers come and go over plans, revisions, a ramp, a rollback, withdrawals and
restorations, with budgets and keeping, under segments' and under their own chances; impressions are
lost, late and reordered. What the log says must weigh back to the truth, and be what whoever knows
every rule and nothing of the program expects.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from examples import SIGNER
from persona_img.domain.decision import Arms, Decision, DecisionTable, Ramp, plan_of, uniform
from persona_img.domain.leaning import Leaning, Personal
from persona_img.serving.base import WITHDRAWN
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.receive import Receiver, Sent

from .test_decide import DIGESTS, NOON, a_table, slate

ARMS = Arms("hero", {"control": 0.2, "personalized": 0.8})
DAY = 86400.0
RATES = {"original": 0.2, "light=l0": 0.5, "light=l1": 0.3}
LEANING = Leaning(("views",), (("light", "l0"),), {"all": (0.0,)}, (1.0,), ((0.7,), (-0.2,)))


@dataclass
class Now:
    """What is published on one day."""

    table: DecisionTable
    ramp: Ramp | None = None
    revoked: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


def days() -> list[Now]:
    """Twelve days of a shop that never rests."""
    v1 = a_table("v1", slate(0.3, 0.3, 0.4))
    v1r = v1.revised({("all", "mug"): slate(0.1, 0.6, 0.3)})
    v2 = replace(a_table("v2", slate(0.2, 0.2, 0.6)), personal=Personal(LEANING, 2.0, 0.05))
    v3 = a_table("v3", slate(0.5, 0.25, 0.25))
    v4 = a_table("v4", slate(0.15, 0.7, 0.15))
    l0 = frozenset({DIGESTS["light=l0"]})
    return [
        Now(v1),
        Now(v1r),
        Now(v1r, Ramp(v2, 0.3)),
        Now(v1r, Ramp(v2, 0.6)),
        Now(v2),
        Now(v2, gone=l0),
        Now(v2),
        Now(v3),
        Now(v2, revoked=frozenset({"v3"})),
        Now(v4, revoked=frozenset({"v3"}), gone=l0),
        Now(v4, revoked=frozenset({"v3"})),
        Now(v4, revoked=frozenset({"v3"})),
    ]


@dataclass
class Answered:
    """An answer on some day, whether its impression is lost, and whether it was clicked."""

    day: int
    decision: Decision
    lost: bool
    clicked: bool


@dataclass
class World:
    """A service and its shoppers; what was answered, seen, and logged."""

    decider: Decider
    receiver: Receiver
    log: MemoryEventLog
    views: np.ndarray
    answered: list[Answered]

    def rate(self, who: int, style: str) -> float:
        """How often a shopper clicks on a style: not alike, so that who is shown what matters."""
        return RATES[style] * (1.5 if self.views[who] > 0 else 0.5)


def lived(shoppers: int, budget: int, keep_days: float, seed: int) -> World:
    """Twelve days: everybody may come each day, twice; events come back when they will."""
    rng = np.random.default_rng(seed)
    views = rng.normal(size=shoppers)
    gone: set[str] = set()
    log, first = MemoryEventLog(), days()[0]
    decider = Decider(
        first.table,
        ARMS,
        log,
        change_budget=budget,
        keep_days=keep_days,
        traits=lambda shopper, _, now: np.array([views[int(shopper)]]),
        servable=lambda digest, _: digest not in gone,
    )
    world = World(decider, Receiver(log, SIGNER, "hero"), log, views, [])
    under_way: list[tuple[float, Sent]] = []
    for number, day in enumerate(days()):
        decider.replace(day.table, day.revoked, day.ramp)
        gone.clear()
        gone.update(day.gone)
        for visit in range(2):
            for who in np.flatnonzero(rng.random(shoppers) < 0.4):
                now = NOON + DAY * (number + 0.4 * visit) + float(rng.random()) * 1000
                decision = decider.decide(str(who), "mug", now)
                # Lost, at once, or days late: luck that knows nothing of the picture.
                lost = bool(rng.random() < 0.3)
                clicked = bool(rng.random() < world.rate(int(who), decision.style_key))
                world.answered.append(Answered(number, decision, lost, clicked))
                if lost:
                    continue
                token = SIGNER.sign(SIGNER.show(decision, now))
                late = float(rng.choice([1.0, 5.0, DAY, 3 * DAY]))
                under_way.append((now + late, Sent("impression", token, occurred_at=now)))
                if clicked:
                    after = float(rng.choice([0.5, 2.0, DAY]))
                    under_way.append((now + after, Sent("click", token, occurred_at=now + 0.5)))
            arrived = [one for one in under_way if one[0] <= NOON + DAY * (number + 0.4 * visit)]
            under_way = [one for one in under_way if one not in arrived]
            _deliver(world, arrived, rng)
    _deliver(world, under_way, rng)
    return world


def _deliver(world: World, events: list[tuple[float, Sent]], rng: np.random.Generator) -> None:
    """In any order, some of them twice."""
    if not events:
        return
    order = rng.permutation(len(events))
    now = max(at for at, _ in events)
    sent = [events[n][1] for n in [*order, *order[: len(order) // 5]]]
    found = world.receiver.record(dict(enumerate(sent)), now)
    assert found.rejected == 0
    assert found.new == len(events)


@pytest.fixture(scope="module", params=[(0, math.inf), (1, 4.0), (2, 14.0), (9, math.inf)])
def world(request: pytest.FixtureRequest) -> World:
    return lived(2500, *request.param, seed=11 + request.param[0])


def test_the_log_holds_what_was_seen(world: World) -> None:
    feedback = world.log.feedback()
    seen = [one for one in world.answered if not one.lost]
    assert len(feedback) == len(seen)
    assert feedback["clicked"].sum() == sum(one.clicked for one in seen)
    columns = ["shopper", "style_key", "policy_version", "propensity"]
    logged = sorted(feedback[columns].itertuples(index=False, name=None))
    assert logged == sorted(tuple(getattr(one.decision, c) for c in columns) for one in seen)


def _weigh(world: World, some: list[Answered], style: str) -> tuple[float, float, float]:
    """What 1 / propensity makes of rows: excess of weights and of clicks over the truth, in errors.

    A shopper's rows hang together, so errors are of shoppers' sums. Whose picture was withdrawn
    counts as a row, but was not drawn for what is shown.
    """
    weights: dict[str, list[float]] = {}
    clicks: dict[str, list[float]] = {}
    for one in some:
        decision = one.decision
        drawn = decision.style_key == style and not decision.policy_version.endswith(WITHDRAWN)
        weight = drawn / decision.propensity
        true = world.rate(int(decision.shopper), style)
        weights.setdefault(decision.shopper, []).append(weight - 1.0)
        clicks.setdefault(decision.shopper, []).append(weight * one.clicked - true)
    found = []
    for values in (weights, clicks):
        sums = np.array([sum(each) for each in values.values()])
        found.append(float(sums.sum() / (sums.std(ddof=1) * len(sums) ** 0.5)))
    return found[0], found[1], len(weights)


def _offered(world: World, style: str) -> list[Answered]:
    """Impressions of the arm whose draw might have been this style, which was shown ever since.

    Who lost it to a withdrawal keeps the photo when it is restored: only later draws tell of it.
    """
    without = {n for n, day in enumerate(days()) if DIGESTS.get(style) in day.gone}
    return [
        one
        for one in world.answered
        if not one.lost
        and one.decision.arm != "control"
        and without.isdisjoint(range(int((one.decision.decided_at - NOON) // DAY), one.day + 1))
    ]


@pytest.mark.parametrize("style", RATES)
def test_inverse_propensities_recover_each_styles_rate(world: World, style: str) -> None:
    """IPS over all impressions of the log, also those whose picture was kept for days."""
    weights, clicks, shoppers = _weigh(world, _offered(world, style), style)
    assert shoppers > 1000
    assert (abs(weights) < 4, abs(clicks) < 4) == (True, True), (weights, clicks)


@pytest.mark.parametrize("style", RATES)
def test_they_do_on_every_day_and_for_every_plan(world: World, style: str) -> None:
    looked = 0
    key = lambda one: (one.day, plan_of(one.decision.policy_version))  # noqa: E731
    for place, rows in itertools.groupby(sorted(_offered(world, style), key=key), key):
        some = list(rows)
        if len(some) > 300:
            weights, clicks, _ = _weigh(world, some, style)
            assert (abs(weights) < 4.5, abs(clicks) < 4.5) == (True, True), (place, weights, clicks)
            looked += 1
    assert looked >= 5


@dataclass
class Rules:
    """Every rule of serving, told once more, by whoever knows nothing of the program."""

    budget: int
    keep_days: float

    def shown(self, now: Now, seen: list[Decision], shopper: str, at: float) -> tuple[str, str]:
        """(style, policy version) for a shopper without traits."""
        arm = ARMS.assign(shopper)
        table = now.table
        if now.ramp and arm != "control" and now.ramp.includes("hero", shopper):
            table = now.ramp.table
        plan = table.policy_version.split("~")[0]
        if seen:
            last = seen[-1]
            plans = [d.policy_version.split("~")[0] for d in seen]
            changes = len(list(itertools.groupby(plans))) - 1
            keeps = plans[-1] == plan or (
                plans[-1] not in now.revoked
                and at - last.decided_at < self.keep_days * DAY
                and changes >= self.budget
            )
            if keeps and last.digest in now.gone:
                return "original", last.policy_version.replace("~partial", "") + "~withdrawn"
            if keeps:
                return last.style_key, last.policy_version
        version = table.policy_version
        if arm == "control":
            return "original", version
        luck, passed = uniform("hero", version, shopper, "mug"), 0.0
        for one in table.slates["all", "mug"].candidates:
            passed += one.probability
            if luck < passed:
                return ("original" if one.digest in now.gone else one.style.key), version
        raise AssertionError("chances sum to 1")


@pytest.mark.parametrize(("budget", "keep_days"), [(0, 3.0), (1, 5.0), (2, math.inf)])
@pytest.mark.parametrize("seed", range(4))
def test_each_answer_is_what_the_rules_say(budget: int, keep_days: float, seed: int) -> None:
    """Against brute force, with events that arrive in any order, or never."""
    rng = np.random.default_rng(seed)
    plain = [replace(day, table=replace(day.table, personal=None)) for day in days()]
    for day in plain:
        if day.ramp is not None:
            day.ramp = replace(day.ramp, table=replace(day.ramp.table, personal=None))
    log = MemoryEventLog()
    gone: set[str] = set()
    decider = Decider(
        plain[0].table,
        ARMS,
        log,
        change_budget=budget,
        keep_days=keep_days,
        servable=lambda digest, _: digest not in gone,
    )
    receiver, rules = Receiver(log, SIGNER, "hero"), Rules(budget, keep_days)
    seen: dict[str, list[Decision]] = {}
    waiting: list[Decision] = []
    for number in rng.permutation(len(plain)).tolist() + list(range(len(plain))):
        day = plain[number]
        decider.replace(day.table, day.revoked, day.ramp)
        gone.clear()
        gone.update(day.gone)
        at = NOON + DAY * float(rng.random()) * 20
        for who in map(str, rng.integers(0, 60, size=50)):
            at += 1.0
            decision = decider.decide(who, "mug", at)
            expected = rules.shown(day, seen.get(who, []), who, at)
            assert (decision.style_key, decision.policy_version) == expected
            if rng.random() < 0.8:
                waiting.append(decision)
            rng.shuffle(waiting)
            while waiting and rng.random() < 0.6:
                one = waiting.pop()
                token = SIGNER.sign(SIGNER.show(one, at))
                receiver.record({0: Sent("impression", token)}, at)
                known = seen.setdefault(one.shopper, [])
                if one not in known:
                    known.append(one)
                known.sort(key=lambda d: (d.decided_at, "withdrawn" in d.policy_version))
