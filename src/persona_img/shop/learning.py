"""Shoppers as groups, styles for them, and the ranker that learns."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pandas as pd

from persona_img import loop, wiring
from persona_img.domain.decision import Context, check_version
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.domain.feedback_table import rewarded
from persona_img.domain.leaning import Leaning
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput, NotFound, StoreConflict
from persona_img.ranking.explained import Explained
from persona_img.shop.pages import Pages
from persona_img.shop.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from persona_img.domain.decision import Ranking
    from persona_img.domain.style import Style
    from persona_img.ranking.base import Ranker
    from persona_img.ranking.leaning import Leant
    from persona_img.ranking.promotion import PromotionReport
    from persona_img.ranking.value import OffPolicyValue
    from persona_img.rendering.renderer import BackdropRenderer

_LEARNED_UNTIL = "learned_until"
"""Tag of a registered ranker: ISO time of the last impression in what it was fitted on."""


_LEANING = "leaning.json"
"""Beside a ranker's own files: what single shoppers' traits add to it."""

_EFFECTS = "effects.csv"
"""Beside a ranker's own files: what it learned, for people to read."""


@dataclass(frozen=True)
class Retrained:
    """A new ranker and what the evidence says of it.

    Attributes:
        version: Under which it is registered.
        ranker: It.
        report: The evidence.
        promoted: Whether it is champion now.
        leant: What shoppers' own traits add to it; None where nobody asked.
    """

    version: int
    ranker: Ranker
    report: PromotionReport
    promoted: bool
    leant: Leant | None = None


