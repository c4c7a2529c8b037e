"""A shop that holds shoppers out, from its settings to its analysis."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

import persona_img as pi
from contracts.event_log import a_decision
from persona_img import wiring
from persona_img.serving.receive import Receiver, Sent
from persona_img.settings import Settings


def a_shop(home: Path, **test: object) -> pi.Shop:
    stores = {"features": "frame", "tracker": "folder"}
    return pi.Shop.begin(Settings(home=home, test={"name": "hero", **test}, stores=stores))


def test_analysis_tells_the_holdout_and_feedback_does_not(tmp_path: Path) -> None:
    shop = a_shop(tmp_path / "mine", holdout_share=0.2)
    holdout = wiring.holdout(shop.settings)
    assert holdout == pi.Holdout("holdout", 0.2)
    signer, now, sent = wiring.signer(shop.settings, shop.workspace), time.time(), []
    arms = wiring.arms(shop.settings)
    for name in (f"s{n}" for n in range(100)):
        group = ("holdout", "control") if holdout.includes(name) else ("hero", arms.assign(name))
        decision = a_decision(shopper=name, test=group[0], arm=group[1], decided_at=now)
        token = signer.sign(signer.show(decision, now))
        sent += [Sent(kind, token) for kind in ("impression", "click")]
    with closing(wiring.event_log(shop.workspace)) as log:
        receiver = Receiver(log, signer, "hero", holdout=holdout.name)
        assert receiver.record(dict(enumerate(sent)), now + 1).new == 200
    report, _ = shop.analyse()
    held = sum(holdout.includes(f"s{n}") for n in range(100))
    assert report.holdout is not None
    assert (report.holdout.shoppers, report.holdout.ctr) == (held, 1.0)
    assert sum(arm.shoppers for arm in report.arms) == 100 - held
    assert set(shop.feedback()["test"]) == {"hero"}
    assert set(shop.holdout_feedback()["test"]) == {"holdout"}


def test_a_shop_holds_out_nobody_unless_told(tmp_path: Path) -> None:
    assert wiring.holdout(a_shop(tmp_path / "mine").settings) is None


def test_test_and_holdout_have_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give one of them another name"):
        a_shop(tmp_path / "mine", holdout_share=0.1, holdout_name="hero")
