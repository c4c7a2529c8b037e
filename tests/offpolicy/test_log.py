"""Reading anybody's log: what is taken, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.offpolicy.log import as_log, read_log

ROLES = {"shopper": "user", "action": "style", "reward": "click", "propensity": "p"}


def rows(**changed: object) -> pd.DataFrame:
    """Six impressions of three users."""
    columns: dict[str, object] = {
        "user": ["a", "a", "b", "b", "c", "c"],
        "style": ["oak", "linen", "oak", "oak", "linen", "oak"],
        "click": [0, 1, 0, 1, 0, 0],
        "p": [0.5, 0.5, 0.25, 0.25, 0.75, 0.25],
        "device": ["phone", "phone", "desk", "desk", "phone", "phone"],
        "age": [10, 20, 30, 40, 50, 60],
    }
    return pd.DataFrame({**columns, **changed})


def test_a_log_knows_who_saw_what_where():
    log = as_log(rows(), ROLES, ("device",))
    assert log.actions == ("linen", "oak")
    assert log.action.tolist() == [1, 0, 1, 1, 0, 1]
    assert log.context["device"].tolist() == ["desk", "phone"]
    assert log.place.tolist() == [1, 1, 0, 0, 1, 1]
    assert log.allowed.all()
    assert log.allowed.shape == (2, 2)
    assert log.shopper.tolist() == list("aabbcc")
    assert log.unit == "user"


def test_of_every_kind_of_file_the_log_is_the_same(tmp_path: Path):
    table = rows()
    table.to_csv(tmp_path / "log.csv", index=False)
    table.to_parquet(tmp_path / "log.parquet")
    table.to_json(tmp_path / "log.jsonl", orient="records", lines=True)
    logs = [read_log(tmp_path / f"log.{kind}", ROLES) for kind in ("csv", "parquet", "jsonl")]
    assert len({log.digest for log in logs}) == 1
    for log in logs[1:]:
        np.testing.assert_array_equal(log.propensity, logs[0].propensity)


def test_the_digest_is_of_the_rows_and_not_of_their_order():
    log, turned = as_log(rows(), ROLES), as_log(rows()[::-1], ROLES)
    assert log.digest == turned.digest
    assert log.order != turned.order
    assert log.digest != as_log(rows(click=[1, 1, 0, 1, 0, 0]), ROLES).digest


def test_numbers_of_many_values_are_context_by_quintile_and_few_are_themselves():
    many = pd.concat([rows(age=np.arange(6) + 6 * i) for i in range(20)])
    names = set(as_log(many, ROLES, ("age",)).context["age"])
    assert names == {f"age {i}" for i in range(1, 6)}
    few = as_log(rows(), ROLES, ("age",))
    assert few.context["age"].tolist() == ["10", "20", "30", "40", "50", "60"]


def test_what_is_missing_in_a_context_is_a_value_of_its_own():
    log = as_log(rows(device=["phone", None, None, "desk", "phone", "phone"]), ROLES, ("device",))
    assert log.context["device"].tolist() == ["-", "desk", "phone"]


def test_slates_may_be_texts_or_lists_and_make_places_of_their_own():
    texts = ["oak|linen", "linen|oak", "oak|felt", "oak|felt", "linen|oak", "oak|linen"]
    lists = [text.split("|") for text in texts]
    one = as_log(rows(could=texts), {**ROLES, "slate": "could"})
    two = as_log(rows(could=lists), {**ROLES, "slate": "could"})
    assert one.actions == two.actions == ("felt", "linen", "oak")
    assert sorted(one.allowed.sum(axis=1).tolist()) == [2, 2]
    np.testing.assert_array_equal(one.allowed[one.place], two.allowed[two.place])


def test_all_of_a_shoppers_impressions_are_dealt_to_one_part():
    table = pd.DataFrame({"user": np.repeat(np.arange(300), 3), "style": "oak", "click": 0})
    log = as_log(table, {"shopper": "user", "action": "style", "reward": "click"})
    part = log.dealt(3, 4).reshape(300, 3)
    assert (part == part[:, :1]).all()
    assert set(part.ravel()) == {0, 1, 2, 3}
    assert (part != log.dealt(4, 4).reshape(300, 3)).any()


@pytest.mark.parametrize(
    ("changed", "roles", "words"),
    [
        ({"click": [0, 1, None, 1, 0, 0]}, {}, "row 3.*outcome"),
        ({"click": ["no", 1, 0, 1, 0, 0]}, {}, "'no' in row 1"),
        ({"p": [0.5, 0.5, 0.0, 0.25, 0.75, 0.25]}, {}, r"row 3.*\(0, 1\]"),
        ({"p": [0.5, 1.5, 0.2, 0.25, 0.75, 0.25]}, {}, r"1.5 in row 2"),
        ({"style": ["oak", None, "oak", "oak", "oak", "oak"]}, {}, "row 2.*name"),
        ({"user": [None, "a", "b", "b", "c", "c"]}, {}, "row 1.*name"),
        ({}, {"colour": "style"}, "colour.*shopper, action"),
        ({"could": ["linen"] * 6}, {"slate": "could"}, "row 1.*shown"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_row(changed, roles, words):
    with pytest.raises(InvalidInput, match=words):
        as_log(rows(**changed), {**ROLES, **roles})


def test_a_log_without_a_reward_a_row_or_a_file_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match="reward=column"):
        as_log(rows(), {"action": "style"})
    with pytest.raises(NotEnoughData, match="no row"):
        as_log(rows()[:0], ROLES)
    with pytest.raises(NotFound, match="no such log"):
        read_log(tmp_path / "none.csv", ROLES)
    (tmp_path / "log.xlsx").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"\.parquet"):
        read_log(tmp_path / "log.xlsx", ROLES)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_log(tmp_path / "bad.parquet", ROLES)
    rows().to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(InvalidInput, match="no column nobody; there are user, style"):
        read_log(tmp_path / "log.csv", {**ROLES, "slate": "nobody"})


def test_a_column_plays_one_part():
    with pytest.raises(InvalidInput, match="style"):
        as_log(rows(), ROLES, ("style",))
    with pytest.raises(InvalidInput, match="one part"):
        as_log(rows(), ROLES, ("device", "device"))
