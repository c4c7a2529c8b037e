"""A running service and a withdrawal from another process: seen at the next answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples import PHOTOS, STYLE
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL
from persona_img.rendering.base import Variant
from persona_img.serving.run import BackgroundServer
from persona_img.shop import Shop

TABLE = "round-1"
NAMES = [f"s{n}" for n in range(400)]


@pytest.fixture
def shop(tmp_path: Path, variant: Variant) -> Shop:
    """A shirt with one variant, shown to nearly everybody outside control."""
    patient = {"decision_ms": 10_000}  # a busy machine is no failure
    shop = Shop.open(tmp_path / "shop", serve=patient)
    shop.workspace.catalog.parent.mkdir()
    shirt = Product("shirt", "tops", "A shirt", PHOTOS / "shirt-01.jpg", "own")
    Catalog([shirt]).save(shop.workspace.catalog)
    shop.variants.put(variant, "shirt")
    shop.variants.ledger.propose(variant.digest)
    slate = Slate((Candidate(ORIGINAL, None, 0.25), Candidate(STYLE, variant.digest, 0.75)))
    shop.workspace.save_decision_table(DecisionTable(TABLE, {("all", "shirt"): slate}, {}, "all"))
    return shop


@pytest.fixture
def client(shop: Shop) -> Iterator[httpx.Client]:
    decider = shop.decider()
    try:
        with (
            BackgroundServer(shop.app(decider)) as server,
            httpx.Client(base_url=server.url) as client,
        ):
            yield client
    finally:
        decider.log.close()


def command(shop: Shop, *arguments: str) -> None:
    """In another process, as a person does it while the service runs."""
    home = ("--home", str(shop.settings.home))
    subprocess.run(
        [sys.executable, "-m", "persona_img", "variants", *arguments, *home],
        check=True, capture_output=True,
    )  # fmt: skip


def asked(client: httpx.Client, shopper: str) -> dict[str, object]:
    answer = client.get("/v1/variant", params={"shopper": shopper, "product": "shirt"})
    found: dict[str, object] = answer.raise_for_status().json()
    return found


def sees(client: httpx.Client, shopper: str) -> dict[str, object]:
    """What a shopper is shown, and looks at."""
    shown = asked(client, shopper)
    event = {"kind": "impression", "token": shown["token"]}
    answer = client.post("/v1/events", json={"events": [event]}).raise_for_status()
    assert answer.json()["accepted"] == 1
    return shown


def seer(client: httpx.Client, digest: str, names: Iterator[str]) -> str:
    """Somebody who saw the variant."""
    return next(name for name in names if sees(client, name)["digest"] == digest)


def without_token(shown: dict[str, object]) -> dict[str, object]:
    return {name: told for name, told in shown.items() if name not in ("token", "expires_at")}


@pytest.mark.parametrize("whole_style", [False, True])
def test_a_withdrawal_is_seen_at_the_next_answer_and_its_propensity_is_true(
    shop: Shop, client: httpx.Client, variant: Variant, whole_style: bool
) -> None:
    names = iter(NAMES)
    first = seer(client, variant.digest, names)
    picture = f"/v1/variants/{variant.digest}"
    assert client.get(picture).content == variant.png

    other, why = Shop.open(shop.settings.home), {"by": "ann", "reason": "the rug hides the heel"}
    if whole_style:
        other.withdraw_style("shirt", STYLE, **why)
    else:
        command(shop, "withdraw", variant.digest[:12], "--reason", "the rug hides the heel")

    kept = without_token(sees(client, first))
    assert (kept["digest"], kept["propensity"]) == (None, 1.0)
    assert kept["policy_version"] == f"{TABLE}~withdrawn"
    assert client.get(picture).status_code == 404
    new = [asked(client, next(names)) for _ in range(60)]
    chosen = [d for d in new if d["arm"] == "personalized"]
    # Whoever would have got it gets the photo, which now has the chance of both.
    assert {(d["digest"], d["propensity"], d["policy_version"]) for d in chosen} == {
        (None, 1.0, TABLE)
    }

    if whole_style:
        other.restore_style("shirt", STYLE, **why)
    else:
        other.restore(variant.digest, **why)
    assert (
        without_token(asked(client, first)) == kept
    )  # it does not flicker back under the same table
    later = asked(client, seer(client, variant.digest, names))
    assert later["propensity"] == 0.75
    assert client.get(picture).content == variant.png


def test_impressions_after_a_withdrawal_belong_to_their_table(
    shop: Shop, client: httpx.Client, variant: Variant
) -> None:
    """Left out, they would be missed in the personalized arm alone."""
    shopper = seer(client, variant.digest, iter(NAMES))
    shop.variants.ledger.withdraw([variant.digest], by="ann", reason="the rug hides the heel")
    sees(client, shopper)
    for policy in ("last", TABLE):
        found = shop.feedback(policy=policy)
        found = found[found["shopper"] == shopper]
        assert list(found["policy_version"]) == [TABLE, f"{TABLE}~withdrawn"]
