"""C2PA manifests: a statement signed into a picture's file, and what a file's manifest is worth.

Pixels and everything else of a file stay as they are: a manifest lies in a place of its own. Signed
bytes differ every time, so whatever names a picture names it as it was before.

References:
    C2PA 2.2, "Content Credentials Technical Specification"; CAWG 1.1, "Training and Data Mining".
"""

from __future__ import annotations

import io
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import c2pa

from persona_img.errors import StoreFailed
from persona_img.provenance.altered import GENERATED, canonical
from persona_img.provenance.credentials import Credentials
from persona_img.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from persona_img.provenance.altered import Action
    from persona_img.provenance.base import ClaimSigner
    from persona_img.provenance.credentials import State
    from persona_img.provenance.statement import Statement
    from persona_img.provenance.xmp import Training

SOFT_BINDING = "io.persona-img.watermark.1"
"""What C2PA calls an algorithm: that of :mod:`.watermark`."""
BOUND = "io.persona-img.binding"
"""Label of our own assertion: the digests of what a picture is."""

_LOG = logging.getLogger(__name__)
_PHOTO = "photo"
_MINING = (
    "cawg.ai_generative_training", "cawg.ai_inference", "cawg.ai_training", "cawg.data_mining",
)  # fmt: skip
_ASK_FOR_EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
_MEANS: Mapping[str, str] = {
    "assertion.dataHash.mismatch": "its bytes are not those that were signed",
    "assertion.boxesHash.mismatch": "its bytes are not those that were signed",
    "assertion.bmffHash.mismatch": "its bytes are not those that were signed",
    "assertion.hashedURI.mismatch": "its statement is not the one that was signed",
    "assertion.missing": "a part of its statement is missing",
    "claimSignature.mismatch": "its signature is not that of its statement",
    "signingCredential.untrusted": "who signed it is not trusted",
    "signingCredential.invalid": "the certificate that signed it is none for pictures",
    "signingCredential.expired": "the certificate that signed it holds no more",
    "claimSignature.outsideValidity": "the certificate that signed it holds no more",
}


@dataclass(frozen=True)
class Ingredient:
    """What a picture was made of.

    Attributes:
        title: Name of its file.
        data: The file, with the manifest it may have; None where it is gone.
        media_type: Its kind.
        digest: SHA-256 of its pixels, hex.
    """

    title: str
    data: bytes | None
    media_type: str | None
    digest: str


