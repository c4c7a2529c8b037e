from __future__ import annotations

from pathlib import Path

import pytest

from persona_img.errors import InvalidInput
from persona_img.imaging.holdout import held_out, rows_of, split_photos


def test_held_out_depends_on_the_group_alone() -> None:
    share = sum(held_out(str(i), 0.15) for i in range(4000)) / 4000
    assert 0.12 < share < 0.18


def test_a_sender_is_on_one_side_and_what_is_left_out_on_neither(tmp_path: Path) -> None:
    names = [f"p{i}" for i in range(60)]
    for name in names:
        (tmp_path / f"{name}.jpg").touch()
    groups = tmp_path / "groups.csv"
    rows = [f"{name},{i % 12}" for i, name in enumerate(names)]
    groups.write_text("\n".join(["image,sender_id", *rows]))
    kept, unseen = split_photos(tmp_path, groups, 0.4, {"p3"})
    senders = [{names.index(p.stem) % 12 for p in side} for side in (kept, unseen)]
    assert senders[0] | senders[1] == set(range(12))
    assert not senders[0] & senders[1]
    assert {p.stem for p in [*kept, *unseen]} == set(names) - {"p3"}


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no photo"):
        split_photos(tmp_path, None, 0.2)


def test_hidden_files_and_results_are_in_neither_list(tmp_path: Path) -> None:
    for name in ("a.jpg", "B.TIF", "._a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    kept, unseen = split_photos(tmp_path, None, 0.4)
    assert sorted(p.name for p in [*kept, *unseen]) == ["B.TIF", "a.jpg"]


def test_a_table_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_bytes(b"\xef\xbb\xbfimage,sender_id\na,1\n")  # a spreadsheet's mark
    assert rows_of(table, ("image", "sender_id")) == [{"image": "a", "sender_id": "1"}]
    table.write_text("image,sender_id\na\n")
    with pytest.raises(InvalidInput, match="row 1 has too few cells"):
        rows_of(table, ("image", "sender_id"))
    table.write_text("photo;sender\n")
    with pytest.raises(InvalidInput, match="no column image, sender_id; name image, sender_id"):
        rows_of(table, ("image", "sender_id"))
    table.write_bytes(b"image,sender_id\n\xff\xfe,1")
    with pytest.raises(InvalidInput, match="give a CSV in UTF-8"):
        rows_of(table, ("image", "sender_id"))
    with pytest.raises(InvalidInput, match="cannot be read"):
        rows_of(tmp_path, ("image",))
