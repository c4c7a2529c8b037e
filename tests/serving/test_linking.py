"""Names that become one person: who decides, what is seen, and who counts for what."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from contracts.event_log import a_showing, see
from examples import SIGNER, watched
from persona_img.abtest.analysis import ABTest
from persona_img.domain.decision import Arms, DecisionTable, Ramp
from persona_img.domain.holdout import Holdout
from persona_img.domain.people import Link, Person
from persona_img.serving.app import create_app
from persona_img.serving.archive import Archive
from persona_img.serving.decide import Decider
from persona_img.serving.history import History
from persona_img.serving.joining import LINKS, joined, joined_units, links_table, logins_of
from persona_img.serving.linking import Holds, settle
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.sqlite_prune import prune
from persona_img.serving.sqlite_reader import SqliteReader

from .conftest import TOKEN, stored_variant
from .test_decide import HALVES, NOON, a_table, slate
from .test_halts import ARMS, CATALOG, NAMES, TABLE

links = st.lists(
    st.builds(Link, st.sampled_from(["a", "b", "c", "l", "m"]), st.sampled_from(["a", "l", "m"])),
    max_size=12,
)


def names_in(arm: str, arms: Arms = HALVES, begin: str = "c") -> list[str]:
    return [name for n in range(400) if arms.assign(name := f"{begin}{n}") == arm]


@given(links, st.dictionaries(st.sampled_from("abclm"), st.floats(0, 9)), st.integers(0, 12))
def test_every_name_has_one_unit_for_good_however_links_are_sent(given_links, seen, cut):
    def told(calls):
        rows, outcomes = {}, []
        for some in calls:
            known = Holds(
                {name: login for name, login, _ in rows.values()},
                {login: unit for _, login, unit in rows.values()},
                {one: sum(row[1] == one for row in rows.values()) for one in "abclm"},
                {name: when for name, when in seen.items() if name in "al"},
                seen,
            )
            done = settle(some, known)
            assert not rows.keys() & {row[0] for row in done.rows}
            rows |= {row[0]: row for row in done.rows}
            outcomes += done.outcomes
        return rows, outcomes

    rows, outcomes = told([given_links])
    assert told([given_links[:cut], given_links[cut:]]) == (rows, outcomes)
    again, second = told([given_links, given_links])
    assert again == rows
    assert [o.fate for o in second[len(given_links) :]] == [
        "refused" if one.fate == "refused" else "known" for one in outcomes
    ]
    units = {login: {row[2] for row in rows.values() if row[1] == login} for login in "abclm"}
    assert all(len(some) <= 1 for some in units.values())
    for _, login, unit in rows.values():
        assert rows[unit][1] == login  # a unit is a name of its own person


@pytest.mark.parametrize("arm", ["control", "personalized"])
def test_a_login_keeps_the_picture_that_the_browser_showed(arm):
    decider = Decider(a_table(), HALVES, MemoryEventLog())
    browser = next(
        name for name in names_in(arm)
        if arm == "control" or decider.decide(name, "mug", NOON).digest
    )  # fmt: skip
    other = {"control": "personalized", "personalized": "control"}[arm]
    login = names_in(other, begin="login")[0]
    before = watched(decider, browser, "mug", NOON)
    not_seen = decider.decide(browser, "mug", NOON)
    decider.log.link([Link(browser, login)], NOON)
    for name in (browser, login):
        after = decider.decide(name, "mug", NOON + 5)
        assert after == replace(before, shopper=name)
        assert (after.arm, after.digest) == (arm, not_seen.digest)


def test_a_page_that_is_open_at_the_login_shows_the_same_too():
    # Nothing of it was seen yet: the draw is the unit's.
    decider = Decider(a_table(), HALVES, MemoryEventLog())
    for n, browser in enumerate(names_in("personalized")[:30]):
        before = decider.decide(browser, "mug", NOON)
        decider.log.link([Link(browser, f"login{n}")], NOON)
        after = decider.decide(f"login{n}", "mug", NOON)
        assert after == replace(before, shopper=f"login{n}")


def test_a_known_login_gives_the_browser_its_arm_and_keeps_what_was_seen_in_that_arm():
    decider = Decider(a_table(), HALVES, MemoryEventLog())
    login = names_in("personalized", begin="login")[0]
    same, other = names_in("personalized")[0], names_in("control")[0]
    kept = watched(decider, login, "mug", NOON)
    mine = watched(decider, same, "mug", NOON + 1)
    photo = watched(decider, other, "mug", NOON + 2)
    assert photo.arm == "control"
    decider.log.link([Link(same, login), Link(other, login)], NOON + 3)
    for name in (login, same, other):
        # Within an arm the draw that was made last is what everybody of the plan keeps.
        assert decider.decide(name, "mug", NOON + 9) == replace(mine, shopper=name)
    assert kept.arm == mine.arm == "personalized"


def test_the_change_budget_is_the_persons():
    decider = Decider(a_table(), HALVES, MemoryEventLog(), change_budget=1)
    browser = names_in("personalized")[0]
    watched(decider, browser, "mug", NOON)
    decider.log.link([Link(browser, "ann")], NOON)
    decider.replace(a_table("v2"))
    assert watched(decider, "ann", "mug", NOON + 1).policy_version == "v2"
    decider.replace(a_table("v3"))
    for name in ("ann", browser):
        assert decider.decide(name, "mug", NOON + 2).policy_version == "v2"


def test_holdout_and_ramp_are_the_units():
    held = Holdout("holdout", 0.5)
    challenger = a_table("v9", slate(0.1, 0.9))
    ramp = Ramp(challenger, 0.5)
    decider = Decider(a_table(), HALVES, MemoryEventLog(), holdout=held, ramp=ramp)
    found = set()
    for n in range(60):
        browser, login = f"c{n}", f"login{n}"
        before = decider.decide(browser, "mug", NOON)
        decider.log.link([Link(browser, login)], NOON)
        after = decider.decide(login, "mug", NOON)
        assert after == replace(before, shopper=login)
        found.add((after.test, after.arm, after.policy_version))
    assert len(found) == 4  # held out, control, the table, the challenger


def test_the_profile_is_the_logins():
    slates = {("cooks", "mug"): slate(0.1, 0.9), ("all", "mug"): slate(0.9, 0.1)}
    decider = Decider(
        DecisionTable("v1", slates, {"ann": "cooks"}, "all"), HALVES, MemoryEventLog()
    )
    assert decider.decide("c1", "mug", NOON).segment == "all"
    decider.log.link([Link("c1", "ann"), Link("c2", "bob")], NOON)
    segments = {name: decider.decide(name, "mug", NOON).segment for name in ("c1", "ann", "c2")}
    assert segments == {"c1": "cooks", "ann": "cooks", "c2": "all"}
    assert Person("c1", "ann", ("ann", "c1")).profile(["c1"]) == "c1"


def test_propensities_of_persons_are_their_chances():
    # Weights of what was shown average to 1, for units that are drawn as for any other.
    arms = Arms("hero", {"control": 0.001, "personalized": 0.999})
    decider = Decider(a_table(), arms, MemoryEventLog())
    unlinked = Decider(a_table(), arms, MemoryEventLog())
    weights, moved = [], 0
    for n in range(3000):
        browser, login = f"c{n}", f"login{n}"
        decider.log.link([Link(browser, login)], NOON)
        unit = decider.log.person(login).unit
        decision = decider.decide(login, "mug", NOON)
        assert decision.digest == unlinked.decide(unit, "mug", NOON).digest
        other = browser if unit == login else login
        moved += decision.digest != unlinked.decide(other, "mug", NOON).digest
        if decision.arm == "personalized":
            weights.append((decision.digest is None) / decision.propensity)
    assert sum(weights) / len(weights) == pytest.approx(1.0, abs=0.12)
    assert moved > 300  # the other name alone would have been drawn otherwise


@pytest.fixture
def client(tmp_path: Path):
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        app = create_app(
            Decider(TABLE, ARMS, log), CATALOG, stored_variant, signer=SIGNER,
            decision_seconds=20.0, tokens=[TOKEN],
        )  # fmt: skip
        with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            client.path, client.log = tmp_path / "log.sqlite", log
            yield client


def shown(client: TestClient, shopper: str) -> dict:
    return client.get("/v1/variant", params={"shopper": shopper, "product": NAMES[0]}).json()


def test_over_http_the_picture_stays_at_the_login(client):
    browser = names_in("personalized", ARMS)[0]
    first = shown(client, browser)
    events = [{"kind": "impression", "token": first["token"]}]
    assert client.post("/v1/events", json={"events": events}).json()["accepted"] == 1
    sent = {"links": [{"anonymous": browser, "login": "ann"}]}
    told = client.post("/v1/links", json=sent).json()
    one = {"anonymous": browser, "login": "ann", "outcome": "linked", "unit": browser}
    assert told == {"linked": 1, "known": 0, "refused": 0, "links": [one | {"reason": None}]}
    assert client.post("/v1/links", json=sent).json()["known"] == 1
    second = shown(client, "ann")
    same = ("arm", "digest", "style", "propensity", "policy_version", "image_url")
    assert {k: second[k] for k in same} == {k: first[k] for k in same}
    body = {"links": [{"anonymous": browser, "login": "bob"}]}
    refused = client.post("/v1/links", json=body).json()
    assert (refused["refused"], refused["links"][0]["unit"]) == (1, None)
    assert repr(browser) in refused["links"][0]["reason"]
    text = client.get("/metrics").text
    for outcome in ("linked", "known", "refused"):
        assert f'persona_img_links_total{{outcome="{outcome}"}} 1.0' in text


def test_a_token_says_only_the_name_that_was_asked_for(client):
    client.post("/v1/links", json={"links": [{"anonymous": "c1", "login": "ann"}]})
    for name in ("c1", "ann"):
        showing = SIGNER.read(shown(client, name)["token"], time.time())
        assert showing.decision.shopper == name


def test_pages_may_not_link_names(client):
    body = {"links": [{"anonymous": "c1", "login": "ann"}]}
    page = client.post("/v1/links", json=body, headers={"Origin": "http://127.0.0.1"})
    assert page.status_code == 403
    assert "not from a page" in page.json()["detail"]
    for bad in ({}, {"links": [{"anonymous": "no name", "login": "ann"}]}, {"links": [{}]}):
        assert client.post("/v1/links", json=bad).status_code == 422
    assert client.post("/v1/links", json={"links": []}).json()["links"] == []


def test_a_log_that_takes_nothing_is_told_and_nothing_is_linked(client):
    body = {"links": [{"anonymous": "c1", "login": "ann"}]}
    client.log.close()
    refused = client.post("/v1/links", json=body)
    assert (refused.status_code, int(refused.headers["retry-after"])) == (503, 1)
    with closing(SqliteEventLog(client.path)) as later:
        assert later.person("c1") is None


def test_another_process_knows_it_and_so_does_a_restart(client):
    client.post("/v1/links", json={"links": [{"anonymous": "c1", "login": "ann"}]})
    with closing(SqliteEventLog(client.path)) as other:
        assert other.person("ann").names == ("ann", "c1")
        other.link([Link("c2", "ann")], NOON)
    sent = {"links": [{"anonymous": "c2", "login": "ann"}]}
    assert client.post("/v1/links", json=sent).json()["known"] == 1
    with closing(SqliteEventLog(client.path)) as later:
        assert later.person("c1").names == ("ann", "c1", "c2")


def test_history_has_persons_in_archive_and_log(tmp_path):
    path = tmp_path / "log.sqlite"
    history = History(
        Archive(tmp_path / "archive"),
        lambda: SqliteReader(path),
        lambda through, before: prune(path, through, before),
    )
    with closing(SqliteEventLog(path)) as log:
        see(log, *(a_showing(n, shopper=f"c{n}") for n in range(4)))
        history.archive()
        log.link([Link("c1", "ann"), Link("c2", "ann")], NOON)
        see(log, a_showing(8, shopper="ann"), a_showing(9, shopper="bob"))
        whole = log.feedback()
        assert history.frame().equals(whole)
        assert sorted(whole["shopper"]) == ["bob", "c0", "c1", "c1", "c1", "c3"]
        for batch in history.batches():  # as categories they may not be there twice
            assert batch.to_pandas()["shopper"].cat.categories.is_unique
        assert joined_units(history.links()) == {"c1"}
        assert logins_of(history.links()) == {"c1": "ann"}


def test_nothing_is_joined_where_nobody_is_linked():
    table = links_table([])
    assert table.schema == LINKS
    assert joined("whatever it is", table) == "whatever it is"


def test_a_person_of_several_arms_counts_for_the_one_that_is_served():
    photo, drawn = names_in("control", begin="u"), names_in("personalized", begin="u")
    rows = [
        # shopper, arm, seconds, clicked: three persons were mixed, one only says so.
        *[(f"p{n}", "personalized", 0, 0) for n in range(40)],
        *[(f"k{n}", "control", 0, n % 2) for n in range(40)],
        (photo[0], "control", 1, 1), (photo[0], "personalized", 2, 1),
        # A name that was linked later had been shown the photo, before the unit saw anything.
        (drawn[0], "control", 1, 0), (drawn[0], "personalized", 2, 1),
        (drawn[1], "personalized", 1, 1), (drawn[1], "control", 2, 1),
        (photo[1], "control", 1, 0),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["shopper", "arm", "shown_at", "clicked"])
    frame["shown_at"] = pd.to_datetime(frame["shown_at"], unit="s", utc=True)
    frame = frame.assign(test="hero", segment="all", converted=0)
    test = ABTest("hero", joined=frozenset({photo[0], drawn[0], photo[1], photo[2]}))
    report = test.analyze(frame)
    assert (report.crossed, report.mixed) == (1, 2)
    assert {a.arm: a.shoppers for a in report.arms} == {"control": 42, "personalized": 41}
    clicks = {a.arm: a.clicks for a in report.arms}
    assert clicks == {"control": 20 + 2, "personalized": 1}
    assert "2 shoppers whose names were linked had seen several arms" in report.table()
    assert report.metrics()["mixed"] == 2.0
    # In any order of the rows.
    assert test.analyze(frame.sample(frac=1.0, random_state=3)).to_dict() == report.to_dict()
    assert replace(test, joined=()).analyze(frame).crossed == 3


def test_what_a_login_saw_in_a_test_that_is_over_moves_no_browser(tmp_path):
    """Nor does the holdout's name count for less than the running test's."""
    login = names_in("control", begin="login")[0]
    browser, held = names_in("personalized")[0], names_in("personalized")[1]
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        decider = Decider(a_table(), HALVES, log, holdout=Holdout("holdout", 0.01))
        see(log, a_showing(1, shopper=login, test="older", decided_at=NOON - 9e6))
        before = watched(decider, browser, "mug", NOON)
        app = create_app(
            decider, CATALOG, stored_variant, signer=SIGNER, decision_seconds=20.0, tokens=[TOKEN]
        )
        with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            body = {"links": [{"anonymous": browser, "login": login}]}
            assert client.post("/v1/links", json=body).json()["links"][0]["unit"] == browser
            for name in (browser, login):
                assert decider.decide(name, "mug", NOON + 5) == replace(before, shopper=name)
            see(log, a_showing(2, shopper="bea", test="holdout", decided_at=NOON - 9))
            see(log, a_showing(3, shopper=held, test="hero", decided_at=NOON))
            body = {"links": [{"anonymous": held, "login": "bea"}]}
            assert client.post("/v1/links", json=body).json()["links"][0]["unit"] == "bea"


def test_who_was_linked_since_is_told_by_when():
    rows = [("c1", "ann", "c1", 10.0), ("ann", "ann", "c1", 10.0), ("c2", "ann", "c1", 30.0),
            ("c3", "bob", "c3", 10.0), ("bob", "bob", "c3", 10.0)]  # fmt: skip
    since = datetime.fromtimestamp(20.0, tz=UTC)
    assert joined_units(links_table(rows), since=since) == {"c1"}
    assert joined_units(links_table(rows)) == {"c1", "c3"}
