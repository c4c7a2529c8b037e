from __future__ import annotations

from pathlib import Path

import pytest

from persona_img.errors import InvalidInput
from persona_img.imaging.holdout import held_out, split_photos


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
    with pytest.raises(InvalidInput, match="no picture"):
        split_photos(tmp_path, None, 0.2)
