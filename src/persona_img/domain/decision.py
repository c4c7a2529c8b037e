"""What a shopper is shown, and with which probability it was chosen."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from persona_img.errors import EmptySlate, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.domain.leaning import Personal
    from persona_img.domain.style import Style

PARTS = 2**32
"""Of which a published chance is a whole number: their sums are exact in float64."""

_TOLERANCE = 1e-9
_DIGITS = 12
_NOTE = "~"
_REVISION = f"{_NOTE}r"


def plan_of(policy_version: str) -> str:
    """The plan that a policy version is of: whatever was noted behind it is left out.

    A plan is rendered once; revisions of it show the same pictures with other chances, and a
    shopper keeps a picture within a plan.

    Example:
        >>> plan_of("version-3~r12"), plan_of("version-3~withdrawn"), plan_of("version-3")
        ('version-3', 'version-3', 'version-3')
    """
    return policy_version.partition(_NOTE)[0]


def next_revision(policy_version: str) -> str:
    """The name of the revision after this one.

    Example:
        >>> next_revision("version-3"), next_revision("version-3~r1")
        ('version-3~r1', 'version-3~r2')
    """
    plan, _, number = policy_version.partition(_REVISION)
    return f"{plan}{_REVISION}{int(number or 0) + 1}"


def check_version(policy_version: str) -> str:
    """The name of a plan.

    Raises:
        InvalidInput: it could be taken for the name of a revision.
    """
    if _NOTE in policy_version or not policy_version.isprintable() or not policy_version:
        raise InvalidInput(
            f"policy version {policy_version!r}: give printable characters, without {_NOTE!r}, "
            "behind which revisions are noted"
        )
    return policy_version


@dataclass(frozen=True)
class Context:
    """For whom and for what styles are ranked.

    Example:
        >>> Context("home-cooks", "mug").segment
        'home-cooks'
    """

    segment: str
    product: str


@dataclass(frozen=True)
class Ranking:
    """Styles of one slate with their predicted click rates, best first.

    Attributes:
        context: What was ranked for.
        styles: S styles, the original among them.
        scores: S predicted click rates in [0, 1], not increasing.
        spreads: S standard deviations, > 0, of what is known of the log-odds of the scores; errors
            of two styles are independent, for what all styles of the slate share is left out. None
            where the ranker cannot tell.

    Example:
        >>> from persona_img.domain.style import ORIGINAL, Style
        >>> styles = (Style.of({"surface": "linen"}), ORIGINAL)
        >>> Ranking(Context("home-cooks", "mug"), styles, (0.031, 0.024)).styles[0].key
        'surface=linen'
    """

    context: Context
    styles: tuple[Style, ...]
    scores: tuple[float, ...]
    spreads: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.styles) != len(self.scores):
            raise InvalidInput(
                f"{len(self.styles)} styles, {len(self.scores)} scores: give one each"
            )
        if not all(0.0 <= s <= 1.0 for s in self.scores):
            raise InvalidInput(f"scores {self.scores}: click rates lie in [0, 1]")
        if any(a < b for a, b in zip(self.scores, self.scores[1:], strict=False)):
            raise InvalidInput("scores increase: give the best style first")
        if self.spreads is not None and (
            len(self.spreads) != len(self.styles)
            or not all(0.0 < s < math.inf for s in self.spreads)
        ):
            raise InvalidInput(f"spreads {self.spreads}: give each style one, above 0")


@dataclass(frozen=True)
class Choice:
    """A style drawn by a policy, with the probability it had.

    Example:
        >>> from persona_img.domain.style import ORIGINAL
        >>> Choice(ORIGINAL, propensity=0.25).propensity
        0.25
    """

    style: Style
    propensity: float


@dataclass(frozen=True)
class Candidate:
    """One entry of a slate.

    Attributes:
        style: What it looks like.
        digest: The variant that shows it; None for the original photograph.
        probability: With which the policy chooses it, > 0.
    """

    style: Style
    digest: str | None
    probability: float


@dataclass(frozen=True)
class Slate:
    """Candidates of one (segment, product); the original is among them."""

    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        if not any(c.style.is_original for c in self.candidates):
            raise EmptySlate("a slate without the original photo; it is always a candidate")
        if any(not c.probability > 0 for c in self.candidates):
            raise InvalidInput("a candidate with probability 0; raise the policy's floor")
        total = math.fsum(c.probability for c in self.candidates)
        if abs(total - 1) > _TOLERANCE:
            raise InvalidInput(f"probabilities sum to {total!r}, not 1")

    @property
    def pictures(self) -> frozenset[tuple[Style, str | None]]:
        """Styles and variants, whatever their chances."""
        return frozenset((c.style, c.digest) for c in self.candidates)

    def draw(self, uniform: float) -> Candidate:
        """The candidate at ``uniform`` in [0, 1) on the cumulated probabilities."""
        passed = 0.0
        for candidate in self.candidates:
            passed += candidate.probability
            if uniform < passed:
                return candidate
        return self.candidates[-1]


def in_parts(slate: Slate) -> Slate:
    """The slate with chances in whole parts of :data:`PARTS`, as published tables hold them.

    Each is rounded up, so that floors stay floors, but for the largest, which has what is left:
    the chances sum to 1 exactly, and no other moves by more than 2.4e-10. Done twice it is done
    once.

    Example:
        >>> from persona_img.domain.style import ORIGINAL, Style
        >>> third = tuple(Candidate(Style(f"a={n}"), None, 1 / 3) for n in range(2))
        >>> slate = in_parts(Slate((Candidate(ORIGINAL, None, 1 / 3), *third)))
        >>> sum(c.probability for c in slate.candidates)
        1.0
    """
    chances = [c.probability for c in slate.candidates]
    parts = [math.ceil(chance * PARTS) for chance in chances]
    largest = parts.index(max(parts))
    parts[largest] += PARTS - sum(parts)
    if all(part == chance * PARTS for part, chance in zip(parts, chances, strict=True)):
        return slate
    pairs = zip(slate.candidates, parts, strict=True)
    return Slate(tuple(replace(c, probability=part / PARTS) for c, part in pairs))


class Drawing(Mapping[tuple[str, str], Slate]):
    """Slates that draw without being unpacked."""

    @abstractmethod
    def draw(self, place: tuple[str, str], uniform: float) -> Candidate | None:
        """What :meth:`Slate.draw` of the slate there gives; None where there is none."""

    @abstractmethod
    def product_of(self, digest: str) -> str | None:
        """A product that a variant shows; None of a variant that is in no slate."""


@dataclass(frozen=True)
class DecisionTable:
    """Everything serving needs to decide: made by the loop, never changed afterwards.

    Attributes:
        policy_version: Names this table in every decision it makes.
        slates: (segment, product) to slate.
        segments: Shopper to segment.
        default_segment: For shoppers that are not in ``segments``.
        personal: How single shoppers' chances differ from their segment's; None where they do not.

    Example:
        >>> from persona_img.domain.style import ORIGINAL
        >>> slate = Slate((Candidate(ORIGINAL, None, 1.0),))
        >>> table = DecisionTable("v1", {("cooks", "mug"): slate}, {"anna": "cooks"}, "others")
        >>> table.slate("anna", "mug") == ("cooks", slate)
        True
        >>> table.slate("nobody known", "mug")
        ('others', None)
    """

    policy_version: str
    slates: Mapping[tuple[str, str], Slate]
    segments: Mapping[str, str]
    default_segment: str
    personal: Personal | None = None

    @property
    def plan(self) -> str:
        """The plan that this is, or of which it is a revision."""
        return plan_of(self.policy_version)

    def revised(self, slates: Mapping[tuple[str, str], Slate]) -> DecisionTable:
        """The next revision: the same pictures, some with other chances.

        Args:
            slates: Those that change; of them chances are taken as they are published, see
                :func:`in_parts`.

        Raises:
            InvalidInput: a slate that the plan has not, or one with other candidates.
        """
        for place, slate in slates.items():
            if place not in self.slates or slate.pictures != self.slates[place].pictures:
                raise InvalidInput(f"{place}: a revision shows what its plan shows; plan anew")
        version = next_revision(self.policy_version)
        changed = {place: in_parts(slate) for place, slate in slates.items()}
        return replace(self, policy_version=version, slates={**self.slates, **changed})

    def segment(self, shopper: str) -> str:
        """The shopper's segment."""
        return self.segments.get(shopper, self.default_segment)

    def slate(self, shopper: str, product: str) -> tuple[str, Slate | None]:
        """The shopper's segment, and the slate for it; None where nothing was prepared."""
        segment = self.segment(shopper)
        return segment, self.slates.get((segment, product))

    def product_of(self, digest: str) -> str | None:
        """A product that a variant shows, after a long look; None of one that is in no slate."""
        if isinstance(self.slates, Drawing):
            return self.slates.product_of(digest)
        for (_, product), slate in self.slates.items():
            if any(candidate.digest == digest for candidate in slate.candidates):
                return product
        return None

    def draw(self, segment: str, product: str, uniform: float) -> Candidate | None:
        """The candidate at ``uniform`` in [0, 1) of a slate; None where nothing was prepared."""
        if isinstance(self.slates, Drawing):
            return self.slates.draw((segment, product), uniform)
        slate = self.slates.get((segment, product))
        return None if slate is None else slate.draw(uniform)

    def in_parts(self) -> DecisionTable:
        """The table with chances as they are published, see :func:`in_parts`."""
        return replace(self, slates={p: in_parts(slate) for p, slate in self.slates.items()})


