from __future__ import annotations

import copy
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.domain.decision import PARTS, Candidate, DecisionTable, Slate, in_parts
from persona_img.domain.leaning import Leaning, Personal
from persona_img.domain.style import ORIGINAL, Style
from persona_img.domain.table_file import open_table, write_table
from persona_img.errors import InvalidInput, NotFound, StoreConflict, StoreFailed

NAMES = st.text(min_size=1, max_size=6)
DIGESTS = st.none() | st.sampled_from(["d" * 64, "0" * 64, "red", "D" * 64])
UNIFORM = st.floats(0, 1, exclude_max=True)


@st.composite
def slates(draw: st.DrawFn) -> Slate:
    weights = draw(st.lists(st.floats(1e-6, 1), min_size=1, max_size=9))
    styles = [ORIGINAL, *(Style(f"a={n}") for n in range(1, len(weights)))]
    digests = [None, *(draw(DIGESTS) for _ in weights[1:])]
    candidates = [
        Candidate(style, digest, weight / sum(weights))
        for style, digest, weight in zip(styles, digests, weights, strict=True)
    ]
    return Slate(tuple(draw(st.permutations(candidates))))


TABLES = st.builds(
    DecisionTable,
    st.text(min_size=1, max_size=9),
    st.dictionaries(st.tuples(NAMES, NAMES), slates(), max_size=6),
    st.dictionaries(NAMES, NAMES, max_size=6),
    NAMES,
)


def stored(table: DecisionTable, folder: Path) -> DecisionTable:
    write_table(folder / "some.table", table)
    return open_table(folder / "some.table")


@given(TABLES, UNIFORM)
def test_a_table_is_the_same_in_its_file_and_draws_the_same(
    table: DecisionTable, uniform: float
) -> None:
    with TemporaryDirectory() as folder:
        mapped = stored(table, Path(folder))
        exact = table.in_parts()
        assert mapped == exact
        assert exact == mapped
        assert len(mapped.slates) == len(list(mapped.slates)) == len(table.slates)
        assert list(mapped.segments.items()) == list(table.segments.items())
        for (segment, product), slate in exact.slates.items():
            assert mapped.draw(segment, product, uniform) == slate.draw(uniform)
        assert mapped.draw("nobody here", "mug", uniform) is None
        assert mapped.slate("nobody at all", "mug")[0] == table.default_segment
        assert pickle.loads(pickle.dumps(mapped)) == copy.copy(mapped)  # noqa: S301 our own


@given(slates())
def test_chances_in_parts_keep_floors_and_sum_to_one(slate: Slate) -> None:
    exact = in_parts(slate)
    before = [c.probability for c in slate.candidates]
    after = [c.probability for c in exact.candidates]
    assert sum(after) == 1.0
    assert in_parts(exact) is exact
    assert all(new > 0 for new in after)
    less = [old for old, new in zip(before, after, strict=True) if new < old]
    assert all(old > max(before) - 1 / PARTS for old in less)
    assert len(less) <= 1
    assert all(new - old < 1 / PARTS for old, new in zip(before, after, strict=True))


@given(TABLES, st.data())
def test_a_file_that_is_not_what_was_written_is_refused_by_name(
    table: DecisionTable, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "hurt.table"
        write_table(path, table)
        whole = bytearray(path.read_bytes())
        # The eighth byte is the format's number: with another one it is another program's.
        at = data.draw(st.integers(0, len(whole) - 1).filter(lambda at: at != 7))
        if data.draw(st.booleans()):
            del whole[at:]
        else:
            whole[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole)
        with pytest.raises(StoreFailed, match=r"hurt\.table") as raised:
            open_table(path)
        assert raised.value.reason == "corrupt"


def test_a_newer_programs_file_is_refused_by_name_and_format(tmp_path: Path) -> None:
    path = tmp_path / "some.table"
    write_table(path, DecisionTable("v", {}, {}, "s"))
    path.write_bytes(path.read_bytes().replace(b"PIMGTAB1", b"PIMGTAB2", 1))
    with pytest.raises(StoreConflict, match=r"some\.table: of format 2, this program reads 1"):
        open_table(path)


def test_the_same_table_again_leaves_its_file_as_it_lies(tmp_path: Path) -> None:
    path, table = tmp_path / "some.table", DecisionTable("v", {}, {"anna": "s"}, "s")
    first = write_table(path, table)
    before = path.stat()
    assert write_table(path, table) == first
    assert path.stat().st_ino == before.st_ino
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])  # cut off, it is not the same
    assert write_table(path, table) == first
    assert path.read_bytes() == whole
    assert write_table(path, DecisionTable("v", {}, {"bob": "s"}, "s")) != first
    assert path.read_bytes() != whole