class Manifests:
    """Signs statements into files, by one key; may be used by several threads at once.

    Args:
        signer: The key.
        training: Whether models may learn from what is signed.
    """

    def __init__(self, signer: ClaimSigner, training: Training = "not-allowed") -> None:
        self.signer, self.training = signer, training
        how = {
            "version": 1,
            "builder": {"thumbnail": {"enabled": False}},
            "verify": {"verify_after_sign": False, "remote_manifest_fetch": False},
        }
        self._context = c2pa.Context(c2pa.Settings.from_dict(how), _signer_of(signer))
        self._kinds = frozenset(c2pa.Builder.get_supported_mime_types())

    def signed(
        self, data: bytes, media_type: str, statement: Statement, photo: Ingredient
    ) -> bytes:
        """A file with a statement signed into it.

        Args:
            data: The file; PNG, JPEG, WebP or AVIF.
            media_type: Its kind.
            statement: What is said of it.
            photo: The photograph that it was made of.

        Raises:
            StoreFailed: the key did not sign, or the file is none of its kind.
        """
        out = io.BytesIO()
        try:
            with self._begun(statement, media_type, photo) as builder:
                builder.sign(media_type, io.BytesIO(data), out)
        except c2pa.C2paError as error:
            raise StoreFailed(f"{statement.title}: cannot be signed ({error})") from error
        return out.getvalue()

    def _begun(self, statement: Statement, media_type: str, photo: Ingredient) -> c2pa.Builder:
        """With the photograph's file, where it is one that manifests can be looked for in."""
        if photo.data is not None and photo.media_type in self._kinds:
            told = self._told(statement, media_type, photo, whole=True)
            builder = c2pa.Builder(told, context=self._context)
            try:
                builder.add_ingredient(_parent(photo), photo.media_type, io.BytesIO(photo.data))
            except c2pa.C2paError as error:
                builder.close()
                _LOG.warning("%s is named without its file: %s", photo.title, error)
            else:
                return builder
        return c2pa.Builder(
            self._told(statement, media_type, photo, whole=False), context=self._context
        )

    def _told(
        self, statement: Statement, media_type: str, photo: Ingredient, *, whole: bool
    ) -> dict[str, Any]:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_PHOTO]}}
        actions = _typed([opened, *map(_action, statement.actions)], statement.source_type)
        mined = {
            "use": "allowed" if self.training == "allowed" and statement.may_train else "notAllowed"
        }
        assertions: list[dict[str, Any]] = [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {
                "label": "cawg.training-mining",
                "data": {"entries": dict.fromkeys(_MINING, mined)},
            },
            {
                "label": BOUND,
                "data": {**statement.digests, "product": statement.product},
            },
        ]
        if statement.payload is not None:
            block = {"scope": {}, "value": statement.payload}
            binding = {"alg": SOFT_BINDING, "blocks": [block]}
            assertions.append({"label": "c2pa.soft-binding", "data": binding})
        told: dict[str, Any] = {
            "claim_generator_info": [{"name": "persona-img", "version": __version__}],
            "title": statement.title,
            "format": media_type,
            "assertions": assertions,
        }
        if not whole:
            told["ingredients"] = [_parent(photo)]
        return told


def credentials(data: bytes, media_type: str, trusted: str | None) -> Credentials:
    """What a file's manifest says and is worth; nothing outside the file is asked.

    Args:
        data: The file.
        media_type: Its kind.
        trusted: Certificates of authorities, PEM; None for nobody.
    """
    try:
        found = _found(data, media_type, trusted)
    except c2pa.C2paError.ManifestNotFound:
        return Credentials("missing", ("it carries no manifest",))
    except c2pa.C2paError as error:
        return Credentials("invalid", (f"its manifest cannot be read ({error})",))
    return _read(found)


def generated(data: bytes, media_type: str) -> str | None:
    """The source type by which a file's manifest says that a model made it, or a part of it.

    That of the picture itself comes before those of what it was made of. What the manifest is worth
    is not asked: to say it of a picture that was not does no harm.

    Args:
        data: The file.
        media_type: Its kind.

    Returns:
        One of :data:`.altered.GENERATED`; None where it says none, or has no manifest.
    """
    try:
        found = _found(data, media_type, None)
    except c2pa.C2paError:
        return None
    manifests = found.get("manifests", {})
    active = manifests.get(found.get("active_manifest"), {})
    said = [kind for one in (active, *manifests.values()) for kind in _source_types(_actions(one))]
    return next((kind for kind in said if kind in GENERATED), None)


def _found(data: bytes, media_type: str, trusted: str | None) -> dict[str, Any]:
    """All that a reader tells of a file."""
    how: dict[str, Any] = {
        "version": 1,
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
    }
    if trusted is not None:
        how["trust"] = {"trust_anchors": trusted, "trust_config": _ASK_FOR_EMAIL_PROTECTION}
    context = c2pa.Context(c2pa.Settings.from_dict(how))
    with c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader:
        found: dict[str, Any] = json.loads(reader.json())
    return found


def _signer_of(signer: ClaimSigner) -> c2pa.Signer:
    algorithm = c2pa.C2paSigningAlg.ES256
    if signer.private_key is None:
        return c2pa.Signer.from_callback(signer.sign, algorithm, signer.chain)
    chain, key = signer.chain.encode(), signer.private_key.encode()
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None))


