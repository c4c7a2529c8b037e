"""One shop of one's own through the command line: every step is the real program.

Its service, and retraining, which reads whatever the steps before left, run in processes of
their own.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest

import program
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.popularity import PopularityRanker
from persona_img.serving.run import ServiceProcess
from persona_img.shop import Shop

pytestmark = pytest.mark.slow

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
SETTINGS = """
[render]
backdrops = "plain"

[learn]
segments = 2
least_shoppers = 20
slate = 2
variants_per_product = 2

[serve]
decision_ms = 10000
"""


def run(home: Path, *arguments: object, status: int = 0, apart: bool = False) -> str:
    done = (program.run_apart if apart else program.run)(*arguments, "--home", home)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop up to the point where it can be served."""
    home = tmp_path_factory.mktemp("shops") / "mine"
    run(home, "catalog", "add", PHOTOS / "dress-01.jpg", "--category", "dress", "--licence", "own")
    run(home, "catalog", "add", PHOTOS / "shirt-01.jpg", "--category", "shirt", "--licence", "own")
    (home / "persona-img.toml").write_text(SETTINGS)
    run(home, "simulate", "--shoppers", 200, "--days", 30, "--until", "2026-03-02")
    run(home, "profile", "--as-of", "2026-03-02")
    return home


def test_the_loop_turns_step_by_step(home: Path) -> None:
    said = run(home, "prepare")
    assert "approved" in said
    assert "policy cold-" in said
    command = [sys.executable, "-m", "persona_img", "serve", "--home", str(home), "--port", "0"]
    with ServiceProcess(command, home / "service.log") as service:
        visits = ("--shoppers", 200, "--visits", 6, "--until", "2026-03-02", "--url", service.url)
        assert "SIMULATED" in run(home, "simulate", *visits)
        answer = httpx.get(f"{service.url}/v1/variant?shopper=zoe&product=dress-01").json()
        assert answer["propensity"] > 0
        picture = httpx.get(service.url + answer["image_url"])
        assert picture.headers["content-type"].startswith("image/")
    report = json.loads(run(home, "analyze", "--json"))
    assert report["unit"] == "shopper"
    assert {arm["arm"] for arm in report["arms"]} == {"control", "personalized"}
    said = run(home, "retrain", "--promote-if-better", apart=True)
    assert "off-policy" in said
    assert "version 2" in said  # the cold ranker is the first


def test_ranking_is_told_as_json_and_an_unknown_segment_is_named(home: Path) -> None:
    lines = [json.loads(line) for line in run(home, "rank", "--json", "--top", 2).splitlines()]
    assert {line["product"] for line in lines} == {"dress-01", "shirt-01"}
    assert all(len(line["styles"]) == 2 for line in lines)
    assert "choose one" in run(home, "rank", "--segment", "martians", status=2)


def test_what_the_champion_learned_is_told(home: Path) -> None:
    """And kept beside the registered ranker, for whoever reads experiments."""
    from contracts.ranker import FEATURES, feedback

    shop = Shop.open(home)
    # whether the loop before promoted a better one hangs on who was drawn into which arm
    shop._register(PopularityRanker(), "popularity", promote=True)
    assert "popularity ranker" in run(home, "effects", status=2)
    shop._register(BayesRanker().fit(feedback(), FEATURES), "bayes", promote=True)
    said = run(home, "effects", "--kind", "value", "--top", 1)
    assert re.fullmatch(r"value  surface=wood  \+\d+\.\d% \(95 %: \+.* to \+.*\)\n", said)
    lines = [json.loads(line) for line in run(home, "effects", "--json").splitlines()]
    version = shop.tracker.champion()
    assert version is not None
    kept = pd.read_csv(shop.tracker.fetch_ranker(version, home / "fetched") / "effects.csv")
    assert {line["kind"] for line in lines} == set(kept["kind"])
    segment = run(home, "effects", "--whose", "g0", "--kind", "segment x value", "--top", 2)
    assert len(segment.splitlines()) == 2
    assert "choose one" in run(home, "effects", "--kind", "taste", status=2)
    assert "there are category=hat" in run(home, "effects", "--whose", "g9", status=2)
    assert re.fullmatch(
        r"base  clicked \d+\.\d\d% of the time\n", run(home, "effects", "--kind", "base")
    )


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("profile",), "persona-img"),
        (("rank",), "persona-img"),
        (("analyze",), "no events"),
        (("retrain",), "persona-img"),
        (("serve",), "persona-img"),
        (("rollback",), "champion"),
    ],
)
def test_a_step_too_early_names_the_step_before(
    tmp_path: Path, command: tuple[str, ...], says: str
) -> None:
    assert says in run(tmp_path / "new", *command, status=2)
