from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.ingest.events.mapping import EventMap, found_at, maps

KINDS = '[kinds]\nimpression = ["seen"]\n'


@pytest.mark.parametrize("name", maps())
def test_shipped_mappings_tell_views_and_clicks(name: str) -> None:
    mapped = EventMap.load(name)
    assert set(mapped.kinds) == {"impression", "click"}
    assert mapped.kind_of("nothing of ours") is None
    assert mapped.kind_of(mapped.kinds["click"][0].upper()) == "click"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[fields", "not valid TOML"),
        ('[fields]\nkind = ["k"]\n' + KINDS, "token"),
        ('[fields]\nkind = ["k"]\ntoken = []\n' + KINDS, "token"),
        ('[fields]\nkind = ["k"]\ntoken = ["t"]\nshopper = ["s"]\n' + KINDS, "shopper"),
        ('[fields]\nkind = ["k"]\ntoken = ["t"]\n[kinds]\nview = ["v"]\n', "view"),
        ('colour = 1\n[fields]\nkind = ["k"]\ntoken = ["t"]\n' + KINDS, "colour"),
        ('[fields]\nkind = ["k"]\ntoken = ["t"]\n', "kinds"),
    ],
)
def test_a_mapping_that_breaks_a_rule_is_refused_with_it(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=f"{path}.*{says}"):
        EventMap.load(str(path))


@pytest.mark.parametrize(
    ("held", "path", "found"),
    [
        ({"a": {"b": 1}}, "a.b", [1]),
        ({"a": [{"b": 1}, {"b": 2}, 3]}, "a.b", [1, 2]),
        ({"a_1_0_0": 1, "a_1_0_1": 2, "b": 3}, "a_1*", [1, 2]),
        ({"a": '{"b": [1]}'}, "a.b", [[1]]),
        ({"a": "[broken"}, "a.b", []),
        ({"p": [{"key": "x", "value": {"s": None, "i": 4}}]}, "p.x", [4]),
        ({"p": [{"key": "x", "value": "plain"}]}, "p.x", ["plain"]),
        ({"p": [{"key": "x", "value": {"s": None}}]}, "p.y", []),
        ({}, "a.b", []),
    ],
)
def test_paths_lead_into_what_exports_nest(held: object, path: str, found: list[object]) -> None:
    assert list(found_at(held, path.split("."))) == found


def test_pieces_are_one_text_and_the_first_that_is_there_counts() -> None:
    mapped = EventMap.model_validate(
        {
            "each": "items",
            "fields": {"kind": ["k"], "token": [".a + .b", "t"]},
            "kinds": {"click": ["c"]},
        }
    )
    row = {"k": "c", "t": "whole", "items": [{"a": "x", "b": "y"}, {"b": "z"}, {}]}
    entries = mapped.entries(row)
    assert [mapped.text("token", row, entry) for entry in entries] == ["xy", "z", "whole"]
    assert mapped.text("event_id", row, entries[0]) == ""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abk*"), inner),
    ),
    st.lists(st.sampled_from(["a", "b", "k", "*"]), max_size=4),
)
def test_no_shape_of_a_row_is_an_error(held: object, parts: list[str]) -> None:
    list(found_at(held, parts))