@dataclass(frozen=True)
class Ramp:
    """A table that some shoppers of an arm get instead of the one that is served.

    Who gets it depends on test, plan and shopper alone, so a wider ramp keeps everybody it had.

    Attributes:
        table: What they get.
        share: Of the arm's shoppers, in (0, 1).

    Example:
        >>> ramp = Ramp(DecisionTable("v2", {}, {}, "all"), 0.5)
        >>> 400 < sum(ramp.includes("hero-image", f"s{n}") for n in range(1000)) < 600
        True
    """

    table: DecisionTable
    share: float

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise InvalidInput(f"share {self.share}: give a part between 0 and 1, e.g. 0.1")

    def includes(self, test: str, shopper: str) -> bool:
        """Whether a shopper of the arm gets it."""
        return uniform(test, "ramp", self.table.plan, shopper) < self.share


@dataclass(frozen=True)
class Decision:
    """One answer to "what does this shopper see for this product", with all that was known.

    Attributes:
        test: A/B test.
        shopper: Unit of randomisation.
        product: Product shown.
        segment: The shopper's segment when it was made.
        arm: ``control`` or another arm of the test.
        style_key: Style shown; ``original`` in control.
        digest: Variant shown; None is the original photo.
        propensity: Probability with which the style was chosen within the arm, > 0.
        policy_version: Table that was used.
        decided_at: Unix seconds, UTC, when it was drawn.
    """

    test: str
    shopper: str
    product: str
    segment: str
    arm: str
    style_key: str
    digest: str | None
    propensity: float
    policy_version: str
    decided_at: float


