"""Between two trainings: chances follow the evidence, and nothing does harm for long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img import loop, wiring
from persona_img.errors import NotFound, StoreConflict
from persona_img.shop.learning import Learning

if TYPE_CHECKING:
    from datetime import datetime

LEARN = "learn"
"""Who withdraws pictures that do harm."""

_TRIES = 5


@dataclass(frozen=True)
class Learnt:
    """What :meth:`Adapting.learn` did.

    Attributes:
        version: Policy version that is served now.
        impressions: Counted since the ranker was fitted, all arms together.
        moved: Slates whose chances changed.
        withdrawn: Product, style and reason of each picture that was withdrawn.
        stopped: Why the test was stopped; empty where it goes on.
    """

    version: str
    impressions: int
    moved: int
    withdrawn: tuple[tuple[str, str, str], ...] = ()
    stopped: str = ""


class Adapting(Learning):
    """Chances that follow the evidence."""

    def learn(self, *, now: datetime | None = None) -> Learnt:
        """Move chances by what came back since the ranker was fitted, and take off what does harm.

        The same pictures are shown to whoever has seen one; who comes new is drawn for with the new
        chances. An arm that is worse than the photo for certain stops the test: everybody gets the
        photo at once, whatever the change budget. A picture that is, is withdrawn by ``learn``.

        Safe to call at any time, from several processes: it begins at the ranker's fit, and where
        somebody published meanwhile it begins again from that.

        Args:
            now: Moment of the call, with a time zone; None for now. Impressions that are younger
                than ``[learn] maturity_minutes`` before it wait: their clicks may be under way.

        Raises:
            NotFound: nothing was prepared or served yet.
            StoreConflict: others publish all the time.
        """
        feedback = self.mature_feedback(now)
        for _ in range(_TRIES):
            served, ranker = self.table, self.served_ranker
            if self.stopped:
                return Learnt(served.policy_version, 0, 0, stopped=self.stopped)
            fitted, _ = self.champion() if ranker is None else self._ranker(ranker)
            found = loop.learn(
                self.workspace.plan(served.policy_version),
                served,
                fitted,
                wiring.policy(self.settings),
                feedback,
                wiring.ab_test(self.settings),
                since=self._learned_until(ranker),
            )
            try:
                if found.stop:
                    self.workspace.stop(served, found.stop, ranker=ranker)
                elif found.moved:
                    self.workspace.save_decision_table(
                        found.table, ranker=ranker, replacing=served.policy_version
                    )
            except StoreConflict as conflict:
                last = conflict
                continue
            return Learnt(
                self.table.policy_version,
                found.impressions,
                found.moved,
                self._withdrawn(found),
                found.stop,
            )
        raise last

    def _withdrawn(self, found: loop.Learned) -> tuple[tuple[str, str, str], ...]:
        done = []
        for one in found.harmful:
            try:
                servable = self.variants.ledger.is_servable(one.digest, one.product)
            except NotFound:  # the log outlives pictures
                continue
            if servable:
                self.variants.ledger.withdraw([one.digest], by=LEARN, reason=str(one))
                done.append((one.product, one.style_key, str(one)))
        return tuple(done)
