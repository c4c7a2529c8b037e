"""Whoever has no key signs nothing; whoever has one knows again what was signed."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event_log import NOON, a_decision
from examples import KEY, SIGNER
from persona_img.errors import InvalidInput
from persona_img.serving.key import ShopKey
from persona_img.serving.token import MAX_TOKEN, Refused, Signer

OTHER = ShopKey(b"the key of a shop of the attacker's own")
DAY = 86400.0

names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)


@given(names, names, names, st.none() | st.just("ab" * 32), st.floats(1e-12, 1), st.floats(0, 4e9))
def test_what_was_signed_is_read_as_it_was(shopper, product, segment, digest, propensity, at):
    facts = {"shopper": shopper, "product": product, "segment": segment, "digest": digest}
    decision = a_decision(propensity=propensity, decided_at=at, **facts)
    showing = SIGNER.show(decision, at + 5)
    token = SIGNER.sign(showing)
    assert SIGNER.read(token, at + 9) == showing
    assert showing.decision is decision
    assert token.isascii()
    assert len(token) < MAX_TOKEN


def test_every_answer_is_a_showing_of_its_own():
    ids = [SIGNER.show(a_decision(), NOON + n % 7).showing_id for n in range(10_000)]
    assert len(set(ids)) == 10_000
    assert all(len(bytes.fromhex(one)) == 12 for one in ids)
    assert (
        SIGNER.show(a_decision(), NOON).showing_id < SIGNER.show(a_decision(), NOON + 1).showing_id
    )


def test_no_bit_can_be_changed():
    token = SIGNER.sign(SIGNER.show(a_decision(), NOON))
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for place in range(len(raw)):
        for bit in (1, 128):
            changed = bytearray(raw)
            changed[place] ^= bit
            forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
            with pytest.raises(Refused) as error:
                SIGNER.read(forged, NOON)
            assert error.value.rule == "forged"


def forgeries() -> list[str]:
    """Tokens by whoever knows all that is public, and this program, but not the key."""
    showing = SIGNER.show(a_decision(), NOON)
    true = SIGNER.sign(showing)
    raw = base64.urlsafe_b64decode(true + "=" * (-len(true) % 4))
    body = raw[20:]
    macs = [
        bytes(16),
        hashlib.blake2b(body, digest_size=16).digest(),
        hashlib.blake2b(body, digest_size=16, person=b"persona-img tok").digest(),
        hmac.digest(b"", body, "sha256")[:16],
        raw[4:20],
    ]
    made = [raw[:4] + mac + body + b"x" for mac in macs]
    encoded = [base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in made]
    others = [Signer(OTHER), Signer(ShopKey(bytes(32)))]
    return [
        *encoded,
        *(other.sign(showing) for other in others),
        *("", "A", "====", "not base64!", true[:-4], true + "AAAA", true[1:], "é", "A" * 5000),
    ]


@pytest.mark.parametrize("number", range(len(forgeries())))
def test_without_the_key_nothing_is_signed(number):
    with pytest.raises(Refused, match="did not sign") as error:
        SIGNER.read(forgeries()[number], NOON)
    assert error.value.rule == "forged"


def test_an_earlier_key_still_proves_and_the_new_one_signs():
    old, new = Signer(KEY), Signer(OTHER, [KEY])
    before, after = (one.sign(one.show(a_decision(), NOON)) for one in (old, new))
    for token in (before, after):
        assert new.read(token, NOON).decision == a_decision()
    with pytest.raises(Refused):
        old.read(after, NOON)
    with pytest.raises(Refused):
        Signer(OTHER).read(before, NOON)


def test_tokens_expire_by_when_they_were_answered():
    signer = Signer(KEY, days=2)
    kept = dataclasses.replace(a_decision(), decided_at=NOON - 100 * DAY)
    showing = signer.show(kept, NOON)
    token = signer.sign(showing)
    assert signer.expires_at(showing) == NOON + 2 * DAY
    assert signer.read(token, NOON + 2 * DAY) == showing
    with pytest.raises(Refused, match=r"2\.0 days ago; they are taken for 2") as error:
        signer.read(token, NOON + 2 * DAY + 1)
    assert error.value.rule == "expired"


@pytest.mark.parametrize("days", [0, -1, float("nan")])
def test_a_token_that_never_holds_is_refused(days):
    with pytest.raises(InvalidInput, match="days"):
        Signer(KEY, days=days)


def test_the_key_is_told_to_nobody():
    for told in (KEY, SIGNER):
        assert "everybody" not in f"{told!r}{told}"
