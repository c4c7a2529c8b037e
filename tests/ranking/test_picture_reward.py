from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import a_photo
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.imaging.picture_features import FEATURES, picture_features
from persona_img.ranking.picture_reward import PictureReward, train_reward
from persona_img.rendering.base import PictureJudge

NAMES = list(FEATURES)
LIGHTS, SURFACES = ("soft", "sun"), ("oak", "linen", "marble")
SUNNY = 0.4
LIGHTER = 0.5


def shop(products=24, seed=0, lighter=LIGHTER, clicks=400.0):
    """Pictures of every style of each product, and all pairs with the share that is expected."""
    rng = np.random.default_rng(seed)
    rows, labels = {}, []
    for n in range(products):
        names = []
        for light in LIGHTS:
            for surface in SURFACES:
                digest = f"p{n:02d}-{light}-{surface}"
                style = Style.of({"light": light, "surface": surface})
                rows[digest] = [style.key, *rng.normal(50.0, 10.0, len(NAMES))]
                names.append(digest)
        worth = {
            d: SUNNY * ("sun" in d) + lighter * (rows[d][1 + NAMES.index("lightness")] - 50) / 10
            for d in names
        }
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                share = rng.binomial(clicks, 1 / (1 + math.exp(worth[other] - worth[one]))) / clicks
                if share != 0.5:
                    labels.append([f"p{n:02d}", *sorted((one, other)), share, clicks])
                    if one > other:
                        labels[-1][3] = 1 - share
    pictures = pd.DataFrame.from_dict(rows, orient="index", columns=["style_key", *NAMES])
    pairs = pd.DataFrame(labels, columns=["product", "one", "other", "share", "clicks"])
    return pairs, pictures


@pytest.fixture(scope="module")
def trained():
    return train_reward(*shop())


def test_what_is_clicked_is_found(trained):
    judge, report = trained
    assert judge.effects["lightness"] == pytest.approx(LIGHTER, rel=0.15)
    others = [abs(value) for name, value in judge.effects.items() if name != "lightness"]
    assert max(others) < 0.05
    learned = judge.styles["light=sun"] - judge.styles["light=soft"]
    assert learned == pytest.approx(SUNNY, rel=0.25)
    assert judge.scale["lightness"] == pytest.approx(10.0, rel=0.15)
    assert report.accuracy > report.style_accuracy + 0.15
    assert report.gain == pytest.approx(report.accuracy - report.style_accuracy)
    assert report.interval[0] < report.gain < report.interval[1]
    assert report.helps
    assert (report.labels, report.products) == (len(shop()[0]), 24)


def test_where_only_styles_count_numbers_say_next_to_nothing_and_nothing_is_claimed():
    judge, report = train_reward(*shop(lighter=0.0))
    assert max(map(abs, judge.effects.values())) < 0.03
    assert not report.helps
    assert report.style_accuracy > 0.6


def test_a_product_is_judged_by_what_others_taught():
    """Labels that are noise within every product cannot be ordered: what was seen is not judged."""
    pairs, pictures = shop(lighter=0.0)
    rng = np.random.default_rng(3)
    noise = pairs.assign(share=np.where(rng.random(len(pairs)) < 0.5, 0.3, 0.7))
    _, report = train_reward(noise, pictures)
    assert report.accuracy == pytest.approx(0.5, abs=0.08)
    assert not report.helps


def test_twice_the_same_and_in_any_order_of_labels(trained):
    pairs, pictures = shop()
    judge, report = trained
    again, told = train_reward(
        pairs.sample(frac=1.0, random_state=1), pictures.sample(frac=1.0, random_state=2)
    )
    assert again.fingerprint() == judge.fingerprint()
    assert told == report
    assert train_reward(pairs, pictures, seed=5)[1] != report


def test_pictures_that_are_gone_are_left_out():
    pairs, pictures = shop()
    gone = pictures[~pictures.index.str.startswith("p00-sun")]
    _, report = train_reward(pairs, gone)
    assert report.labels < len(pairs)