@dataclass(frozen=True)
class Arms:
    """Arms of an A/B test with their shares; who gets which depends on unit and salt alone.

    Attributes:
        test: The test's name: the salt.
        shares: Arm to share, > 0, summing to 1; ``control`` is among them.

    Example:
        >>> arms = Arms("hero-image", {"control": 0.5, "personalized": 0.5})
        >>> arms.assign("anna") == arms.assign("anna")
        True
    """

    test: str
    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        if "control" not in self.shares:
            raise InvalidInput(f"arms {list(self.shares)}: one must be named control")
        if (
            any(not s > 0 for s in self.shares.values())
            or abs(sum(self.shares.values()) - 1) > 1e-9
        ):
            raise InvalidInput(f"shares {dict(self.shares)}: each > 0, together 1")

    def assign(self, unit: str) -> str:
        """The unit's arm, the same at every call and on every machine."""
        position = uniform(self.test, unit)
        passed = 0.0
        for arm, share in self.shares.items():
            passed += share
            if position < passed:
                return arm
        return list(self.shares)[-1]


def uniform(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts alone: SHA-256, first 53 bits."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def ranking_of(
    context: Context,
    styles: Sequence[Style],
    scores: Sequence[float],
    spreads: Sequence[float] | None = None,
) -> Ranking:
    """A ranking from scores in any order.

    Scores are rounded to 12 digits, so that what differs by rounding alone is a tie, and ties go
    by style key: a ranking, and every chance drawn from it, depends on the set of styles, not on
    the order they came in.
    """
    exact = [round(float(score), _DIGITS) for score in scores]
    order = sorted(range(len(styles)), key=lambda i: (-exact[i], styles[i].key))
    return Ranking(
        context,
        tuple(styles[i] for i in order),
        tuple(exact[i] for i in order),
        None if spreads is None else tuple(float(spreads[i]) for i in order),
    )
