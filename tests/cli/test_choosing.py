"""Learning which pictures are clicked, and what is missing, by command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contracts.ranker import FEATURES as SHOPPERS
from contracts.ranker import PRODUCTS, SEGMENTS, SPACE, feedback
from examples import STYLE
from persona_img import wiring
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotFound
from persona_img.imaging.picture_features import FEATURES, picture_features
from persona_img.loop import Profiled
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.picture_reward import PictureReward
from persona_img.rendering.base import Variant
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.settings import Settings
from persona_img.shop import Shop
from program import run

START = pd.Timestamp("2026-03-02", tz="UTC")
LIGHTNESS = list(FEATURES).index("lightness")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with segments and products; nothing was shown yet."""
    settings = Settings(
        home=tmp_path / "shop",
        stores={"features": "frame", "tracker": "folder"},
        render={"backdrops": "plain"},
    )
    shop = Shop.begin(settings)
    moment = np.datetime64("2026-01-01T00:00:00").astype("datetime64[s]").item()
    describing = SHOPPERS.segments.assign(shoppers=1)
    Profiled(moment, {}, SEGMENTS[0], SHOPPERS, describing).save(shop.workspace)
    return shop


def logged(products: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Impressions of four pictures a product, the lighter clicked more; and their numbers."""
    rng = np.random.default_rng(seed)
    cells, rows = [], {}
    for product in range(products):
        for n, light in enumerate(("soft", "side", "sun", "window")):
            digest = f"{product:02d}-{n}"
            numbers = rng.normal(50.0, 10.0, len(FEATURES))
            rows[digest] = [f"light={light}", *numbers.tolist()]
            rate = 0.05 * np.exp(0.05 * (numbers[LIGHTNESS] - 50.0))
            cells.append(
                pd.DataFrame(
                    {
                        "product": f"p{product:02d}",
                        "segment": "g0",
                        "style_key": f"light={light}",
                        "digest": digest,
                        "policy_version": "v1",
                        "position": 1,
                        "shown_at": START + pd.to_timedelta(np.arange(1500), unit="min"),
                        "clicked": (rng.random(1500) < rate).astype(np.int64),
                    }
                )
            )
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["style_key", *FEATURES])
    return pd.concat(cells, ignore_index=True), table


def taught(monkeypatch: pytest.MonkeyPatch, products: int) -> None:
    impressions, numbers = logged(products)
    monkeypatch.setattr(Shop, "mature_feedback", lambda self: impressions)
    monkeypatch.setattr(Shop, "_measured", lambda self, digests: numbers.loc[digests])


def test_a_judge_is_learned_said_and_used(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taught(monkeypatch, 20)
    home = shop.settings.home
    done = run("train-chooser", "--home", home)
    assert done.returncode == 0, done.stderr
    assert "of 20 products learned" in done.stdout
    path = home / "chooser.json"
    assert f'[render] chooser = "{path}"' in done.stdout
    judge = PictureReward.load(path)
    assert max(judge.effects, key=lambda name: judge.effects[name]) == "lightness"
    other = run("train-chooser", "--home", home, "--json", "-o", tmp_path / "mine.json")
    found = json.loads(other.stdout)
    assert found["helps"] is True
    assert found["accuracy"] > found["style_accuracy"]
    assert Path(found["chooser"]).read_bytes() == path.read_bytes()

    settings = Settings(home=home, render={"backdrops": "plain", "chooser": path, "candidates": 2})
    chooser = wiring.renderer(settings).chooser
    assert chooser is not None
    assert chooser.fingerprint() == judge.fingerprint()


def test_what_is_no_better_than_styles_is_said_to_be(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    impressions, numbers = logged(20)
    rng = np.random.default_rng(1)
    mixed = numbers.assign(**{n: rng.normal(50, 10, len(numbers)) for n in FEATURES})
    monkeypatch.setattr(Shop, "mature_feedback", lambda self: impressions)
    monkeypatch.setattr(Shop, "_measured", lambda self, digests: mixed.loc[digests])
    done = run("train-chooser", "--home", shop.settings.home)
    assert "leave [render] chooser unset" in done.stdout


def test_too_few_labels_are_refused_and_nothing_is_written(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(monkeypatch, 5)
    done = run("train-chooser", "--home", shop.settings.home, "--impressions", 600)
    assert done.returncode == 2
    assert "with 600 impressions of each picture" in done.stderr
    assert "of 5 products" in done.stderr
    assert "wait for more" in done.stderr
    assert not (shop.settings.home / "chooser.json").exists()


def test_before_anything_was_served_that_is_said(shop: Shop) -> None:
    done = run("train-chooser", "--home", shop.settings.home)
    assert done.returncode == 2
    assert "no events yet" in done.stderr


def test_stored_variants_are_measured_as_they_were_rendered(shop: Shop, variant: Variant) -> None:
    shop.variants.put(variant, "shirt")
    found = shop._measured([variant.digest, "0" * 64])
    assert found.index.tolist() == [variant.digest]
    assert found.loc[variant.digest, "style_key"] == STYLE.key
    numbers = picture_features(variant.pixels, variant.alpha)
    assert found.loc[variant.digest, list(FEATURES)].tolist() == numbers.tolist()


def test_a_chooser_without_a_choice_or_a_file_is_refused(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(InvalidInput, match=r"candidates=1.*set \[render\] candidates to 2"):
        Settings.load(home=shop.settings.home, render={"chooser": path})
    kept = Settings.load(home=shop.settings.home, render={"chooser": path, "candidates": 2})
    with pytest.raises(NotFound, match="train-chooser"):
        wiring.renderer(kept)


def test_without_the_setting_nobody_chooses(shop: Shop) -> None:
    renderer = wiring.renderer(shop.settings)
    assert renderer.chooser is None
    plain = BackdropRenderer(PlainBackdrops(), renderer.settings, renderer.masker, renderer.judge)
    assert renderer.fingerprint() == plain.fingerprint()


@pytest.fixture
def ranked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Its champion knows what the segments like; nothing was rendered."""
    ranker = BayesRanker(half_life=14.0).fit(feedback(), SHOPPERS)
    products = [Product(p, "hat", p, Path("x.png"), "own") for p in PRODUCTS]
    monkeypatch.setattr(Shop, "catalog", Catalog(products))
    monkeypatch.setattr(Shop, "champion", lambda self: (ranker, "bayes"))
    monkeypatch.setattr(Shop, "space", SPACE)
    return shop


def test_styles_worth_rendering_are_listed_by_segment(ranked: Shop) -> None:
    home = ranked.settings.home
    done = run("propose", "--home", home, "--top", 2)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["g0"] * 2
    assert "surface=wood" in lines[0]
    assert "light=sun" in lines[0]
    found = [
        json.loads(line) for line in run("propose", "--home", home, "--json").stdout.splitlines()
    ]
    assert len(found) == 5
    assert Style(found[0]["style"]) in SPACE.styles()
    assert [one["worth"] for one in found] == sorted((o["worth"] for o in found), reverse=True)


def test_an_unknown_segment_is_refused(ranked: Shop) -> None:
    done = run("propose", "--home", ranked.settings.home, "--segment", "nobody")
    assert done.returncode == 2
    assert "'nobody'" in done.stderr
    assert "g0" in done.stderr