def test_a_number_that_could_not_be_measured_counts_as_usual(trained):
    pairs, pictures = shop()
    holes = pictures.copy()
    holes.loc[holes.index[::7], "grain"] = np.nan
    holes["shadow"] = np.nan
    judge, _ = train_reward(pairs, holes)
    assert judge.effects["shadow"] == pytest.approx(0.0, abs=1e-9)
    numbers = np.full(len(NAMES), np.nan)
    style = Style.of({"light": "sun"})
    assert judge.score(style, numbers) == judge.styles["light=sun"]
    assert judge.score(style, numbers) == judge.score(style, np.array([*judge.centre.values()]))


def test_too_few_labels_are_refused_with_what_to_do():
    pairs, pictures = shop(products=11)
    with pytest.raises(NotEnoughData, match=r"of 11 products.*60 pairs of 12 products.*wait"):
        train_reward(pairs, pictures)
    pairs, pictures = shop()
    few = pairs.groupby("product").head(2)
    with pytest.raises(NotEnoughData, match="48 pairs"):
        train_reward(few, pictures)


def test_saved_and_loaded_it_says_the_same(trained, tmp_path):
    judge, _ = trained
    path = judge.save(tmp_path / "new" / "chooser.json")
    again = PictureReward.load(path)
    assert again.fingerprint() == judge.fingerprint()
    assert path.read_bytes() == again.save(tmp_path / "two.json").read_bytes()
    assert isinstance(again, PictureJudge)
    photo = a_photo(120)
    alpha = np.zeros(photo.pixels.shape[:2], np.uint8)
    alpha[40:80, 40:80] = 255
    style = Style.of({"light": "sun"})
    measured = judge.score(style, picture_features(photo.pixels, alpha))
    assert again.reward(style, photo.pixels, alpha) == measured


def test_a_file_that_is_no_judge_is_named(tmp_path, trained):
    with pytest.raises(NotFound, match="train-chooser"):
        PictureReward.load(tmp_path / "none.json")
    path = trained[0].save(tmp_path / "chooser.json")
    whole = json.loads(path.read_text())
    broken = [
        "{",
        "[]",
        json.dumps({**whole, "kind": "bayes"}),
        json.dumps({k: v for k, v in whole.items() if k != "scale"}),
        json.dumps({**whole, "scale": {**whole["scale"], "grain": 0.0}}),
        json.dumps({**whole, "effects": {**whole["effects"], "grain": "much"}}),
        json.dumps({**whole, "effects": {"grain": 1.0}}),
        json.dumps({**whole, "more": {}}),
    ]
    for text in broken:
        path.write_text(text)
        with pytest.raises(InvalidInput):
            PictureReward.load(path)


def test_a_fingerprint_names_every_effect(trained):
    judge, _ = trained
    parts = (judge.styles, judge.effects, judge.centre, judge.scale)
    prints = {judge.fingerprint()}
    for at in range(4):
        changed = [dict(part) for part in parts]
        changed[at][next(iter(changed[at]))] += 0.5
        prints.add(PictureReward(*changed).fingerprint())
    assert len(prints) == 5


numbers = st.lists(st.floats(-100, 100), min_size=len(NAMES), max_size=len(NAMES))


@settings(max_examples=50, deadline=None)
@given(
    one=numbers,
    other=numbers,
    styles=st.tuples(st.sampled_from(LIGHTS), st.sampled_from(SURFACES)),
)
def test_a_pair_turned_round_has_the_opposite_difference(trained, one, other, styles):
    judge, _ = trained
    light, surface = styles
    first, second = Style.of({"light": light, "surface": "oak"}), Style.of({"surface": surface})

    def apart(a, x, b, y):
        return judge.score(a, np.array(x)) - judge.score(b, np.array(y))

    assert apart(first, one, second, other) == -apart(second, other, first, one)
    # Within one style its values play no part.
    same = apart(first, one, first, other)
    assert same == pytest.approx(apart(second, one, second, other), abs=1e-9)


def test_turned_labels_teach_the_opposite():
    pairs, pictures = shop()
    judge, report = train_reward(pairs, pictures)
    opposite, told = train_reward(pairs.assign(share=1 - pairs["share"]), pictures)
    for name in FEATURES:
        assert opposite.effects[name] == pytest.approx(-judge.effects[name], abs=1e-6)
    assert told.accuracy == pytest.approx(report.accuracy)
