"""What people look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.errors import NotEnoughData
from persona_img.shop.readings import Readings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from persona_img.ranking.base import Ranker
    from persona_img.reports.rounds import Round


class Results(Readings):
    """The pages people look at."""

    def sheet(self, path: Path | None = None, *, liked_by: Ranker | None = None) -> Path:
        """Each product's photo beside the variant each segment sees most, as one picture.

        Args:
            path: Where to; ``sheet.jpg`` in the shop's folder if left out.
            liked_by: Shows what this ranker likes best for each segment instead, of the variants
                that are served; it need not have been promoted.
        """
        from persona_img.reports.rounds import write_sheet

        path = path or self.workspace.root / "sheet.jpg"
        table, store = self.table, self.variants
        return write_sheet(path, self.catalog, self.profiled, table, store, liked_by)

    def report(self, path: Path | None = None, rounds: Sequence[Round] | None = None) -> Path:
        """One self-contained page: outcome, evidence, pictures.

        Args:
            path: Where to; ``report.html`` in the shop's folder if left out.
            rounds: What is shown; None for one round per policy version that has impressions.

        Raises:
            NotEnoughData: no impression came back yet.
        """
        from persona_img.reports.rounds import Promotion, write_report

        refused = self.workspace.json("refused") if self.workspace.has_json("refused") else []
        promotion = None
        if self.workspace.has_json("promotion"):
            last = self.workspace.json("promotion")
            promotion = Promotion(last["promote"], last["reason"])
        return write_report(
            path or self.workspace.root / "report.html",
            self._rounds() if rounds is None else rounds,
            promotion,
            [tuple(row) for row in refused],
            self.catalog,
            self.variants,
            self.workspace.root,
        )

    def _rounds(self) -> list[Round]:
        from persona_img.reports.rounds import Round

        since, until = self.window
        served = self.seen_policies(since, until)
        rounds: list[Round] = []
        for table in self.workspace.decision_tables():
            if table.policy_version in served:  # of a plan its first table, not every revision
                version = table.policy_version
                report, run = self.analyse(policy=version, run_name=f"report {version}")
                feedback = self.feedback(policy=version, since=since, until=until)
                rounds.append(Round(len(rounds) + 1, version, report, run, {}, table, feedback))
        if not rounds:
            raise NotEnoughData("no impression came back yet; a report has nothing to tell")
        return rounds
