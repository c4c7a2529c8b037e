"""Which candidate is kept and which styles are tried next, by what shoppers clicked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img import wiring
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.shop.learning import Learning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from persona_img.ranking.picture_reward import RewardReport
    from persona_img.ranking.proposals import Proposal

CHOOSER = "chooser.json"
"""Name of a judge of pictures in the shop's folder."""


@dataclass(frozen=True)
class TrainedChooser:
    """A judge of pictures that was learned from clicks.

    Attributes:
        path: Its file.
        report: How well it orders pictures of products that it was not taught on.
    """

    path: Path
    report: RewardReport


class Choosing(Learning):
    """Learn which pictures are clicked, and say which are missing."""

    def train_chooser(
        self, path: Path | None = None, *, impressions: float | None = None
    ) -> TrainedChooser:
        """Learn a judge of pictures from the shop's own clicks, for ``[render] chooser``.

        Nothing is rendered or served otherwise until the settings name the file.

        Args:
            path: Where to; ``chooser.json`` in the shop's folder if left out.
            impressions: Fewest of each picture of a pair; None for
                :data:`persona_img.ranking.picture_pairs.IMPRESSIONS`.

        Raises:
            NotFound: nothing was served from this home yet.
            NotEnoughData: too few pairs of pictures whose order is sure.
        """
        from persona_img.ranking.picture_pairs import IMPRESSIONS, picture_pairs
        from persona_img.ranking.picture_reward import train_reward

        least = IMPRESSIONS if impressions is None else impressions
        pairs = picture_pairs(self.mature_feedback(), impressions=least)
        pictures = self._measured(sorted(set(pairs["one"]) | set(pairs["other"])))
        try:
            judge, report = train_reward(pairs, pictures, seed=self.settings.seed)
        except NotEnoughData as error:
            raise NotEnoughData(f"with {least:g} impressions of each picture: {error}") from error
        return TrainedChooser(judge.save(path or self.workspace.root / CHOOSER), report)

    def proposals(self, segments: Sequence[str] | None = None, *, top: int = 5) -> list[Proposal]:
        """Styles that are worth rendering and were not rendered yet, by segment, the best first.

        Args:
            segments: None for all.
            top: Most of each segment.

        Raises:
            InvalidInput: an unknown segment, or the champion does not know how unsure it is.
            NotFound: no profile was made yet.
        """
        from persona_img.ranking.proposals import proposals

        known = sorted(set(self.profiled.segments.values()) | {self.profiled.default_segment})
        for segment in segments or ():
            if segment not in known:
                raise InvalidInput(f"segment {segment!r}: there are {', '.join(known)}; choose one")
        products = [product.product for product in self.catalog.on_offer]
        shown = {p: frozenset(r.style for r in self.variants.records(p)) for p in products}
        ranker, _ = self.champion()
        fits = self._fitting(wiring.renderer(self.settings))
        found: list[Proposal] = []
        for segment in segments or known:
            styles = self.space.styles()
            found += proposals(ranker, [segment], products, styles, shown, fits=fits)[:top]
        return found

    def _measured(self, digests: Sequence[str]) -> pd.DataFrame:
        """Style and numbers of stored variants; those that are not there any more are left out."""
        import pandas as pd

        from persona_img.imaging.picture_features import FEATURES, picture_features

        rows = {}
        styles = {record.digest: record.style for record in self.variants.records()}
        for digest in digests:
            if digest in styles and self.variants.path(digest).exists():
                pixels, alpha = self.variants.picture(digest)
                rows[digest] = [styles[digest].key, *picture_features(pixels, alpha).tolist()]
        return pd.DataFrame.from_dict(rows, orient="index", columns=["style_key", *FEATURES])
