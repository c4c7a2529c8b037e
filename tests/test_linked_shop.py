"""A shop whose shoppers log in: one person is one unit, wherever the shop looks."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pandas as pd

import persona_img as pi
from contracts.event_log import a_decision
from persona_img import wiring
from persona_img.domain.people import Link
from persona_img.serving.receive import Receiver, Sent
from persona_img.settings import Settings


def a_shop(home: Path) -> pi.Shop:
    stores = {"features": "frame", "tracker": "folder"}
    return pi.Shop.begin(Settings(home=home, test={"name": "hero"}, stores=stores))


def test_analysis_and_feature_store_know_persons(tmp_path: Path, monkeypatch) -> None:
    shop = a_shop(tmp_path / "mine")
    signer, now, arms = wiring.signer(shop.settings, shop.workspace), time.time(), {}
    assign, sent = wiring.arms(shop.settings).assign, []
    links = [Link(f"c{n}", f"login{n}") for n in range(60)]
    # Every browser was seen before its login, which came from elsewhere before it was linked.
    for after, names in enumerate(([one.anonymous for one in links], [o.login for o in links])):
        for name in names:
            arms[name] = assign(name)
            at = now - 100 + after
            decision = a_decision(shopper=name, arm=arms[name], decided_at=at, style_key="original")
            token = signer.sign(signer.show(decision, at))
            sent += [Sent(kind, token, occurred_at=at) for kind in ("impression", "click")]
    with closing(wiring.event_log(shop.workspace)) as log:
        Receiver(log, signer, "hero").record(dict(enumerate(sent)), now)
        report, _ = shop.analyse()
        assert (sum(arm.shoppers for arm in report.arms), report.mixed) == (120, 0)
        assert all(one.unit == one_link.anonymous for one, one_link in zip(
            log.link(links, now), links, strict=True))  # fmt: skip
    report, _ = shop.analyse()
    mixed = sum(arms[one.anonymous] != arms[one.login] for one in links)
    assert (report.mixed, report.crossed) == (mixed, 0)
    assert 10 < mixed < 50
    by_arm = {arm: sum(arms[one.anonymous] == arm for one in links) for arm in set(arms.values())}
    assert {arm.arm: arm.shoppers for arm in report.arms} == by_arm
    assert {arm.arm: arm.clicks for arm in report.arms} == {a: 2 * n for a, n in by_arm.items()}
    assert set(shop.feedback()["shopper"]) == {one.anonymous for one in links}
    pushed: list[pd.DataFrame] = []
    monkeypatch.setattr(shop.features, "push", pushed.append)
    shop.push()
    assert set(pushed[0]["shopper"]) == {one.login for one in links}