def _read(found: Mapping[str, Any]) -> Credentials:
    manifests = found.get("manifests", {})
    active = manifests.get(found.get("active_manifest"), {})
    results = found.get("validation_results", {}).get("activeManifest", {})
    failures = results.get("failure", [])
    valid = found.get("validation_state") in ("Valid", "Trusted")
    state: State = "trusted" if found.get("validation_state") == "Trusted" else "untrusted"
    said = {one["label"]: one.get("data", {}) for one in active.get("assertions", [])}
    actions = _actions(active)
    bound = said.get(BOUND, {})
    blocks = said.get("c2pa.soft-binding", {}).get("blocks", [])
    uses = {
        one.get("use", "")
        for one in said.get("cawg.training-mining", {}).get("entries", {}).values()
    }
    return Credentials(
        state=state if valid else "invalid",
        reasons=tuple(dict.fromkeys(map(_reason, failures))),
        signed_by=_signed_by(active),
        title=str(active.get("title", "")),
        actions=tuple((a["action"], str(a.get("description", ""))) for a in actions),
        source_types=_source_types(actions),
        digests={k: str(v) for k, v in bound.items() if k != "product"},
        product=str(bound.get("product", "")),
        payload=next((str(block.get("value")) for block in blocks), None),
        ingredients=tuple(
            _ingredient(one, manifests, found) for one in active.get("ingredients", [])
        ),
        training=uses.pop() if len(uses) == 1 else "",
    )


def _actions(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = manifest.get("assertions", [])
    found = (one.get("data", {}) for one in told if one["label"].startswith("c2pa.actions"))
    return [action for data in found for action in data.get("actions", [])]


def _source_types(actions: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(canonical(a["digitalSourceType"]) for a in actions if "digitalSourceType" in a)


def _ingredient(
    one: Mapping[str, Any], manifests: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[str, str, State]:
    """What was found of it when the picture was signed, and what is found other than that now."""
    title, own = str(one.get("title", "")), one.get("active_manifest")
    if own is None:
        return title, "", "missing"
    place = f"/{found.get('active_manifest')}/c2pa.assertions/{one.get('label')}"
    then = one.get("validation_results", {}).get("activeManifest", {})
    now = [
        delta["validationDeltas"]
        for delta in found.get("validation_results", {}).get("ingredientDeltas", [])
        if delta["ingredientAssertionURI"].endswith(place)
    ]
    good = {s["code"] for told in now for s in told.get("success", [])}
    bad = {f["code"] for told in (then, *now) for f in told.get("failure", [])}
    state: State = "trusted" if "signingCredential.trusted" in good else "untrusted"
    if not then or bad - {"signingCredential.untrusted"}:
        state = "invalid"
    return title, _signed_by(manifests.get(own, {})), state


def _reason(failure: Mapping[str, str]) -> str:
    code = failure.get("code", "")
    return _MEANS.get(code, f"{failure.get('explanation', '')} ({code})")


def _signed_by(manifest: Mapping[str, Any]) -> str:
    info = manifest.get("signature_info", {})
    return str(info.get("common_name") or info.get("issuer") or "")


def _parent(photo: Ingredient) -> dict[str, Any]:
    return {
        "title": photo.title,
        "relationship": "parentOf",
        "format": photo.media_type or "application/octet-stream",
        "instance_id": f"sha256:{photo.digest}",
        "label": _PHOTO,
    }


def _typed(actions: list[dict[str, Any]], kind: str | None) -> list[dict[str, Any]]:
    """With the whole picture's source type at the last action that has one, else at the first."""
    if kind is not None:
        typed = [action for action in actions if "digitalSourceType" in action]
        (typed or actions[:1])[-1]["digitalSourceType"] = kind
    return actions


def _action(action: Action) -> dict[str, Any]:
    told: dict[str, Any] = {"action": action.name}
    if action.source_type is not None:
        told["digitalSourceType"] = action.source_type
    if action.told:
        told["description"] = action.told
    return told
