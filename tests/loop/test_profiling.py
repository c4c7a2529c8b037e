"""Interactions become segments and features, and these know nothing of what comes later."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persona_img import loop
from persona_img.domain.catalog import Catalog
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.frame import FrameFeatureSource
from persona_img.simulate.shop import SimulatedShop
from persona_img.workspace import Workspace

from .conftest import AS_OF


def test_every_segment_is_large_enough_and_what_is_kept_comes_back(
    profiled: loop.Profiled, workspace: Workspace
) -> None:
    sizes = pd.Series(list(profiled.segments.values())).value_counts()
    assert sizes.min() >= 20
    profiled.save(workspace)
    again = loop.Profiled.load(workspace)
    assert again.segments == profiled.segments
    pd.testing.assert_frame_equal(again.features.segments, profiled.features.segments)


def test_segments_keep_their_names_from_one_fit_to_the_next(
    catalog: Catalog,
    shop: SimulatedShop,
    profiled: loop.Profiled,
    tmp_path: Path,
) -> None:
    workspace = Workspace.open(tmp_path / "home")
    later = AS_OF + timedelta(days=14)
    fortnight = shop.interactions(30, later)
    both = pd.concat([shop.interactions(30, AS_OF), fortnight[fortnight["occurred_at"] >= AS_OF]])
    active = sorted(profiled.segments)[:40]
    few = both[(both["occurred_at"] < AS_OF) | both["shopper"].isin(active)]
    profiled.save(workspace)
    given = {"count": 3, "least": 20, "seed": 1}

    def again(name: str, as_of: datetime, like: loop.Profiled, **other: int) -> loop.Profiled:
        source = FrameFeatureSource(tmp_path / name)
        return loop.profile(few, catalog, source, as_of=as_of, like=like, **(given | other))

    kept = again("kept", later, loop.Profiled.load(workspace))
    changed = [s for s, name in profiled.segments.items() if kept.segments[s] != name]
    assert len(changed) < 0.05 * len(profiled.segments)
    assert profiled.groups is not None
    assert kept.groups is not None
    assert kept.groups.version == profiled.groups.version == 1

    more = again("more", later, kept, count=5)
    assert more.groups is not None
    assert more.groups.version == 2
    more.save(workspace)
    assert workspace.json("segments/version-1")["names"] == list(profiled.groups.names)
    loaded = loop.Profiled.load(workspace)
    assert loaded.groups is not None
    assert loaded.groups.names == more.groups.names
    # Nothing of a later moment is used: an earlier one begins anew, under a number of its own.
    early = again("early", AS_OF, loaded)
    assert early.segments == profiled.segments
    assert early.groups is not None
    assert early.groups.version == 3


def test_the_number_of_segments_is_chosen_where_asked_for(
    catalog: Catalog, shop: SimulatedShop, profiled: loop.Profiled, tmp_path: Path
) -> None:
    """Of pure chance, one segment; of a history too short to tell, as many as wanted."""
    past = shop.interactions(30, AS_OF)
    rng = np.random.default_rng(0)
    chance = past.assign(product=rng.choice(sorted(set(past["product"])), len(past)))
    recent = past[past["occurred_at"] >= AS_OF - timedelta(days=28)]
    found = [
        loop.profile(
            frame,
            catalog,
            FrameFeatureSource(tmp_path / name),
            as_of=AS_OF,
            count=3,
            least=20,
            seed=1,
            choose=True,
        )
        for name, frame in (("chance", chance), ("recent", recent))
    ]
    assert [len(one.description) for one in found] == [1, 3]


def test_training_features_know_nothing_of_what_came_later(
    catalog: Catalog, shop: SimulatedShop, tmp_path: Path
) -> None:
    past = shop.interactions(30, AS_OF)
    later = past.assign(occurred_at=past["occurred_at"] + pd.Timedelta(days=40))
    made = [
        loop.profile(
            interactions,
            catalog,
            FrameFeatureSource(tmp_path / str(i)),
            as_of=AS_OF,
            count=3,
            least=20,
            seed=1,
        )
        for i, interactions in enumerate((past, pd.concat([past, later])))
    ]
    pd.testing.assert_frame_equal(made[0].features.segments, made[1].features.segments)
    assert made[0].segments == made[1].segments


def test_a_history_outlives_its_products(
    catalog: Catalog, shop: SimulatedShop, profiled: loop.Profiled, tmp_path: Path
) -> None:
    past = shop.interactions(30, AS_OF)
    gone = past.assign(product="gone-01")
    made, none = FrameFeatureSource(tmp_path / "made"), FrameFeatureSource(tmp_path / "none")
    given = {"as_of": AS_OF, "count": 3, "least": 20, "seed": 1}
    both = loop.profile(pd.concat([past, gone]), catalog, made, **given)
    assert both.segments == profiled.segments
    assert "gone-01" not in both.features.products.index
    with pytest.raises(NotEnoughData, match="are products named alike"):
        loop.profile(gone, catalog, none, **given)


def test_times_without_a_zone_are_refused_before_anything_else(
    catalog: Catalog, shop: SimulatedShop, tmp_path: Path
) -> None:
    naive = shop.interactions(30, AS_OF)
    naive["occurred_at"] = naive["occurred_at"].dt.tz_localize(None)
    for wrong in (naive, naive.astype({"occurred_at": str})):
        with pytest.raises(InvalidInput, match="give times with a time zone"):
            loop.profile(
                wrong, catalog, FrameFeatureSource(tmp_path), as_of=AS_OF, count=3, least=20, seed=1
            )
    with pytest.raises(InvalidInput, match="no column occurred_at"):
        loop.profile(
            naive.rename(columns={"occurred_at": "timestamp"}), catalog,
            FrameFeatureSource(tmp_path), as_of=AS_OF, count=3, least=20, seed=1,
        )  # fmt: skip


def test_no_history_is_refused(catalog: Catalog, shop: SimulatedShop, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="history"):
        loop.profile(
            shop.interactions(30, AS_OF).iloc[:0], catalog, FrameFeatureSource(tmp_path),
            as_of=AS_OF, count=3, least=20, seed=1,
        )  # fmt: skip
