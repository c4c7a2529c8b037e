"""A shop's keys: made once, kept for their owner, exchanged without losing what was signed."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from contracts.event_log import NOON, a_decision
from persona_img import wiring
from persona_img.errors import CannotWrite, InvalidInput
from persona_img.serving.key import ShopKey, kept_keys, rotate
from persona_img.serving.token import Refused, Signer
from persona_img.settings import Settings
from persona_img.workspace import Workspace


def signed_by(signer: Signer) -> str:
    return signer.sign(signer.show(a_decision(), NOON))


def proves(signer: Signer, token: str) -> bool:
    try:
        return signer.read(token, NOON).decision == a_decision()
    except Refused:
        return False


def test_a_key_that_could_be_guessed_is_refused():
    with pytest.raises(InvalidInput, match="at least 32"):
        ShopKey(b"short")


def test_a_new_key_signs_and_those_of_before_still_prove(tmp_path: Path):
    path = tmp_path / "decision.key"
    first = kept_keys(path)
    token = signed_by(Signer(*first))
    assert rotate(path) == 2
    second = kept_keys(path)
    assert second[1:] == first
    assert path.stat().st_mode & 0o777 == 0o600
    now = Signer(second[0], second[1:])
    assert proves(now, token)
    assert not proves(Signer(*first), signed_by(now))
    assert rotate(path, keep=0) == 1
    assert not proves(Signer(*kept_keys(path)), token)
    assert [p.name for p in tmp_path.iterdir()] == ["decision.key"]
    with pytest.raises(InvalidInput, match="keep -1"):
        rotate(path, keep=-1)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path):
    path = tmp_path / "decision.key"
    first = kept_keys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_keys(path) == first
    assert kept_keys(tmp_path / "other.key") != first
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


def _tell(path: Path, start: multiprocessing.synchronize.Barrier, told: object) -> None:
    start.wait()
    told.put(kept_keys(path)[0].secret)


@pytest.mark.parametrize("again", range(5))
def test_processes_that_come_at_once_have_the_same_key(tmp_path: Path, again: int):
    context = multiprocessing.get_context("fork")
    start, told = context.Barrier(6), context.Queue()
    path = tmp_path / "decision.key"
    processes = [context.Process(target=_tell, args=(path, start, told)) for _ in range(6)]
    for process in processes:
        process.start()
    secrets = {told.get(timeout=30) for _ in processes}
    for process in processes:
        process.join()
    assert secrets == {kept_keys(path)[0].secret}
    assert [p.name for p in tmp_path.iterdir()] == ["decision.key"]


@pytest.mark.parametrize("held", [b"", b"00" * 31, b"secret" * 20, b"\xff" * 64, b"ab" * 64])
def test_a_file_that_holds_no_key_is_named_and_not_repeated(tmp_path: Path, held: bytes):
    path = tmp_path / "decision.key"
    path.write_bytes(held)
    with pytest.raises(InvalidInput, match="holds something else") as error:
        kept_keys(path)
    assert "secret" not in str(error.value)
    assert path.read_bytes() == held


def test_a_folder_that_takes_no_key_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="DECISION_KEY"):
        kept_keys(tmp_path / "file" / "decision.key")


def test_a_shop_has_its_own_key_or_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    one, two = Workspace.open(tmp_path / "one"), Workspace.open(tmp_path / "two")
    own = signed_by(wiring.signer(Settings.load(), one))
    assert proves(wiring.signer(Settings.load(), one), own)
    assert not proves(wiring.signer(Settings.load(), two), own)
    monkeypatch.setenv("PERSONA_IMG_SERVE__DECISION_KEY", "0123456789" * 4)
    shared = signed_by(wiring.signer(Settings.load(), one))
    assert proves(wiring.signer(Settings.load(), two), shared)
    assert proves(wiring.signer(Settings.load(), one), own)  # as it was signed before the setting
    monkeypatch.setenv("PERSONA_IMG_SERVE__DECISION_KEY", "9876543210" * 4)
    assert not proves(wiring.signer(Settings.load(), one), shared)
    monkeypatch.setenv("PERSONA_IMG_SERVE__EARLIER_KEYS", f'["{"0123456789" * 4}"]')
    assert proves(wiring.signer(Settings.load(), one), shared)


def test_a_shops_file_may_be_given_to_others_as_their_setting(tmp_path: Path):
    home = Workspace(tmp_path)
    token = signed_by(Signer(*kept_keys(home.decision_key)))
    given = home.decision_key.read_text().strip()
    shared = Settings.load(serve={"decision_key": given})
    assert proves(wiring.signer(shared, Workspace(tmp_path / "elsewhere")), token)


def test_a_secret_whose_name_is_misspelt_is_not_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERSONA_IMG_SERVE__DECISON_KEY", "never to be seen, not even once")
    with pytest.raises(InvalidInput, match="decison_key") as error:
        Settings.load()
    assert "never" not in str(error.value)


def test_the_key_is_told_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    secret = "a-secret-that-nobody-is-to-see-anywhere"
    settings = Settings.load(
        serve={"decision_key": secret, "earlier_keys": [secret[::-1]]}, home=tmp_path
    )
    for hidden in (secret, secret[::-1]):
        assert hidden not in settings.save().read_text()
        for told in (settings, wiring.signer(settings, Workspace(tmp_path))):
            assert hidden not in f"{told!r}{told}"
    short = secret[:20]
    for wrong in ({"decision_key": short}, {"earlier_keys": [short]}):
        with pytest.raises(InvalidInput, match="_key") as error:
            Settings.load(serve=wrong)
        assert short not in str(error.value)
    with pytest.raises(InvalidInput, match=r"belongs into \[serve\]") as error:
        Settings.load(learn={"decision_key": secret})
    assert secret not in str(error.value)
