"""Every estimator on a real shop's logs whose truth somebody measured: Open Bandit.

    python experiments/learning/open_bandit.py --data open_bandit/ -o report.md

A fashion shop showed items by chance for a part of its visitors and by Thompson sampling for others
(Saito et al. 2021, arXiv:2008.07146). What showing by chance earns is so known twice: as measured
on the first, and as estimated from the second. The other way round a policy is learned from half
of the first and judged on its other half.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from persona_img.offpolicy.evaluation import Evaluation, evaluate
from persona_img.offpolicy.intervals import Estimate, summarised
from persona_img.offpolicy.log import as_log
from persona_img.offpolicy.policies import uniform_chances
from persona_img.ranking.contextual import learn

ROLES = {"action": "item_id", "reward": "click", "propensity": "propensity_score"}
CONTEXT = ("position", "user_feature_0", "user_feature_1")
SEED = 7


def logged(data: Path, policy: str, campaign: str) -> pd.DataFrame:
    """One log, or both campaigns in one, their items told apart."""
    if campaign != "all":
        return pd.read_parquet(data / f"{policy}_{campaign}.parquet")
    parts = [pd.read_parquet(data / f"{policy}_{c}.parquet") for c in ("men", "women")]
    both = pd.concat(parts, ignore_index=True)
    both["slate"] = both["campaign"].map(
        {p["campaign"].iloc[0]: "|".join(_names(p)) for p in parts}
    )
    return both.assign(item_id=_names_of(both))


def _names_of(table: pd.DataFrame) -> pd.Series:
    return table["campaign"] + "-" + table["item_id"].astype(str)


def _names(table: pd.DataFrame) -> list[str]:
    return sorted(set(_names_of(table)))


def told(one: Estimate, times: float = 100.0) -> str:
    """As per cent with its interval."""
    return f"{times * one.value:.2f} ({times * one.low:.2f} to {times * one.high:.2f})"


def rows(name: str, said: Evaluation, truth: Estimate) -> list[str]:
    """One row an estimator."""
    found = []
    for estimator, one in said.estimates.items():
        mark = "**" if estimator == said.chosen else ""
        inside = one.low <= truth.high and truth.low <= one.high
        error = abs(one.value - truth.value) / truth.value
        found.append(
            f"| {name} | {mark}{estimator}{mark} | {told(one)} | {error:.0%} | "
            f"{'yes' if inside else 'no'} |"
        )
        name = ""
    return found


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of its Parquet files")
    parser.add_argument("-o", "--out", type=Path, default=Path("open_bandit.md"))
    given = parser.parse_args()
    lines = [
        "# Open Bandit: a real shop's logs, not ours",
        "",
        "Made by `open_bandit.py`; clicks per hundred impressions. The files hold some 7,500 rows",
        "each and few clicks, and nobody knows which rows are one visitor's: intervals are too",
        "narrow where somebody came back.",
        "",
        "## Showing by chance, estimated from what Thompson sampling logged",
        "",
        "The truth beside it is what the shop measured where it did show by chance.",
        "",
        "| campaign | estimator | clicks | off by | intervals meet |",
        "|---|---|---|---|---|",
    ]
    learned, refused = [], []
    for campaign in ("men", "women", "all"):
        chance, bandit = (logged(given.data, p, campaign) for p in ("random", "bts"))
        roles = {**ROLES, **({"slate": "slate"} if campaign == "all" else {})}
        log = as_log(bandit, roles, CONTEXT)
        even = as_log(chance, roles, CONTEXT)
        truth = summarised(even.reward, even.shopper, 0.95)
        said = evaluate(log, uniform_chances(log), target="uniform", seed=SEED, anyway=True)
        name = f"{campaign}: measured {told(truth)}; {int(log.reward.sum())} clicks logged"
        lines += rows(name, said, truth)
        refused += [f"- {campaign}: {reason}." for reason in said.refused]
        part = even.dealt(SEED, 2)
        policy = learn(even.only(part == 1)).policy
        held = even.only(part == 0)
        judged = evaluate(held, policy.chances(held), target="learned", seed=SEED)
        gain = judged.gain
        shown = "refused: " + "; ".join(judged.refused) if gain is None else told(gain)
        learned.append(f"| {campaign} | {told(judged.logged)} | {shown} |")
    lines += [
        "",
        "`persona-img evaluate` refuses to say any of this, and prints it with `--anyway`:",
        "",
    ]
    lines += [
        *refused,
        "",
        "## A policy learned from one half of the visitors, judged on the other",
        "",
        "| campaign | by chance | gain of what was learned |",
        "|---|---|---|",
        *learned,
        "",
        "With so few clicks no gain could be told; what matters is that none is claimed.",
        "",
    ]
    given.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
