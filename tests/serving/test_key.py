"""Decisions are named by the shop's key, and clicks cannot be forged without it."""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
from contextlib import closing
from pathlib import Path

import pytest

from examples import KEY
from persona_img import wiring
from persona_img.domain.feedback import Event
from persona_img.errors import CannotWrite, InvalidInput
from persona_img.serving.key import DecisionKey, kept_key
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.settings import Settings
from persona_img.workspace import Workspace

from .conftest import a_decider

NOON = 1_760_000_000.0
SHOPPERS = [f"s{n}" for n in range(50)]
FACTS = ("hero", "v1", "ann", "shirt")


def test_the_same_facts_have_the_same_name_on_every_worker():
    name = DecisionKey(b"k" * 32).name(*FACTS)
    assert DecisionKey(b"k" * 32).name(*FACTS) == name
    assert len(bytes.fromhex(name)) == 16
    assert DecisionKey(b"l" * 32).name(*FACTS) != name


def test_other_facts_have_another_name():
    moved = ("hero", "v1a", "nn", "shirt")  # the same letters, cut elsewhere
    names = {KEY.name(*facts) for facts in (FACTS, FACTS[::-1], moved, FACTS[:3], (*FACTS, ""))}
    assert len(names) == 5


def test_a_key_that_could_be_guessed_is_refused():
    with pytest.raises(InvalidInput, match="at least 32"):
        DecisionKey(b"short")


def guesses(shopper: str) -> list[str]:
    """Names of a shopper's decision by all that is public, and by keys that are not the shop's."""
    place = ("hero", "v1", shopper, "shirt")
    message = b"".join(len(one).to_bytes(4, "big") + one.encode() for one in place)
    return [
        hashlib.sha256("\x1f".join(place).encode()).hexdigest()[:32],  # what it was before
        hashlib.sha256(message).hexdigest()[:32],
        hmac.digest(b"", message, "sha256").hex()[:32],
        DecisionKey(bytes(32)).name(*place),
        DecisionKey(b"the key of a shop of the attacker's own").name(*place),
    ]


def test_without_the_key_no_event_is_counted(tmp_path: Path):
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        decider = a_decider(log)
        true = [decider.decide(shopper, "shirt", NOON).decision_id for shopper in SHOPPERS]
        forged = [
            Event(f"{shopper}-{n}-{kind}", kind, guess, f"{shopper}-{n}-impression", NOON)
            for shopper in SHOPPERS
            for n, guess in enumerate(guesses(shopper))
            for kind in ("impression", "click", "conversion")
        ]
        found = log.record_events(forged)
        assert (len(forged), found.new, found.rejected) == (750, 0, 750)
        assert log.feedback().empty
        told = [Event(f"e{n}", "impression", name, f"e{n}", NOON) for n, name in enumerate(true)]
        assert log.record_events(told).new == len(SHOPPERS)


def test_what_was_decided_under_an_old_name_or_key_is_still_counted(tmp_path: Path):
    """As a shop has it that is updated while its test runs, or that changes its key."""
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        earlier = a_decider(log, DecisionKey(b"a key that this shop had before it"))
        known = earlier.decide("ann", "shirt", NOON)
        now = a_decider(log)
        assert now.decide("ann", "shirt", NOON + 9) == known
        assert now.decide("bob", "shirt", NOON).decision_id == KEY.name(
            "hero", "v1", "bob", "shirt"
        )
        assert log.record_events([Event("e", "click", known.decision_id, "i", NOON)]).new == 1


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path):
    path = tmp_path / "decision.key"
    first = kept_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_key(path).name(*FACTS) == first.name(*FACTS)
    assert kept_key(tmp_path / "other.key").name(*FACTS) != first.name(*FACTS)
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


def _name(path: Path, start: multiprocessing.synchronize.Barrier) -> str:
    start.wait()
    return kept_key(path).name(*FACTS)


def _tell(path: Path, start: multiprocessing.synchronize.Barrier, told: object) -> None:
    told.put(_name(path, start))


@pytest.mark.parametrize("again", range(5))
def test_processes_that_come_at_once_have_the_same_key(tmp_path: Path, again: int):
    context = multiprocessing.get_context("fork")
    start, told = context.Barrier(6), context.Queue()
    path = tmp_path / "decision.key"
    processes = [context.Process(target=_tell, args=(path, start, told)) for _ in range(6)]
    for process in processes:
        process.start()
    names = {told.get(timeout=30) for _ in processes}
    for process in processes:
        process.join()
    assert names == {kept_key(path).name(*FACTS)}
    assert [p.name for p in tmp_path.iterdir()] == ["decision.key"]


@pytest.mark.parametrize("held", [b"", b"00" * 31, b"secret" * 20, b"\xff" * 64])
def test_a_file_that_holds_no_key_is_named_and_not_repeated(tmp_path: Path, held: bytes):
    path = tmp_path / "decision.key"
    path.write_bytes(held)
    with pytest.raises(InvalidInput, match="holds no key") as error:
        kept_key(path)
    assert "secret" not in str(error.value)
    assert path.read_bytes() == held


def test_a_folder_that_takes_no_key_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="DECISION_KEY"):
        kept_key(tmp_path / "file" / "decision.key")


def test_a_shop_has_its_own_key_or_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    one, two = Workspace.open(tmp_path / "one"), Workspace.open(tmp_path / "two")
    own = wiring.decision_key(Settings.load(), one).name(*FACTS)
    assert wiring.decision_key(Settings.load(), one).name(*FACTS) == own
    assert wiring.decision_key(Settings.load(), two).name(*FACTS) != own
    given = "0123456789" * 4
    monkeypatch.setenv("PERSONA_IMG_SERVE__DECISION_KEY", given)
    shared = {wiring.decision_key(Settings.load(), w).name(*FACTS) for w in (one, two)}
    assert shared == {DecisionKey(given.encode()).name(*FACTS)}


def test_a_shops_file_may_be_given_to_others_as_their_setting(tmp_path: Path):
    home = Workspace(tmp_path)
    own = kept_key(home.decision_key)
    given = home.decision_key.read_text().strip()
    shared = Settings.load(serve={"decision_key": given})
    assert wiring.decision_key(shared, home).name(*FACTS) == own.name(*FACTS)


def test_a_secret_whose_name_is_misspelt_is_not_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERSONA_IMG_SERVE__DECISON_KEY", "never to be seen, not even once")
    with pytest.raises(InvalidInput, match="decison_key") as error:
        Settings.load()
    assert "never" not in str(error.value)


def test_the_key_is_told_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    secret = "a-secret-that-nobody-is-to-see-anywhere"
    settings = Settings.load(serve={"decision_key": secret}, home=tmp_path)
    decider = a_decider(MemoryEventLog(), DecisionKey(secret.encode()))
    assert secret not in settings.save().read_text()
    for told in (settings, decider, wiring.decision_key(settings, Workspace(tmp_path))):
        assert secret not in f"{told!r}{told}"
    short = secret[:20]
    with pytest.raises(InvalidInput, match="decision_key") as error:
        Settings.load(serve={"decision_key": short})
    assert short not in str(error.value)
    with pytest.raises(InvalidInput, match=r"belongs into \[serve\]") as error:
        Settings.load(learn={"decision_key": secret})
    assert secret not in str(error.value)
