"""Anybody's log through the command line: evaluated, learned from, judged on the unseen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from program import run

MAP = "shopper=user,action=style,reward=click,propensity=p"
RATES = np.array([[0.05, 0.10, 0.30], [0.30, 0.10, 0.05]])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 users; by phone felt works, else oak."""
    rng = np.random.default_rng(4)
    user = np.repeat(np.arange(3000), 2)
    device, shown = user % 2, rng.integers(3, size=6000)
    path = tmp_path_factory.mktemp("logs") / "log.parquet"
    pd.DataFrame(
        {
            "user": user,
            "device": np.array(["desk", "phone"])[device],
            "style": np.array(["felt", "linen", "oak"])[shown],
            "click": (rng.random(6000) < RATES[device, shown]).astype(int),
            "p": 1 / 3,
        }
    ).to_parquet(path)
    return path


def test_a_uniform_log_earns_under_uniform_what_it_earned(log: Path) -> None:
    done = run("evaluate", log, "--map", MAP, "--json")
    found = json.loads(done.stdout)
    clicks = pd.read_parquet(log)["click"].mean()
    assert found["chosen"] == "DR"
    assert found["estimates"]["IPS"]["value"] == pytest.approx(clicks)
    assert found["gain"]["low"] < 0 < found["gain"]["high"]
    assert "* DR" in run("evaluate", log, "--map", MAP).stdout


def test_a_learned_policy_earns_more_on_shoppers_it_did_not_learn_from(
    log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "policy.parquet"
    options = ("--context", "device", "--action", "style", "--reward", "click", "--unit", "user")
    said = json.loads(
        run("fit", log, *options, "--propensity", "p", "--policy-out", out, "--json").stdout
    )
    assert said["contexts"] == 3  # and one for others
    assert said["gain"]["low"] > 0.05
    held = said["overlap"]["shoppers"]
    assert said["impressions"] == 2 * (3000 - held)
    again = json.loads(run("evaluate", log, "--map", MAP, "--policy", out, "--json").stdout)
    assert again["estimates"] == said["estimates"]
    first = pq.read_table(out).to_pandas()
    assert first.groupby(first["device"].fillna("")).probability.sum().round(9).tolist() == [1] * 3
    run("fit", log, *options, "--policy-out", tmp_path / "same.parquet")
    assert (tmp_path / "same.parquet").read_bytes() == out.read_bytes()


def test_a_thin_overlap_is_refused_with_its_reason(log: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    pd.read_parquet(log)[:3].to_csv(few, index=False)
    done = run("evaluate", few, "--map", MAP)
    assert done.returncode == 1
    assert "fewest" in done.stderr
    assert "IPS" not in done.stdout


def test_what_a_shop_serves_is_a_policy_too(tmp_path: Path) -> None:
    from persona_img import Settings, Shop
    from persona_img.domain.decision import Candidate, DecisionTable, Slate
    from persona_img.domain.style import ORIGINAL, Style

    shop = Shop.begin(Settings(home=tmp_path / "shop"))
    soft = Style.of({"light": "soft"})
    slate = Slate((Candidate(soft, "d" * 64, 0.8), Candidate(ORIGINAL, None, 0.2)))
    shop.workspace.save_decision_table(DecisionTable("v1", {("all", "mug"): slate}, {}, "all"))
    shown = np.tile([soft.key, ORIGINAL.key], 100)
    table = pd.DataFrame(
        {
            "user": np.arange(200),
            "segment": "all",
            "product": "mug",
            "style": shown,
            "click": np.tile([1, 0, 0, 0], 50),
            "p": 0.5,
        }
    )
    table.to_csv(tmp_path / "log.csv", index=False)
    found = json.loads(
        run(
            "evaluate", tmp_path / "log.csv", "--map", MAP, "--policy", "champion", "--json",
            "--home", tmp_path / "shop",
        ).stdout
    )  # fmt: skip
    assert found["estimates"]["IPS"]["value"] == pytest.approx(0.8 * 0.5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--map", "action=style"), "no column is the reward"),
        (("--map", "user"), "--map user: one column each"),
        (("--map", "action=style,action=click"), "one column each"),
        (("--map", "action=style,reward=click,shopper=nobody"), "no column nobody"),
        (("--map", MAP, "--policy", "softmax"), "uniform, champion or a file"),
    ],
)
def test_what_cannot_be_meant_is_refused(log: Path, options: tuple[str, ...], words: str) -> None:
    done = run("evaluate", log, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert not done.stdout


def test_a_mapping_without_a_log_is_refused() -> None:
    done = run("evaluate", "--map", MAP)
    assert done.returncode == 2
    assert "name its file" in done.stderr