class Learning(Pages, Results):
    """Profile, prepare, retrain, promote."""

    def profile(self, as_of: datetime | None = None) -> loop.Profiled:
        """Interactions to factors, profiles and segments; published to the feature store.

        Axes of tastes and segments are those of the profiles before, so that a segment's name goes
        on meaning the same shoppers to whatever learned from it; see ``fit_segments``.

        Args:
            as_of: Moment of the snapshot, with a time zone; None for now.

        Raises:
            NotFound: no interactions were added yet.
            NotEnoughData: none before ``as_of``.
        """
        profiled = loop.profile(
            self.interactions.frame(),
            self.catalog,
            self.features,
            as_of=as_of or _now(),
            count=self.settings.learn.segments,
            least=self.settings.learn.least_shoppers,
            seed=self.settings.seed,
            choose=self.settings.learn.choose_segments,
            like=self.profiled if self.workspace.has_json("profile") else None,
        )
        profiled.save(self.workspace)
        return profiled

    def champion(self) -> tuple[Ranker, str]:
        """The promoted ranker and its name; a cold one where none was promoted yet."""
        version = self.tracker.champion()
        if version is None:
            nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
            cold = wiring.cold_ranker(self.settings)
            return cold.fit(nothing, self.profiled.features), "cold"
        folder = self.workspace.root / "rankers" / f"version-{version}"
        stored = self.tracker.fetch_ranker(version, folder)
        return wiring.load_ranker(stored, self.settings), f"version-{version}"

    def rank(
        self, segments: Sequence[str] | None = None, products: Sequence[str] | None = None
    ) -> Iterator[Ranking]:
        """The whole style space by what the champion expects of it, best first.

        Args:
            segments: None for all.
            products: None for all.

        Raises:
            InvalidInput: an unknown segment.
            NotFound: an unknown product, or no profile was made yet.
        """
        known = sorted(set(self.profiled.segments.values()))
        for segment in segments or ():
            if segment not in known:
                raise InvalidInput(f"segment {segment!r}: there are {', '.join(known)}; choose one")
        catalog = self.catalog
        wanted = [catalog[p] for p in products] if products else list(catalog.on_offer)
        ranker, _ = self.champion()
        styles = self.space.styles()
        for segment in segments or known:
            for product in wanted:
                yield ranker.rank(Context(segment, product.product), styles)

    def effects(self) -> pd.DataFrame:
        """What the champion learned; see :meth:`~persona_img.ranking.explained.Explained.effects`.

        Raises:
            InvalidInput: the champion is of a kind that cannot say.
            NotFound: no profile was made yet.
        """
        ranker, name = self.champion()
        if not isinstance(ranker, Explained):
            raise InvalidInput(
                f"champion {name} is a {ranker.name} ranker, which tells no effects; promote a "
                "boosted or bayes one first"
            )
        return ranker.effects()

    def prepare(
        self,
        *,
        version: str | None = None,
        anyway: bool = False,
        on_planned: Callable[[int], None] = lambda _: None,
        on_done: Callable[[loop.Rendered], None] = lambda _: None,
    ) -> loop.Prepared:
        """Plan with the champion, render what is missing, decide, and publish what is served.

        The first preparation registers the cold ranker, so that there is always one to go back to.
        Where neither products, segments, approvals nor rankers have changed since, the table that
        is served stays, unless a ``version`` asks for another. What is explored moves on with each
        ranker that was trained.

        Args:
            version: Name of the policy; None for the champion's and the time.
            anyway: Also where the champion's test was stopped because it did harm.
            on_planned: Told how many variants are wanted.
            on_done: Told of each variant.

        Raises:
            StoreConflict: another table has this version, or the champion's test was stopped, also
                while this went on.
        """
        if self.stopped and not anyway:
            raise StoreConflict(
                f"the test was stopped: {self.stopped}; promote another ranker, or prepare anyway"
            )
        if self.workspace.ramp_stage() is not None:
            raise StoreConflict(
                "a challenger is on a ramp beside what is served, which has to stay the same; "
                "let it end, or halt it"
            )
        ranker, name = self.champion()
        if self.tracker.champion() is None:
            self._register(ranker, "cold", promote=True)
        champion, stopped = self.tracker.champion(), self.workspace.stopped()
        earlier = self.policies
        leaning = self._leaning(champion)
        named = version or version_name(name)
        prepared = self._planned(ranker, leaning, named, on_planned, on_done)
        # Rendering takes long: what was found out meanwhile is not to be undone.
        now = self.workspace.stopped()
        if now is not None and now != stopped:
            raise StoreConflict(f"the test was stopped meanwhile: {now[1]}; nothing is published")
        if version is None and earlier:
            served = self.table
            plan = self.workspace.plan(served.policy_version)
            if replace(prepared.table, policy_version=plan.policy_version) == plan.in_parts():
                return replace(prepared, table=served)
        self.workspace.save_decision_table(prepared.table, ranker=champion)
        self.workspace.resume()
        return prepared

    def _planned(
        self,
        ranker: Ranker,
        leaning: Leaning | None,
        version: str,
        on_planned: Callable[[int], None],
        on_done: Callable[[loop.Rendered], None],
    ) -> loop.Prepared:
        """A plan of a ranker's, rendered; nothing is published."""
        if check_version(version) in self.policies:
            raise StoreConflict(f"policy version {version!r} was served before; give another name")
        learn = self.settings.learn
        _ = self.renditions  # keys that cannot be used are told before anything is rendered
        self.check_rights()
        renderer = wiring.renderer(self.settings)
        how = self.settings.render
        with wiring.rendering(self.settings, renderer) as rendering:
            prepared = loop.prepare(
                ranker,
                wiring.policy(self.settings),
                self.space,
                self.profiled,
                self.catalog,
                rendering,
                self.variants,
                version=version,
                slate=learn.slate,
                variants_per_product=learn.variants_per_product,
                plan_seed=self.settings.seed + len(self.tracker.history()),
                seed=self.settings.seed,
                workers=max(how.workers, how.processes),
                fits=self._fitting(renderer),
                leaning=leaning,
                on_planned=on_planned,
                on_done=on_done,
            )
        shown = [r.record.digest for r in prepared.rendered if r.record and not r.reason]
        self.make_renditions(shown, self.catalog.on_offer)
        self.workspace.save_json(
            "refused", [[r.product, r.style.key, r.reason] for r in prepared.refused]
        )
        return prepared

    @property
    def stopped(self) -> str:
        """Why the champion's test was stopped; empty where it was not."""
        stopped = self.workspace.stopped()
        return stopped[1] if stopped and stopped[0] in (None, self.tracker.champion()) else ""

    def _fitting(self, renderer: BackdropRenderer) -> Callable[[str, Style], bool]:
        """Whether a product can be in a style's scene, by how its photograph shows it.

        What the merchant did not tell is seen once for each photograph, and kept.
        """
        from persona_img.scenery.scenes import fits

        if "scene" not in self.space.attributes:
            return lambda _, style: True
        known = self.workspace.json("poses") if self.workspace.has_json("poses") else {}
        poses, seen = {}, {}
        for product in self.catalog.on_offer:
            poses[product.product] = product.pose
            if not product.pose:
                photo = loop.photo_of(product)
                seen[photo.digest] = known.get(photo.digest) or renderer.stands(photo).pose
                poses[product.product] = seen[photo.digest]
        self.workspace.save_json("poses", seen)
        return lambda product, style: (
            style.is_original or fits(style.values["scene"], poses[product])
        )

    def push(self, *, since: datetime | None = None) -> int:
        """Clicks and purchases that came back reach the feature store at once.

        Returns:
            How many.
        """
        came = self._history().frame(since=since, acted=True, **self._counted)
        known = self.profiled.segments if self.workspace.has_json("profile") else ()
        events = loop.fresh_events(self._by_profile(came, known))
        self.features.push(events)
        return len(events)

    def evaluate(
        self,
        *,
        ranker: int | Literal["champion", "previous", "cold"] = "champion",
        policy: str | None = None,
        of: str | None = None,
        since: datetime | None = None,
    ) -> OffPolicyValue:
        """What a registered ranker and a policy would have earned on what was logged.

        A ranker that learned from these impressions looks better than it is; ``since`` the moment
        it was trained there are only others. For one that is to be trained, see :meth:`retrain`.

        Args:
            ranker: A registered version, a role, or ``cold``, which knows nothing.
            policy: Name of a policy; None for the settings'.
            of: Only impressions of this policy version; as for :meth:`feedback`.
            since: Only those shown from this moment on.

        Raises:
            InvalidInput: no policy has the name.
            NotFound: no such version, nobody has the role, or nothing was served yet.
            NotEnoughData: nothing to judge on.
        """
        from persona_img.ranking.value import value_of

        found, name = self._ranker(ranker)
        return value_of(
            rewarded(self.feedback(policy=of, since=since), self.settings.learn.reward),
            found,
            wiring.policy(self.settings, policy),
            tables=self.workspace.decision_tables(),
            name=name,
            seed=self.settings.seed,
        )

    def retrain(self, *, promote: bool = False) -> Retrained:
        """Fit a ranker on the feedback, register it, and weigh it against the champion.

        Both are judged on what was shown since the champion was fitted, by their segments' chances;
        what was drawn by shoppers' own chances is learned from as often as the segment would have
        seen it. With ``[learn] personal`` it is also learned what single shoppers' traits, as the
        feature store knew them, add to the new one; that is kept with it where it tells later
        clicks.

        Args:
            promote: Whether it becomes champion where the evidence says so.

        Raises:
            NotEnoughData: nothing was shown since the champion was fitted.
        """
        profiled = self.profiled
        champion, _ = self.champion()
        feedback = rewarded(self.mature_feedback(), self.settings.learn.reward)
        challenger, report = loop.retrain(
            feedback,
            profiled,
            champion,
            lambda: wiring.new_ranker(self.settings),
            wiring.policy(self.settings),
            tables=self.workspace.decision_tables(),
            since=self._learned_until(self.tracker.champion()),
            seed=self.settings.seed,
        )
        promoted = promote and report.promote
        leant = None
        if self.settings.learn.personal:
            named = self._by_profile(feedback, profiled.segments)
            leant = loop.lean(named, self.features, challenger)
        version = self._register(
            challenger,
            challenger.name,
            leaning=None if leant is None else leant.leaning,
            metrics=report.metrics(),
            learned_until=feedback["shown_at"].max(),
            promote=promoted,
        )
        self._told(version, report.reason, promote=report.promote, admit=report.admit)
        return Retrained(version, challenger, report, promoted, leant)

    def promote(self, version: int) -> None:
        """Make a registered ranker champion, whatever the evidence said."""
        self.tracker.promote(version)
        self.workspace.allow(version)

    def rollback(self) -> int:
        """Bring the previous champion back, and the table that it planned last.

        Pictures that the present champion showed are not kept, whatever a shopper's change budget.
        A challenger on a ramp is halted. Where the previous champion planned no table,
        :meth:`prepare` makes one.

        Returns:
            Its version.

        Raises:
            NotFound: there is no champion before this one.
        """
        roles = {v.role: v.version for v in self.tracker.history()}
        stage = self.workspace.ramp_stage()
        if stage is not None:  # it was tried against what goes
            self.workspace.end_ramp(stage, keep=False)
        if "previous" in roles:
            # The table first: stopped between the two, the same command goes on from here.
            self.workspace.go_back(roles["previous"], instead_of=roles["champion"])
        return self.tracker.rollback()

    @property
    def served_ranker(self) -> int | None:
        """Version of the ranker that planned what is served; None where nobody knows."""
        return self.workspace.served_ranker()

    def _told(self, version: int, reason: str, *, promote: bool, admit: bool) -> None:
        """Keep the last word on a challenger, for pages and for the next command."""
        self.workspace.save_json(
            "promotion",
            {"promote": promote, "admit": admit, "reason": reason, "version": version},
        )

    def _ranker(self, which: int | Literal["champion", "previous", "cold"]) -> tuple[Ranker, str]:
        if which == "champion":
            return self.champion()
        if which == "cold":
            nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
            cold = wiring.cold_ranker(self.settings)
            return cold.fit(nothing, self.profiled.features), "cold"
        history = {v.role: v.version for v in self.tracker.history()}
        version = history.get("previous") if which == "previous" else which
        if version is None:
            raise NotFound("no previous champion yet; name a version, champion or cold")
        folder = self.workspace.root / "rankers" / f"version-{version}"
        stored = self.tracker.fetch_ranker(int(version), folder)
        return wiring.load_ranker(stored, self.settings), f"version-{version}"

    def _leaning(self, version: int | None) -> Leaning | None:
        """What was learned of single shoppers beside a ranker; None where that is not wanted."""
        if version is None or not self.settings.learn.personal:
            return None
        folder = self.workspace.root / "rankers" / f"version-{version}"
        path = self.tracker.fetch_ranker(version, folder) / _LEANING
        if not path.exists():
            return None
        return Leaning.from_dict(json.loads(path.read_text(encoding="utf-8")))

    def _learned_until(self, version: int | None) -> datetime | None:
        """When the last impression was shown that a ranker learned from; None for none."""
        tags = {v.version: v.tags for v in self.tracker.history()}
        told = None if version is None else tags.get(version, {}).get(_LEARNED_UNTIL)
        return None if told is None else datetime.fromisoformat(told)

    def _example(self) -> pd.DataFrame | None:
        """What a ranker can be asked: a segment's click rates of a product's photo and a style.

        None of a shop whose catalogue is not here, as of a log that came from elsewhere.
        """
        try:
            product = next(iter(self.catalog)).product
        except NotFound:
            return None
        styles = [ORIGINAL.key, next(s.key for s in self.space.styles() if not s.is_original)]
        row = {"segment": self.profiled.default_segment, "product": product}
        return pd.DataFrame([{**row, "style": style} for style in styles])

    def _register(
        self,
        ranker: Ranker,
        name: str,
        *,
        leaning: Leaning | None = None,
        metrics: Mapping[str, float] | None = None,
        learned_until: datetime | None = None,
        promote: bool = False,
    ) -> int:
        folder = self.workspace.root / "rankers" / name
        shutil.rmtree(folder, ignore_errors=True)
        ranker.save(folder)
        if isinstance(ranker, Explained):
            ranker.effects().to_csv(folder / _EFFECTS, index=False, float_format="%.6g")
        if leaning is not None:
            text = json.dumps(leaning.as_dict(), indent=1)
            (folder / _LEANING).write_text(text + "\n", encoding="utf-8")
        tags = {"kind": ranker.name}
        if learned_until is not None:
            tags[_LEARNED_UNTIL] = learned_until.isoformat()
        version = self.tracker.register_ranker(
            folder, metrics=metrics or {}, tags=tags, example=self._example()
        )
        if promote:
            self.tracker.promote(version)
        return version


def version_name(name: str) -> str:
    """A policy version that nobody else has: the ranker's name and the time."""
    return f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"


def _now() -> datetime:
    return datetime.now(UTC)
