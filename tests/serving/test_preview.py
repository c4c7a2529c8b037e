"""A preview shows one variant, is never counted, and cannot be made without the key."""

from __future__ import annotations

import base64
import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from examples import KEY, SIGNER
from persona_img.errors import InvalidInput, NotFound
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.halts import EVERYTHING, HaltFile, Halts
from persona_img.serving.key import ShopKey
from persona_img.serving.preview import Preview, Previews
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import DIGEST, stored_variant
from .test_halts import ARMS, CATALOG, TABLE

OTHER = ShopKey(b"another key, which signs from today on, of this shop")
PREVIEWS = Previews([KEY])
MUG = Preview("mug", DIGEST, "light=soft")


@pytest.fixture
def client(tmp_path: Path):
    halts = HaltFile(tmp_path / "halts.json")
    halts.halt(EVERYTHING, who="ann", reason="a fire")  # a preview shows it all the same
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        app = create_app(
            Decider(TABLE, ARMS, log), CATALOG, stored_variant, signer=SIGNER,
            previews=PREVIEWS, halted=Halts(halts), decision_seconds=20.0,
        )  # fmt: skip
        with TestClient(app) as client:
            yield client


def asked(client: TestClient, product: str, preview: str):
    return client.get(
        "/v1/variant", params={"shopper": "qa", "product": product, "preview": preview}
    )


def test_a_preview_shows_its_variant_and_is_not_counted(client: TestClient) -> None:
    told = asked(client, "mug", PREVIEWS.sign(MUG, hours=1, now=time.time())).json()
    assert (told["counted"], told["token"], told["arm"]) == (False, None, None)
    assert (told["style"], told["digest"]) == ("light=soft", DIGEST)
    assert told["image_url"] == f"/v1/variants/{DIGEST}"
    assert "persona_img_decisions_total{" not in client.get("/metrics").text


def test_of_another_product_or_too_old_it_is_refused(client: TestClient) -> None:
    text = PREVIEWS.sign(MUG, hours=1, now=time.time())
    answer = asked(client, "shirt", text)
    assert (answer.status_code, "of product 'mug'" in answer.text) == (404, True)
    answer = asked(client, "mug", PREVIEWS.sign(MUG, hours=1, now=time.time() - 3700))
    assert (answer.status_code, "time is over" in answer.text) == (404, True)
    hidden = Preview("mug", "d" * 64, "light=soft")  # a variant that may not be shown
    answer = asked(client, "mug", PREVIEWS.sign(hidden, hours=1, now=time.time()))
    assert answer.status_code == 404


@given(st.binary(max_size=200) | st.text(max_size=40))
def test_nobody_makes_one_without_the_key(sent: bytes | str) -> None:
    text = sent if isinstance(sent, str) else base64.urlsafe_b64encode(sent).decode().rstrip("=")
    with pytest.raises(NotFound, match="not signed"):
        PREVIEWS.read(text, 0.0)


@given(st.data())
def test_a_changed_one_is_refused(data: st.DataObject) -> None:
    text = PREVIEWS.sign(MUG, hours=1, now=0.0)
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(NotFound, match="not signed"):
        PREVIEWS.read(base64.urlsafe_b64encode(raw).decode().rstrip("="), 0.0)


def test_tokens_are_no_previews_and_earlier_keys_hold() -> None:
    with pytest.raises(NotFound, match="not signed"):
        Previews([OTHER]).read(PREVIEWS.sign(MUG, hours=1, now=0.0), 0.0)
    rotated = Previews([OTHER, KEY])
    assert rotated.read(PREVIEWS.sign(MUG, hours=1, now=0.0), 3600.0) == MUG


@pytest.mark.parametrize("hours", [0, -1, 721, float("nan"), float("inf")])
def test_a_preview_has_a_time(hours: float) -> None:
    with pytest.raises(InvalidInput, match="up to 720 hours"):
        PREVIEWS.sign(MUG, hours=hours, now=0.0)
