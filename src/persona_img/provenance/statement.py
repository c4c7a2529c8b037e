"""What is said of a picture: what it was made of, and how; in whichever form it is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from persona_img.domain.digest import digest_of
from persona_img.provenance import altered
from persona_img.provenance.altered import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.domain.variant import Certificate

UNCHANGED = "product unchanged"


@dataclass(frozen=True)
class Statement:
    """What is said of a picture; the same inputs say the same.

    Attributes:
        title: A name for people.
        actions: What was done to the photograph, in order.
        source_type: IPTC's, of the whole picture; None where it is an edited photograph.
        product: What became of the product's pixels, in words; empty where nobody measured it.
        digests: What it is bound to: of the ``variant``, its ``certificate``, its ``recipe``, the
            ``photo``'s pixels; hex.
        payload: What the watermark in its backdrop carries, hex; None where it has none.
        may_train: Whether its photograph lets models learn from it.
    """

    title: str
    actions: tuple[Action, ...]
    source_type: str | None
    product: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    payload: str | None = None
    may_train: bool = True

    def then(self, *actions: Action) -> Statement:
        """The same of what was made of the picture by more actions that add nothing."""
        return replace(self, actions=(*self.actions, *actions))


def of_variant(certificate: Certificate, title: str, photo_says: str | None = None) -> Statement:
    """What is said of a variant, by its certificate alone.

    Args:
        certificate: Its proof.
        title: A name for people.
        photo_says: Source type that its photograph says of itself.
    """
    recipe = certificate.recipe
    done = [*altered.edited(certificate.edits), altered.backdrop(str(recipe.get("backdrops", "")))]
    if certificate.relight is not None:
        done.append(Action("c2pa.color_adjustments", None, "product relit"))
    payload = recipe.get("watermark")
    if payload is not None:
        done.append(Action("c2pa.watermarked.bound", None, "watermark in the backdrop"))
    kept = UNCHANGED if certificate.product_unchanged else ", ".join(certificate.labels)
    return Statement(
        title=title,
        actions=tuple(done),
        source_type=altered.source_type(done, photo_says),
        product=", ".join(dict.fromkeys((kept, *certificate.labels))),
        digests={
            "variant": certificate.variant,
            "certificate": digest_of(certificate.as_dict()),
            "recipe": digest_of(dict(recipe)),
            "photo": certificate.photo,
        },
        payload=None if payload is None else str(payload),
    )


def of_photo(digest: str, title: str, photo_says: str | None = None) -> Statement:
    """What is said of a photograph that is only shown.

    Args:
        digest: Of its pixels, hex.
        title: A name for people.
        photo_says: Source type that it says of itself.
    """
    return Statement(title, (), photo_says, digests={"photo": digest})
