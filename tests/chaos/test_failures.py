"""Whatever fails of a shop: pictures are shown, nothing acknowledged is lost, all is well after.

Each over HTTP, by the program as it is started, with shoppers under way; nothing is restarted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import valkey
from chaos.clocks import Clock
from chaos.endured import Failure, Survived, survive
from chaos.failures import DISK, FILES, LOG, a_disk
from chaos.servers import Servers, known_shoppers
from serving.postgres_server import PostgresServer

pytestmark = pytest.mark.slow

BRIEF = 0.5
"""Seconds of each failure."""

LONG = pytest.param(5.0, marks=pytest.mark.long)


def see(found: Survived, failures: list[Failure], *, replaced: bool = False) -> None:
    assert [one.name for one in found.endured] == [one.name for one in failures]
    for one in found.endured:
        assert not one.during.failed, (one.name, one.during.failed[:3])
        assert one.fits, (one.name, one.told)
    assert sum(one.during.shown for one in found.endured) > 0
    assert found.acknowledged > 0
    assert (found.lost, found.doubled, found.refused) == (0, 0, ())
    assert replaced or not found.restarted


@pytest.mark.parametrize("seconds", [BRIEF, LONG])
def test_the_log_fails(home: Path, seconds: float) -> None:
    see(survive(home, LOG, seconds), LOG)


@pytest.mark.parametrize("seconds", [BRIEF, LONG])
def test_the_disk_of_the_log_fails(shop: Path, seconds: float) -> None:
    with a_disk() as disk:
        shutil.copytree(shop, disk, dirs_exist_ok=True)
        # A system that makes a disk read-only kills whoever writes to what is mapped from it, as
        # SQLite's -shm is (SIGBUS): another worker is there in a tenth of a second.
        see(survive(disk / "home", DISK, seconds), DISK, replaced=True)


@pytest.mark.parametrize("seconds", [BRIEF, LONG])
def test_files_of_the_shop_fail(home: Path, seconds: float) -> None:
    see(survive(home, FILES, seconds), FILES)


@pytest.mark.parametrize("seconds", [BRIEF, LONG])
def test_the_clock_jumps(home: Path, tmp_path: Path, seconds: float) -> None:
    clock = Clock(tmp_path)
    failures = clock.failures()
    see(survive(home, failures, seconds, environment=clock.environment), failures)


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()


def test_the_database_of_the_log_is_killed(home: Path, postgres: PostgresServer) -> None:
    servers = Servers(postgres)
    failures = servers.failures()[:1]
    environment = servers.environment
    see(survive(home, failures, BRIEF, environment=environment, stored=servers.stored), failures)


@pytest.mark.long
def test_the_servers_of_log_and_profiles_fail(tmp_path: Path, postgres: PostgresServer) -> None:
    with valkey.running() as profiles:
        servers = Servers(postgres, profiles)
        failures, environment = servers.failures(), servers.environment
        known_shoppers(tmp_path / "home", environment)
        found = survive(
            tmp_path / "home", failures, 5.0, environment=environment, stored=servers.stored
        )
        see(found, failures)