@given(TABLES)
def test_the_product_of_a_variant_is_found(table: DecisionTable) -> None:
    with TemporaryDirectory() as folder:
        found = stored(table, Path(folder))
        shows = {(c.digest, p) for (_, p), s in table.slates.items() for c in s.candidates}
        for digest, _ in shows:
            if digest is not None:
                assert (digest, found.product_of(digest)) in shows
                assert (digest, table.product_of(digest)) in shows
        assert found.product_of("of nobody") is None
        assert table.product_of("of nobody") is None


@pytest.mark.parametrize("own", [0, 2**23])
def test_a_file_that_others_write_over_is_theirs_only_where_it_is_big(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: int
) -> None:
    monkeypatch.setattr("persona_img.domain.table_file._OWN", own)
    slate = Slate((Candidate(ORIGINAL, None, 0.25), Candidate(Style("a=b"), "ab" * 32, 0.75)))
    path = tmp_path / "v1.table"
    write_table(path, DecisionTable("v1", {("s", "p"): slate}, {}, "s"))
    table, whole = open_table(path), path.read_bytes()
    with path.open("r+b") as file:
        file.write(bytes(len(whole)))
    assert (table.product_of("ab" * 32) == "p") == bool(own)


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="prepare"):
        open_table(tmp_path / "none.table")


def test_what_turns_chances_to_single_shoppers_is_in_the_file(tmp_path: Path) -> None:
    leaning = Leaning(("views",), (("a", "b"),), {"s": (0.5,)}, (1.5,), ((0.1,), (-0.2,)))
    slate = Slate((Candidate(ORIGINAL, None, 1.0),))
    table = DecisionTable("v1", {("s", "p"): slate}, {}, "s", Personal(leaning, 11.0, 0.02))
    assert stored(table, tmp_path).personal == table.personal


def test_more_variants_than_a_byte_numbers_are_refused(tmp_path: Path) -> None:
    many = [Candidate(Style(f"a={n}"), None, 1 / 300) for n in range(299)]
    slate = Slate((Candidate(ORIGINAL, None, 1 / 300), *many))
    with pytest.raises(InvalidInput, match=r"'mug'.*at most 255"):
        write_table(tmp_path / "x.table", DecisionTable("v", {("s", "mug"): slate}, {}, "s"))


def test_a_slate_of_eight_takes_at_most_60_bytes(tmp_path: Path) -> None:
    """All of it: names, digests and the grid; twenty segments, no two slates the same."""
    made = {}
    for product in range(200):
        for segment in range(20):
            weights = [1 + (7 * product + 13 * segment + 3 * n) % 97 / 97 for n in range(8)]
            looks = [
                (ORIGINAL, None),
                *((Style(f"a={n}"), f"{product:032x}{n:032x}") for n in range(1, 8)),
            ]
            made[f"segment-{segment}", f"product-{product}"] = Slate(
                tuple(
                    Candidate(style, digest, weight / sum(weights))
                    for (style, digest), weight in zip(looks, weights, strict=True)
                )
            )
    write_table(tmp_path / "x.table", DecisionTable("v", made, {}, "segment-0"))
    assert (tmp_path / "x.table").stat().st_size / len(made) <= 60
