from __future__ import annotations

import stat
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from persona_img.domain.roles import Permission, Role, may
from persona_img.errors import CannotWrite, InvalidInput, NotFound
from persona_img.serving.keys import KeyFile, Keys


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_img.serving.keys._LOOK_SECONDS", 0.0)


def test_what_is_kept_tells_nobody_the_key(file: KeyFile) -> None:
    key, text = file.add("serve", "storefront")
    assert text.startswith(f"pik_{key.key_id}_")
    kept = file.path.read_text()
    assert key.key_id in kept
    assert text not in kept
    assert text.rsplit("_", 1)[1] not in kept
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.add("serve", "storefront")[1] != text


def test_a_key_is_found_by_its_whole_text_alone(file: KeyFile) -> None:
    key, text = file.add("ingest", "warehouse")
    other, second = file.add("admin", "ops")
    keys = Keys(file)
    assert keys.find(text) == key
    assert keys.find(second) == other
    crossed = f"pik_{key.key_id}_{second.rsplit('_', 1)[1]}"
    for wrong in (crossed, text[:-1], text + "x", text.upper(), key.key_id, key.digest, ""):
        assert keys.find(wrong) is None


def test_a_running_service_heeds_what_is_added_and_revoked(file: KeyFile) -> None:
    keys = Keys(file)
    assert not keys.any
    key, text = file.add("serve", "storefront")
    assert keys.find(text) == key
    assert file.revoke(key.key_id).revoked
    assert keys.find(text) is None
    assert keys.any  # revoking the last key opens nothing
    assert file.all()[0].revoked == file.revoke(key.key_id).revoked


def test_a_damaged_file_lets_in_whom_it_let_in_and_nobody_new(file: KeyFile) -> None:
    _, text = file.add("serve", "storefront")
    keys = Keys(file)
    file.path.write_text("[]]")
    assert keys.find(text) is not None
    with pytest.raises(InvalidInput, match="holds no keys"):
        Keys(file)
    with pytest.raises(InvalidInput):
        file.add("serve", "another")


def test_it_says_that_keys_cannot_be_read_until_they_can(file: KeyFile) -> None:
    file.add("serve", "storefront")
    keys, away = Keys(file), file.path.with_suffix(".away")
    assert not keys.hindrance
    file.path.rename(away)
    assert "as they were before" in keys.hindrance
    file.path.write_bytes(b"[]]")
    assert "as they were before" in keys.hindrance
    away.replace(file.path)
    assert not keys.hindrance


def test_keys_made_at_once_are_all_kept(file: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: file.add("serve", f"page {n}")[0], range(24)))
    assert {key.key_id for key in file.all()} == {key.key_id for key in made}


def test_tokens_of_the_settings_may_do_everything() -> None:
    keys = Keys(tokens=["a-token-of-some-length"])
    key = keys.find("a-token-of-some-length")
    assert key is not None
    assert all(key.may(wanted) for wanted in get_args(Permission))
    assert keys.find("a-token-of-some-lengtH") is None
    with pytest.raises(InvalidInput, match="16"):
        Keys(tokens=["short"])


@pytest.mark.parametrize(("role", "wanted"), list(product(get_args(Role), get_args(Permission))))
def test_a_role_may_do_its_own_and_nothing_else(role: Role, wanted: Permission) -> None:
    allowed = {
        "serve": {"decide", "events"},
        "ingest": {"events", "links"},
        "analyst": {"metrics"},
        "approver": {"approve"},
        "admin": set(get_args(Permission)),
    }
    assert may(role, wanted) == (wanted in allowed[role])


@pytest.mark.parametrize(("role", "name"), [("root", "x"), ("serve", ""), ("serve", "a\nb")])
def test_roles_and_names_that_are_none_are_refused(file: KeyFile, role: Role, name: str) -> None:
    with pytest.raises(InvalidInput):
        file.add(role, name)
    assert not file.path.exists()


def test_what_cannot_be_kept_is_not_given_away(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite):
        KeyFile(tmp_path / "no" / "folder.json").add("serve", "x")
    with pytest.raises(NotFound):
        KeyFile(tmp_path / "keys.json").revoke("00000000")


def test_looking_costs_nothing_until_a_second_is_over(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_img.serving.keys._LOOK_SECONDS", 1e9)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    keys = Keys(file)
    _, text = file.add("serve", "storefront")
    assert keys.find(text) is None
    monkeypatch.setattr(time, "monotonic", lambda: 2e9)
    assert keys.find(text) is not None


@pytest.fixture
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_img.serving.keys._LOOK_SECONDS", 0.0)


@pytest.mark.usefixtures("always_looking")
def test_without_its_file_a_service_does_not_open_to_everybody(file: KeyFile) -> None:
    _, text = file.add("serve", "storefront")
    keys = Keys(file)
    file.path.unlink()
    assert keys.any
    assert keys.find(text) is not None
    _, other = file.add("serve", "another")
    assert keys.find(text) is None
    assert keys.find(other) is not None


@pytest.mark.usefixtures("always_looking")
def test_what_was_revoked_while_the_file_could_not_be_read_is_heeded_then(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = file.add("serve", "storefront")
    keys = Keys(file)
    file.revoke(key.key_id)
    with monkeypatch.context() as broken:

        def fails(self: KeyFile) -> list[object]:
            raise InvalidInput("too many open files")

        broken.setattr(KeyFile, "all", fails)
        assert keys.find(text) is not None
    assert keys.find(text) is None
