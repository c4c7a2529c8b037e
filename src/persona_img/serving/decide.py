"""What a shopper sees for a product: drawn once, kept, and changed only within a budget.

What is logged stays true when the table changes:

- Whether a shopper may get another picture depends on log and time, never on the draw. If so,
  the new table's slate is drawn from, and the logged propensity is that slate's probability.
- If not, nothing is drawn. The old decision is answered again, with its own decision_id, policy
  version and propensity: its picture was chosen by that policy, with that probability.
- A revision of a table shows the same pictures with other chances. Whoever was drawn for by the
  plan or any revision of it keeps that picture; who comes new is drawn for with the new chances.
- Where a table turns chances to single shoppers, they are drawn for with their own, which are
  logged. What is known of a shopper may change between two decisions; the picture that was drawn
  stays. Nothing known, or not in time, is the segment's chances.
- A ramp gives another table to a part of the arm's shoppers, who are dealt by name: for them that
  is the table, for all others and for control the one that is served.
- Back at an earlier table, its decision is answered again: the same draw, counted as a change.
- What a table showed that was rolled back is not kept, whatever the budget: its shoppers are drawn
  for again, like everybody whose picture has been kept long enough.
- A variant whose approval was withdrawn gives its probability to the original photo: whoever would
  have drawn it sees the original, whose logged propensity is the sum of both, and nobody else's
  picture moves. Giving it to the other candidates would need another draw, and with it another
  table. Who has the variant already gets the original too, for certain: logged with propensity 1
  under the policy version with ``~withdrawn`` behind it, and kept if the variant is restored. A
  shopper's own chances do not tell whether a withdrawal had a part in them, so with such a table
  every draw from a slate with a withdrawn variant is noted with ``~partial``.

Keeping the old picture *only where the draw differs from it* would log the new policy's
propensity for pictures that were shown whatever it said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.domain.decision import Candidate, Decision, plan_of, uniform
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput, StoreConflict
from persona_img.serving.base import PARTIAL, WITHDRAWN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from persona_img.domain.decision import Arms, DecisionTable, Ramp, Slate
    from persona_img.domain.leaning import Floats
    from persona_img.serving.base import EventLog
    from persona_img.serving.key import DecisionKey

CONTROL = "control"
_DAY = 86400.0
_NOTHING_ELSE = Candidate(ORIGINAL, digest=None, probability=1.0)


@dataclass(frozen=True)
class _Serving:
    """A table and what may be shown while it is in use; replaced as one."""

    table: DecisionTable
    pictures: frozenset[tuple[str, str]]
    revoked: frozenset[str]
    ramp: Ramp | None

    @classmethod
    def of(cls, table: DecisionTable, revoked: Collection[str], ramp: Ramp | None) -> _Serving:
        pictures = (
            (product, candidate.digest)
            for one in (table, ramp.table if ramp else table)
            for (_, product), slate in one.slates.items()
            for candidate in slate.candidates
            if candidate.digest is not None
        )
        return cls(table, frozenset(pictures), frozenset(revoked), ramp)

    def table_of(self, arms: Arms, shopper: str) -> DecisionTable:
        """What a shopper is decided for by."""
        if self.ramp is None or not self.ramp.includes(arms.test, shopper):
            return self.table
        return self.table if arms.assign(shopper) == CONTROL else self.ramp.table


class Decider:
    """Answers "what does this shopper see for this product", and logs it first.

    Args:
        table: Slates in use; every variant in it passed the gate and was approved.
        arms: The A/B test.
        log: Holds every decision before it is answered.
        key: Names the decisions; whoever has it not can name none, and so send no event.
        change_budget: How often the picture of one shopper and product may change, >= 0. A
            picture that may no longer be shown is changed beyond the budget too.
        keep_days: Beyond the budget a picture may still change when it was decided on so many days
            ago, >= 0; infinity never lets it.
        revoked: Plans that were rolled back: what they showed is not kept.
        ramp: Another table for a part of the shoppers.
        traits: What is known of a shopper at a moment (Unix seconds), float64 (D,) by the names
            given; None where nothing is, or not in time. Without it everybody is drawn for by the
            segment's chances.
        servable: Whether a variant (its digest) may be shown for a product at this moment: the
            variant store's word, asked at every decision. Without it, what the table holds may be
            shown.

    Raises:
        InvalidInput: a negative budget or time.
        StoreConflict: the log knows the test with other arms.
    """

    def __init__(
        self,
        table: DecisionTable,
        arms: Arms,
        log: EventLog,
        *,
        key: DecisionKey,
        change_budget: int = 2,
        keep_days: float = math.inf,
        revoked: Collection[str] = (),
        ramp: Ramp | None = None,
        traits: Callable[[str, Sequence[str], float], Floats | None] | None = None,
        servable: Callable[[str, str], bool] | None = None,
    ) -> None:
        if change_budget < 0:
            raise InvalidInput(f"change_budget {change_budget}; 0 never changes a picture")
        if not keep_days >= 0:
            raise InvalidInput(f"keep_days {keep_days}: days, 0 or more")
        log.open_test(arms)
        self.arms = arms
        self.log = log
        self._key = key
        self._budget = change_budget
        self._keep = keep_days * _DAY
        self._servable = servable
        self._traits = traits
        self._serving = _Serving.of(table, revoked, ramp)

    @property
    def table(self) -> DecisionTable:
        """The table in use."""
        return self._serving.table

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
        self._serving = _Serving.of(table, revoked, ramp)

    def decide(
        self, shopper: str, product: str, now: float, *, seconds: float | None = None
    ) -> Decision:
        """The decision to show, recorded before it is returned.

        The same log, table and arms give the same picture on every machine. Where nothing was
        prepared, and in ``control``, it is the original photo with propensity 1.

        Args:
            shopper: Unit of randomisation.
            product: What is looked at.
            now: Unix seconds, UTC.
            seconds: After which to give up where the log does not take it; None waits for long.

        Raises:
            InvalidInput: a name that is empty or not printable.
            StoreFailed: the decision could not be logged, so nothing may be shown for it.
        """
        for name, value in (("shopper", shopper), ("product", product)):
            if not (value and value.isprintable()):
                raise InvalidInput(f"{name} {value!r}: give a name of printable characters")
        serving = self._serving
        settled = self._settled(serving, shopper, product, now)
        if settled is not None:
            return settled
        table = serving.table_of(self.arms, shopper)
        if self._lost(serving, table, shopper, product):
            # Another draw, with chances that moved meanwhile, could be another picture.
            withdrawn = self._withdrawn(table, shopper, product, now)
            return self.log.record_decision(withdrawn, seconds=seconds)
        drawn = self._draw(serving, shopper, product, now)
        decision = self.log.record_decision(drawn, seconds=seconds)
        if self._shows(serving, decision):
            return decision
        # The log had an earlier decision of this policy, whose picture was withdrawn since.
        withdrawn = self._withdrawn(table, shopper, product, now)
        return self.log.record_decision(withdrawn, seconds=seconds)

    def settled(self, shopper: str, product: str, now: float) -> Decision | None:
        """The decision to show if it is in the log already; None where one has to be made."""
        return self._settled(self._serving, shopper, product, now)

    def _settled(
        self, serving: _Serving, shopper: str, product: str, now: float
    ) -> Decision | None:
        test = self.arms.test
        previous = self.log.latest_decision(test, shopper, product)
        if previous is None or not self._shows(serving, previous):
            return None
        plan = plan_of(previous.policy_version)
        if plan == serving.table_of(self.arms, shopper).plan:
            return previous
        if plan in serving.revoked:
            return None
        if now - previous.decided_at >= self._keep:
            return None
        spent = self.log.change_count(test, shopper, product) >= self._budget
        return previous if spent else None

    def _shows(self, serving: _Serving, shown: Decision) -> bool:
        return self._may_show(serving, shown.product, shown.digest)

    def _may_show(self, serving: _Serving, product: str, digest: str | None) -> bool:
        if digest is None:
            return True
        if self._servable is not None:
            return self._servable(digest, product)
        return (product, digest) in serving.pictures

    def _lost(self, serving: _Serving, table: DecisionTable, shopper: str, product: str) -> bool:
        """Whether a shopper's picture of this plan was withdrawn."""
        previous = self.log.latest_decision(self.arms.test, shopper, product)
        return (
            previous is not None
            and plan_of(previous.policy_version) == table.plan
            and not self._shows(serving, previous)
        )

    def _withdrawn(self, table: DecisionTable, shopper: str, product: str, now: float) -> Decision:
        version = table.policy_version + WITHDRAWN
        return self._decision(table, shopper, product, now, _NOTHING_ELSE, version)

    def _own(
        self, table: DecisionTable, segment: str, slate: Slate, shopper: str, now: float
    ) -> Slate:
        """The slate with the shopper's own chances, as far as these are known."""
        if table.personal is None or self._traits is None:
            return slate
        known = self._traits(shopper, table.personal.leaning.traits, now)
        return slate if known is None else table.personal.slate(slate, segment, known)

    def _draw(self, serving: _Serving, shopper: str, product: str, now: float) -> Decision:
        table = serving.table_of(self.arms, shopper)
        version = table.policy_version
        segment, slate = table.slate(shopper, product)
        drawn = _NOTHING_ELSE
        if slate is not None and self.arms.assign(shopper) != CONTROL:
            slate = self._own(table, segment, slate, shopper, now)
            drawn = slate.draw(uniform(self.arms.test, version, shopper, product))
            if drawn.digest is None or not self._may_show(serving, product, drawn.digest):
                # Drawn first and mapped then: a withdrawal moves nobody else's picture.
                chances = (
                    candidate.probability
                    for candidate in slate.candidates
                    if candidate.digest is None
                    or candidate is drawn
                    or not self._may_show(serving, product, candidate.digest)
                )
                drawn = Candidate(ORIGINAL, digest=None, probability=math.fsum(chances))
            if table.personal is not None and not all(
                self._may_show(serving, product, c.digest) for c in slate.candidates
            ):
                version += PARTIAL
        return self._decision(table, shopper, product, now, drawn, version)

    def _decision(
        self,
        table: DecisionTable,
        shopper: str,
        product: str,
        now: float,
        shown: Candidate,
        version: str,
    ) -> Decision:
        # A slate's probabilities sum to 1 within a tolerance only.
        propensity = min(1.0, shown.probability)
        place = (self.arms.test, version, shopper, product)
        segment, _ = table.slate(shopper, product)
        return Decision(
            decision_id=self._key.name(*place),
            test=self.arms.test,
            shopper=shopper,
            product=product,
            segment=segment,
            arm=self.arms.assign(shopper),
            style_key=shown.style.key,
            digest=shown.digest,
            propensity=propensity,
            policy_version=version,
            decided_at=now,
        )


def _version_reused(version: str) -> StoreConflict:
    return StoreConflict(
        f"policy_version {version!r} was used for another table; give every table its own"
    )
