"""What may not be used is refused by name, and a whole allows what each of its parts does."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.provenance.licences import USES, Input, Licences, whole

TODAY = date(2026, 11, 28)
PARTS = st.builds(
    Input,
    kind=st.just("photo"),
    name=st.text("abc", min_size=1, max_size=3),
    licence=st.sampled_from(["own", "CC0-1.0", "CC-BY-4.0", "CC-BY-NC-4.0", "unknown"]),
    proof=st.sampled_from(["", "contract 7"]),
    expires=st.none() | st.dates(date(2026, 1, 1), date(2028, 1, 1)),
    uses=st.sets(st.sampled_from(USES), min_size=1).map(tuple),
)


def photo(**told: object) -> Input:
    return Input.model_validate({"kind": "photo", "name": "mug", "licence": "own"} | told)


def test_an_expired_photo_is_refused_from_the_day_after_on() -> None:
    until = photo(expires=TODAY)
    assert until.refused("web", TODAY) == ""
    told = until.refused("web", date(2026, 11, 29))
    assert "'mug'" in told
    assert "ended on 2026-11-28" in told


@pytest.mark.parametrize(
    "licence",
    [
        "FLUX.1 [dev] Non-Commercial", "CC-BY-NC-4.0", "CC BY NC 4.0", "cc_by_nc", "Non Commercial",
        "research-only", "Research use only", "editorial use only", "Not for commercial use",
    ],
)  # fmt: skip
def test_what_forbids_business_is_refused_without_a_proof(licence: str) -> None:
    assert "forbids use for business" in photo(licence=licence).refused("web", TODAY)
    assert photo(licence=licence, proof="contract 7").refused("web", TODAY) == ""


@pytest.mark.parametrize("licence", ["own", "CC-BY-4.0", "NCSA", "OpenRAIL++-M", "Commercial"])
def test_what_allows_business_is_not_refused(licence: str) -> None:
    assert photo(licence=licence).refused("web", TODAY) == ""


def test_of_what_nobody_says_a_licence_is_refused() -> None:
    assert "nobody says" in Licences().of("photo", "mug", "").refused("web", TODAY)
    assert "nobody says" in photo(licence="Unknown").refused("web", TODAY)


def test_what_another_table_says_may_be_long() -> None:
    assert Licences().of("photo", "m" * 600, "w" * 300).licence == "w" * 300


def test_another_use_is_refused() -> None:
    assert "for web, not for ads" in photo(uses=["web"]).refused("ads", TODAY)


@given(
    st.lists(PARTS, min_size=1, max_size=5),
    st.sampled_from(USES),
    st.dates(date(2026, 1, 1), date(2028, 1, 1)),
)
def test_a_whole_may_be_used_where_every_part_may(parts: list[Input], use: str, day: date) -> None:
    made = whole(parts)
    allowed = made.allows(use, day)  # type: ignore[arg-type]
    assert allowed == all(not one.refused(use, day) for one in parts)  # type: ignore[arg-type]
    assert set(made.licences) == {one.licence for one in parts}


def test_a_named_input_wins_over_all_of_its_kind_and_those_over_its_table(tmp_path: Path) -> None:
    path = tmp_path / "licences.toml"
    path.write_text(
        '[[input]]\nkind = "photo"\nname = "*"\nlicence = "studio"\n'
        '[[input]]\nkind = "photo"\nname = "mug"\nlicence = "CC0-1.0"\nexpires = 2027-01-31\n'
    )
    listed = Licences.load(path)
    assert listed.of("photo", "mug", "own").licence == "CC0-1.0"
    assert listed.of("photo", "mug", "own").expires == date(2027, 1, 31)
    assert (listed.of("photo", "cup", "own").licence, listed.of("photo", "cup", "own").name) == (
        "studio", "cup",
    )  # fmt: skip
    assert listed.of("model", "x", "MIT").licence == "MIT"
    assert Licences.load(tmp_path / "none.toml").of("photo", "mug", "own").licence == "own"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[input", "not valid TOML"),
        ("[[inputs]]\nkind = 'photo'", "say \\[\\[input\\]\\]"),
        ("[[input]]\nkind = 'song'\nname = 'a'\nlicence = 'b'", "input 1: kind='song'"),
        ("[[input]]\nkind = 'photo'\nname = 'a'\nlicence = ''", "licence=''"),
        ("[[input]]\nkind='photo'\nname='a'\nlicence='b'\nuses=[]", "uses"),
        ("[[input]]\nkind='photo'\nname='a'\nlicence='b'\nuse=['web']", "use"),
        ("[[input]]\nkind='photo'\nname='a'\nlicence='b'\n" * 2, "listed twice"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "l.toml").write_text(text)
    with pytest.raises(InvalidInput, match=said):
        Licences.load(tmp_path / "l.toml")
