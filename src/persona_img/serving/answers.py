"""What a page is told of a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from persona_img.domain.style import ORIGINAL

if TYPE_CHECKING:
    from persona_img.domain.decision import Decision
    from persona_img.serving.token import Signer

_NOT_COUNTED = dict.fromkeys(
    ("token", "expires_at", "arm", "segment", "digest", "propensity", "policy_version")
)


class Answers:
    """Bodies of answers; each that is counted is a showing of its own, and carries its token.

    Args:
        test: The A/B test.
        signer: Makes showings, and signs them.
    """

    def __init__(self, test: str, signer: Signer) -> None:
        self._test, self._signer = test, signer

    def shown(self, decision: Decision, picture: dict[str, Any], now: float) -> dict[str, Any]:
        """A decision, answered now (Unix seconds), with what is told of its picture."""
        showing = self._signer.show(decision, now)
        return {
            "counted": True,
            "token": self._signer.sign(showing),
            "expires_at": self._signer.expires_at(showing),
            "test": decision.test,
            "arm": decision.arm,
            "segment": decision.segment,
            "style": decision.style_key,
            "digest": decision.digest,
            "propensity": decision.propensity,
            "policy_version": decision.policy_version,
            **picture,
        }

    def photo(self, picture: dict[str, Any]) -> dict[str, Any]:
        """A photo that no decision stands behind."""
        return {
            "counted": False,
            **_NOT_COUNTED,
            "test": self._test,
            "style": ORIGINAL.key,
            **picture,
        }
