"""What a shopper sees for a product: a function of test, table, time and what was seen.

Nothing is written where it is decided. The answer carries its decision, its propensity and its time
in a signed token (:mod:`persona_img.serving.token`); the first impression that brings it back makes
the decision one that was *seen*. What is kept is the picture that was seen.

- Nothing seen yet: the shopper is drawn for, by a number that depends on test, policy version,
  shopper and product alone. Asked again under the same table, with the same approvals and the same
  knowledge of the shopper, the answer is the same, on every machine; under other ones it may be
  another, and its token says with which probability.
- A picture that was seen stays while its plan is served. A revision of a table shows the same
  pictures with other chances: whoever saw one of the plan or any revision of it keeps that; who
  has seen none is drawn for with the new chances.
- Another plan is drawn by while ``change_budget`` lasts, or once the picture was drawn
  ``keep_days`` ago; else the seen decision is answered again, with its policy version, propensity
  and time: its picture was chosen by that policy, with that probability.
- What was rolled back is not kept, whatever the budget: its shoppers are drawn for again. Back at
  an earlier table, its draw is back: the same one, counted as a change.
- Where a table turns chances to single shoppers, they are drawn for with their own, which are
  logged. What is known of a shopper may change between two decisions; the picture that was seen
  stays. Nothing known, or not in time, is the segment's chances.
- A name that was linked is decided for as the person's unit: arm, holdout, ramp and draw are the
  unit's, and what any of the names saw in the unit's arm is what the person saw. The profile is the
  login's. Decisions carry the name that was asked for.
- A holdout's shoppers are in no test: they see the photo with propensity 1, under the holdout's
  name, whichever test runs.
- A ramp gives another table to a part of the arm's shoppers, who are dealt by name: for them that
  is the table, for all others and for control the one that is served.
- A variant whose approval was withdrawn gives its probability to the original photo: whoever would
  have drawn it sees the original, whose propensity is the sum of both, and nobody else's picture
  moves. Giving it to the other candidates would need another draw, and with it another table. Who
  saw the variant, and would keep it, gets the original too, for certain: with propensity 1, under
  the policy version of the variant's draw with ``~withdrawn`` behind it, as old as that draw. Once
  *that* was seen it is kept, also if the variant is restored. A shopper's own chances do not tell
  whether a withdrawal had a part in them, so with such a table every draw from a slate with a
  withdrawn variant is noted with ``~partial``.

**Why the logged propensity is right.** An impression is of what was answered, with the propensity
that this answer had: the token holds both, whatever table, approval or budget says by the time it
comes back. So it is enough that an answer's propensity is the probability of its draw, given all
that was known when it was made. A draw's number is independent of all others. Whether there *is* a
draw depends on plans, on times and on which showings had an impression, and on nothing else:

- not on the number that would be drawn now: keeping the old picture *only where the draw differs
  from it* would log the new policy's propensity for pictures that were shown whatever it said;
- nor on any picture that was drawn before. A *change* is a draw by another plan that was seen,
  whether or not its picture is another: counting pictures that differ would use up the budget of
  those whose draw was another one, so that of the shoppers who keep a plan's decision too many had
  been shown something new, and impressions weighted by 1 / propensity would not give the truth. Nor
  is who lost a picture to a withdrawal drawn for by a plan that the others wait for.

So at every moment, among the impressions of a draw's plan, each picture has its logged chance, for
single impressions as for first ones, in every arm alike (control keeps its plan as the others do).
Rows with ``~withdrawn`` stand for draws of the picture that is gone: in a mean of weights they
count as rows, with no weight for the photo that they show for certain; of a picture that was
restored only later draws tell. Which of two seen decisions is the latest goes by when they were
drawn, never by when their impressions arrived: reordered events change nothing, and lost ones leave
the shopper as if that page had not been opened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from persona_img.domain.decision import Candidate, Decision, plan_of, uniform
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput, StoreConflict
from persona_img.serving.base import PARTIAL, WITHDRAWN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from persona_img.domain.decision import Arms, DecisionTable, Ramp, Slate
    from persona_img.domain.holdout import Holdout
    from persona_img.domain.leaning import Floats
    from persona_img.domain.people import Person
    from persona_img.serving.base import EventLog, Seen

CONTROL = "control"
_DAY = 86400.0
_NOTHING_ELSE = Candidate(ORIGINAL, digest=None, probability=1.0)


@dataclass(frozen=True, slots=True)
class _Whom:
    """Whom a decision is for: the name asked for, and who it is."""

    shopper: str
    unit: str
    person: Person | None

    @property
    def others(self) -> tuple[str, ...]:
        names = () if self.person is None else self.person.names
        return tuple(name for name in names if name != self.shopper)

    def profile(self, table: DecisionTable) -> str:
        return self.shopper if self.person is None else self.person.profile(table.segments)


@dataclass(frozen=True)
class _Serving:
    """A table and what may be shown while it is in use; replaced as one."""

    table: DecisionTable
    revoked: frozenset[str]
    ramp: Ramp | None

    @cached_property
    def pictures(self) -> frozenset[tuple[str, str]]:
        """Of all slates: only asked for where no store says what may be shown."""
        return frozenset(
            (product, candidate.digest)
            for one in (self.table, self.ramp.table if self.ramp else self.table)
            for (_, product), slate in one.slates.items()
            for candidate in slate.candidates
            if candidate.digest is not None
        )

    def table_of(self, test: str, arm: str, shopper: str) -> DecisionTable:
        """What a shopper is decided for by."""
        if self.ramp is None or arm == CONTROL or not self.ramp.includes(test, shopper):
            return self.table
        return self.ramp.table


class Decider:
    """Answers "what does this shopper see for this product"; writes nothing.

    Args:
        table: Slates in use; every variant in it passed the gate and was approved.
        arms: The A/B test.
        log: Knows what was seen.
        change_budget: By how many other plans a shopper may be drawn for, of one product, after the
            first that was seen, >= 0.
        keep_days: Beyond the budget a picture may still change when it was drawn so many days ago,
            >= 0; infinity never lets it.
        revoked: Plans that were rolled back: what they showed is not kept.
        ramp: Another table for a part of the shoppers.
        traits: What is known of a shopper at a moment (Unix seconds), float64 (D,) by the names
            given; None where nothing is, or not in time. Without it everybody is drawn for by the
            segment's chances.
        servable: Whether a variant (its digest) may be shown for a product at this moment: the
            variant store's word, asked at every decision. Without it, what the table holds may be
            shown.
        holdout: Who sees photos whatever is tested; None for nobody.

    Raises:
        InvalidInput: a negative budget or time; a holdout with the name of the test.
        StoreConflict: the log knows the test with other arms, or the holdout with another share.
    """

    def __init__(
        self,
        table: DecisionTable,
        arms: Arms,
        log: EventLog,
        *,
        change_budget: int = 2,
        keep_days: float = math.inf,
        revoked: Collection[str] = (),
        ramp: Ramp | None = None,
        traits: Callable[[str, Sequence[str], float], Floats | None] | None = None,
        servable: Callable[[str, str], bool] | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        if change_budget < 0:
            raise InvalidInput(f"change_budget {change_budget}; 0 never changes a picture")
        if not keep_days >= 0:
            raise InvalidInput(f"keep_days {keep_days}: days, 0 or more")
        if holdout is not None and holdout.name == arms.test:
            raise InvalidInput(f"holdout {holdout.name!r}: the test's name; give it one of its own")
        log.open_test(arms)
        if holdout is not None:
            log.open_test(holdout.arms)
        self.arms = arms
        self.holdout = holdout
        self.log = log
        self._budget = change_budget
        self._keep = keep_days * _DAY
        self._servable = servable
        self._traits = traits
        self._serving = _Serving(table, frozenset(revoked), ramp)

    @property
    def table(self) -> DecisionTable:
        """The table in use."""
        return self._serving.table

    def product_of(self, digest: str) -> str | None:
        """A product that a variant shows; None of one that is in no table in use."""
        serving = self._serving
        found = serving.table.product_of(digest)
        if found is None and serving.ramp is not None:
            found = serving.ramp.table.product_of(digest)
        return found

    @property
    def waits(self) -> bool:
        """Whether a decision may wait for what is known of a shopper."""
        serving = self._serving
        tables = (serving.table, serving.ramp.table if serving.ramp else serving.table)
        return self._traits is not None and any(one.personal is not None for one in tables)

    def replace(
        self, table: DecisionTable, revoked: Collection[str] = (), ramp: Ramp | None = None
    ) -> None:
        """Use another table from the next decision on; those under way finish with the old one.

        Args:
            table: As for the class.
            revoked: As for the class.
            ramp: As for the class.

        Raises:
            StoreConflict: another table has this policy_version.
        """
        used = self._serving.table
        if table.policy_version == used.policy_version and table != used:
            raise _version_reused(table.policy_version)
        self._serving = _Serving(table, frozenset(revoked), ramp)

    def decide(self, shopper: str, product: str, now: float) -> Decision:
        """The decision to show.

        The same log, table and arms give the same picture on every machine. Where nothing was
        prepared, and in ``control``, it is the original photo with propensity 1. One that is kept
        has the time of its draw.

        Args:
            shopper: Unit of randomisation.
            product: What is looked at.
            now: Unix seconds, UTC.

        Raises:
            InvalidInput: a name that is empty or not printable.
            StoreFailed: what was seen cannot be read, so nothing may be decided.
        """
        return self.decide_page(shopper, (product,), now)[0]

    def decide_page(self, shopper: str, products: Sequence[str], now: float) -> list[Decision]:
        """Decisions for several products, each as :meth:`decide` gives it, after one look.

        Args:
            shopper: As for :meth:`decide`.
            products: What is on the page.
            now: As for :meth:`decide`.

        Raises:
            InvalidInput: as for :meth:`decide`.
            StoreFailed: as for :meth:`decide`.
        """
        _check_name("shopper", shopper)
        for product in products:
            _check_name("product", product)
        serving = self._serving
        person = self.log.person(shopper)
        whom = _Whom(shopper, shopper if person is None else person.unit, person)
        test, arm = self._group(whom.unit)
        table = serving.table_of(test, arm, whom.unit)
        seen = self.log.seen(test, shopper, products, others=whom.others, arm=arm)
        return [
            self._kept(serving, table, whom, seen.get(product), now)
            or self._draw(serving, table, test, arm, whom, product, now)
            for product in products
        ]

    def _group(self, unit: str) -> tuple[str, str]:
        """The test that a shopper's impressions count for, and the arm."""
        if self.holdout is not None and self.holdout.includes(unit):
            return self.holdout.name, CONTROL
        return self.arms.test, self.arms.assign(unit)

    def _kept(
        self, serving: _Serving, table: DecisionTable, whom: _Whom, seen: Seen | None, now: float
    ) -> Decision | None:
        """What was seen, where it is kept; whether it is depends on no picture."""
        if seen is None:
            return None
        latest = seen.latest
        if latest.shopper != whom.shopper:
            latest = replace(latest, shopper=whom.shopper)
        plan = plan_of(latest.policy_version)
        if plan != table.plan:
            old = now - latest.decided_at >= self._keep
            if plan in serving.revoked or old or seen.changes < self._budget:
                return None
        if latest.digest is None or self._may_show(serving, latest.product, latest.digest):
            return latest
        version = latest.policy_version.removesuffix(PARTIAL) + WITHDRAWN
        return replace(
            latest, style_key=ORIGINAL.key, digest=None, propensity=1.0, policy_version=version
        )

    def _may_show(self, serving: _Serving, product: str, digest: str | None) -> bool:
        if digest is None:
            return True
        if self._servable is not None:
            return self._servable(digest, product)
        return (product, digest) in serving.pictures

    def _drawn(
        self, table: DecisionTable, segment: str, whom: _Whom, product: str, now: float
    ) -> tuple[Candidate | None, Slate | None]:
        """What is drawn; and the slate it is drawn from, where that is the shopper's own."""
        number = uniform(self.arms.test, table.policy_version, whom.unit, product)
        if table.personal is None:
            return table.draw(segment, product, number), None
        slate = table.slates.get((segment, product))
        if slate is None:
            return None, None
        if self._traits is not None:
            known = self._traits(whom.profile(table), table.personal.leaning.traits, now)
            if known is not None:
                slate = table.personal.slate(slate, segment, known)
        return slate.draw(number), slate

    def _draw(
        self,
        serving: _Serving,
        table: DecisionTable,
        test: str,
        arm: str,
        whom: _Whom,
        product: str,
        now: float,
    ) -> Decision:
        version = table.policy_version
        segment = table.segment(whom.profile(table))
        drawn, own = None, None
        if arm != CONTROL:
            drawn, own = self._drawn(table, segment, whom, product, now)
        if drawn is None:
            drawn = _NOTHING_ELSE
        else:
            if drawn.digest is None or not self._may_show(serving, product, drawn.digest):
                # Drawn first and mapped then: a withdrawal moves nobody else's picture.
                slate = own or table.slates[segment, product]
                chances = (
                    candidate.probability
                    for candidate in slate.candidates
                    if candidate.digest is None
                    or (candidate.style, candidate.digest) == (drawn.style, drawn.digest)
                    or not self._may_show(serving, product, candidate.digest)
                )
                drawn = Candidate(ORIGINAL, digest=None, probability=math.fsum(chances))
            if own is not None and not all(
                self._may_show(serving, product, c.digest) for c in own.candidates
            ):
                version += PARTIAL
        return Decision(
            test=test,
            shopper=whom.shopper,
            product=product,
            segment=segment,
            arm=arm,
            style_key=drawn.style.key,
            digest=drawn.digest,
            # A slate's probabilities sum to 1 within a tolerance only.
            propensity=min(1.0, drawn.probability),
            policy_version=version,
            decided_at=now,
        )


def _check_name(field: str, value: str) -> None:
    if not (value and value.isprintable()):
        raise InvalidInput(f"{field} {value!r}: give a name of printable characters")


def _version_reused(version: str) -> StoreConflict:
    return StoreConflict(
        f"policy_version {version!r} was used for another table; give every table its own"
    )
