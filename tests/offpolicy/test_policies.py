"""Tables of probabilities: what they say of a log's places, and on which rows they are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persona_img.errors import InvalidInput, NotFound
from persona_img.offpolicy.log import BanditLog, as_log
from persona_img.offpolicy.policies import Origin, PolicyTable, uniform_chances

ROLES = {"action": "style", "reward": "click"}


def log(**more: object) -> BanditLog:
    """Four impressions in two contexts."""
    columns: dict[str, object] = {
        "style": ["felt", "linen", "oak", "oak"],
        "click": [0, 1, 0, 1],
        "device": ["desk", "phone", "phone", "phone"],
    }
    table = pd.DataFrame({**columns, **more})
    roles = {**ROLES, **({"slate": "could"} if "could" in table else {})}
    return as_log(table, roles, ("device",))


def table(rows: list[tuple[object, str, float]]) -> PolicyTable:
    """A policy by device."""
    frame = pd.DataFrame(rows, columns=["device", "action", "probability"])
    return PolicyTable(("device",), frame)


def test_a_place_has_its_contexts_chances_and_one_that_is_not_listed_those_of_others():
    policy = table(
        [("phone", "oak", 0.75), ("phone", "felt", 0.25), (None, "linen", 0.5), (None, "oak", 0.5)]
    )
    chances = policy.chances(log())  # actions felt, linen, oak; places desk, phone
    np.testing.assert_allclose(chances, [[0, 0.5, 0.5], [0.25, 0, 0.75]])


def test_on_a_smaller_slate_the_others_share_what_is_missing():
    policy = PolicyTable(
        (), pd.DataFrame({"action": ["felt", "linen", "oak"], "probability": [0.5, 0.3, 0.2]})
    )
    chances = policy.chances(log(could=["felt|oak", "linen|oak", "oak|linen", "oak"]))
    np.testing.assert_allclose(sorted(chances.max(axis=1)), [0.6, 0.5 / 0.7, 1.0])
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)


def test_uniform_is_uniform_over_each_slate():
    some = log(could=["felt|oak", "linen|oak|felt", "oak|linen|felt", "oak"])
    chances = uniform_chances(some)
    assert (chances[some.place][:, 2] == [0.5, 1 / 3, 1 / 3, 1.0]).all()


def test_a_context_nobody_has_an_answer_for_is_refused_by_name():
    with pytest.raises(InvalidInput, match="no row for context desk"):
        table([("phone", "oak", 1.0)]).chances(log())
    with pytest.raises(InvalidInput, match="no chance to any action"):
        table([("phone", "cork", 1.0), (None, "oak", 1.0)]).chances(log())
    with pytest.raises(InvalidInput, match="looks at device"):
        table([(None, "oak", 1.0)]).chances(
            as_log(pd.DataFrame({"style": ["oak"], "click": [0]}), ROLES)
        )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("phone", "oak", 0.5)], "sum to 0.5"),
        ([("phone", "oak", 1.5), ("phone", "felt", -0.5)], r"outside \[0, 1\]"),
        ([("phone", "oak", 0.5), ("phone", "oak", 0.5)], "twice"),
    ],
)
def test_what_is_no_policy_is_refused(rows, words):
    with pytest.raises(InvalidInput, match=words):
        table(rows)


def test_a_policy_comes_back_from_its_file_and_anybodys_csv_is_one(tmp_path: Path):
    rows = [("phone", "oak", 0.75), ("phone", "felt", 0.25), (None, "oak", 1.0)]
    policy = PolicyTable(("device",), table(rows).table, Origin("abc", "d", "user", 4, 1, 7))
    policy.save(tmp_path / "policy.parquet")
    back = PolicyTable.load(tmp_path / "policy.parquet")
    assert back.origin == policy.origin
    np.testing.assert_array_equal(back.chances(log()), policy.chances(log()))
    policy.table.to_csv(tmp_path / "policy.csv", index=False)
    foreign = PolicyTable.load(tmp_path / "policy.csv")
    assert foreign.origin == Origin()
    np.testing.assert_array_equal(foreign.chances(log()), policy.chances(log()))
    with pytest.raises(NotFound):
        PolicyTable.load(tmp_path / "none.parquet")
    (tmp_path / "bad.csv").write_text("style,p\noak,1\n")
    with pytest.raises(InvalidInput, match=r"bad.csv: no column action, probability"):
        PolicyTable.load(tmp_path / "bad.csv")


def test_a_policy_is_judged_on_what_it_did_not_see():
    users = pd.DataFrame(
        {"user": np.arange(400) // 2, "style": ["oak", "felt"] * 200, "click": [0, 1] * 200}
    )
    roles = {**ROLES, "shopper": "user"}
    seen = as_log(users, roles)
    origin = Origin(seen.digest, seen.order, "user", 4, 1, 7)
    assert Origin().unseen(seen) is None
    assert Origin("other", "", "user").unseen(seen) is None
    rest = origin.unseen(seen)
    assert rest is not None
    assert set(rest.shopper) == set(seen.shopper[seen.dealt(7, 4) == 1])
    turned = origin.unseen(as_log(users[::-1], roles))
    assert turned is not None
    assert set(turned.shopper) == set(rest.shopper)
    with pytest.raises(InvalidInput, match="column user, now it is none"):
        origin.unseen(as_log(users, ROLES))
    nameless = as_log(users, ROLES)
    alone = Origin(nameless.digest, nameless.order, "", 4, 1, 7)
    assert alone.unseen(nameless) is not None
    with pytest.raises(InvalidInput, match="another order"):
        alone.unseen(as_log(users[::-1], ROLES))
