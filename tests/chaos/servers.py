"""A shop whose log and profiles lie in servers, which are killed, hang, and come back."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from chaos.endured import Failure
from chaos.shops import a_shop
from chaos.traffic import SENDERS, SHOPPERS
from contracts.feature_source_test import profiles
from examples import STYLE
from persona_img.domain.leaning import Leaning, Personal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.endured import Failing
    from chaos.shops import Service
    from serving.postgres_server import PostgresServer
    from valkey import ValkeyServer

PRODUCTION = "feature_store.production.yaml"


def known_shoppers(home: Path, environment: dict[str, str]) -> None:
    """A shop in ``home`` whose traffic's shoppers are known to its feature store."""
    values = tuple(tuple(pair.split("=")) for pair in STYLE.key.split(","))
    weights = tuple((0.3,) for _ in range(len(values) + 1))
    leaning = Leaning(("views",), values, {"all": (1.0,)}, (1.0,), weights)
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        personal = Personal(leaning, 3.0, 0.05)
        shop = a_shop(home, personal, features="feast", feature_store=PRODUCTION)
        now = datetime.now(UTC)
        names = [f"s{n}-{turn}" for n in range(SENDERS) for turn in range(SHOPPERS)]
        shop.features.publish(profiles(*((name, now, 2.0) for name in names)))
        shop.features.materialize(now)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Servers:
    """PostgreSQL with the log, and, beside Valkey with the profiles, with Feast's registry.

    Args:
        postgres: Has one database; another one is made for Feast.
        valkey: Empty; None where the shop's folder holds the profiles.
    """

    def __init__(self, postgres: PostgresServer, valkey: ValkeyServer | None = None) -> None:
        self.postgres, self.valkey = postgres, valkey
        self.environment = {"PERSONA_IMG_STORES__EVENTS_URL": postgres.url}
        if valkey is not None:
            with closing(psycopg.connect(postgres.url, autocommit=True)) as db:
                db.execute("CREATE DATABASE feast")
            feast = postgres.url.replace("postgresql://", "postgresql+psycopg://")
            feast = feast.removesuffix("/postgres") + "/feast?connect_timeout=2"
            self.environment["PERSONA_IMG_REGISTRY"] = feast
            self.environment["PERSONA_IMG_REDIS"] = f"127.0.0.1:{valkey.port}"

    def stored(self) -> dict[str, int]:
        """How often each event is in the log."""
        with closing(psycopg.connect(self.postgres.url)) as db:
            return dict(db.execute("SELECT event_id, count(*) FROM events GROUP BY 1").fetchall())

    def failures(self) -> list[Failure]:
        """Each server, and both, killed and hanging."""
        gone, silent = ("does not answer",), ("slow", "locked", "does not answer")
        failures = [
            Failure("PostgreSQL is killed (-9)", _killed(self.postgres), gone),
            Failure("PostgreSQL hangs (SIGSTOP)", _hanging(self.postgres), silent),
        ]
        if self.valkey is None:
            return failures
        return [
            *failures,
            Failure("Valkey is killed (-9)", _killed(self.valkey), ("feature store",)),
            Failure("Valkey hangs (SIGSTOP)", _hanging(self.valkey), ("feature store",)),
            Failure("both are killed", _killed(self.postgres, self.valkey), ("database",)),
        ]


def _killed(*servers: PostgresServer | ValkeyServer) -> Failing:
    @contextmanager
    def failing(_: Service) -> Iterator[None]:
        for one in servers:
            one.kill()
        yield
        for one in servers:
            one.start()

    return failing


def _hanging(
    server: PostgresServer | ValkeyServer,
) -> Failing:
    @contextmanager
    def failing(_: Service) -> Iterator[None]:
        server.hang()
        try:
            yield
        finally:
            server.go_on()

    return failing
