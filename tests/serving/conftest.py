from __future__ import annotations

import hashlib
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from examples import SIGNER
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms, Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import NotFound
from persona_img.serving.app import create_app
from persona_img.serving.base import EventLog
from persona_img.serving.decide import Decider
from persona_img.serving.run import BackgroundServer
from persona_img.serving.sqlite_log import SqliteEventLog

if TYPE_CHECKING:
    from fastapi import FastAPI

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "shirt-01.jpg"
VARIANT = b"\x89PNG\r\n\x1a\n" + b"the pixels of a variant"
DIGEST = hashlib.sha256(VARIANT).hexdigest()
SOFT = Style("light=soft")
TOKEN = "a-token-of-some-length"


@dataclass(frozen=True)
class Shop:
    """A service under test, and what lies behind it."""

    client: httpx.Client
    app: FastAPI
    decider: Decider

    def shopper(self, arm: str, skip: int = 0) -> str:
        names = (f"s{n}" for n in range(10_000))
        found = [s for s in (next(names) for _ in range(500)) if self.decider.arms.assign(s) == arm]
        return found[skip]


def a_table(version: str = "v1") -> DecisionTable:
    slate = Slate((Candidate(ORIGINAL, None, 0.001), Candidate(SOFT, DIGEST, 0.999)))
    return DecisionTable(version, {("all", "shirt"): slate}, {}, "all")


def a_catalog() -> Catalog:
    return Catalog(
        [
            Product("shirt", "tops", "A shirt", PHOTO, "CC0-1.0"),
            Product("lost", "tops", "Its photo is gone", Path("/nowhere.jpg"), "CC0-1.0"),
        ]
    )


def stored_variant(digest: str) -> bytes:
    assert re.fullmatch("[0-9a-f]{64}", digest), "the store is asked for digests only"
    if digest != DIGEST:
        raise NotFound(f"variant {digest} is not in the store")
    return VARIANT


def a_decider(log: EventLog) -> Decider:
    arms = Arms("hero", {"control": 0.5, "personalized": 0.5})
    return Decider(a_table(), arms, log)


def start(folder: Path, **settings):
    """Yields a running shop."""
    # Unless told otherwise it is patient: a busy machine is no failure.
    settings.setdefault("decision_seconds", 10.0)
    settings.setdefault("probe_seconds", 0.0)  # stores fail and come back within a second
    with closing(SqliteEventLog(folder / "log.sqlite")) as log:
        decider, signer = a_decider(log), settings.pop("signer", SIGNER)
        variants = settings.pop("variants", stored_variant)
        app = create_app(decider, a_catalog(), variants, signer=signer, **settings)
        with BackgroundServer(app) as server, httpx.Client(base_url=server.url) as client:
            yield Shop(client, app, decider)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    yield from start(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    yield from start(tmp_path_factory.mktemp("guarded"), tokens=[TOKEN, TOKEN[::-1]])
