"""What a person does beside the loop: stop what is shown, and look at one picture in place."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from persona_img import wiring
from persona_img.errors import InvalidInput
from persona_img.shop.stores import Stores

if TYPE_CHECKING:
    from persona_img.serving.halts import HaltFile, Where


class Switches(Stores):
    """Halts and previews."""

    def preview(self, digest: str, *, hours: float = 24.0) -> tuple[str, str]:
        """A signed text by which a person sees one variant in place; never counted.

        Args:
            digest: Of a variant that may be shown, or how it begins.
            hours: For how long it holds, up to 720.

        Returns:
            The product, and what ``GET /v1/variant`` takes as ``preview``.

        Raises:
            NotFound: no such variant, or it may not be shown.
            InvalidInput: no time, or too long.
        """
        from persona_img.serving.preview import Preview

        record = self.variants.get(self.variants.resolve(digest))
        _ = self.variants.servable_path(record.digest)
        one = Preview(record.product, record.digest, record.style.key)
        now = datetime.now(UTC).timestamp()
        previews = wiring.previews(self.settings, self.workspace)
        return record.product, previews.sign(one, hours=hours, now=now)

    @cached_property
    def halts(self) -> HaltFile:
        """What is answered by photos, and not counted, until somebody resumes it."""
        from persona_img.serving.halts import HaltFile

        return HaltFile(self.workspace.halts)

    def halt(self, where: Where, *, who: str, reason: str) -> None:
        """Answer photos, not counted, within a second, until it is resumed.

        Args:
            where: ``("all", "")``, ``("test", name)`` or ``("product", name)``.
            who: Says so.
            reason: Why, a line.

        Raises:
            NotFound: no such product.
            InvalidInput: a name of another test than this shop's, or no reason.
            CannotWrite: it cannot be kept, and nothing is halted.
        """
        scope, name = where
        if scope == "product":
            _ = self.live_catalog()[name]
        if scope == "test" and name != self.settings.test.name:
            raise InvalidInput(f"test {name!r}: this shop runs {self.settings.test.name!r}")
        self.halts.halt(where, who=who, reason=reason)

    def resume(self, where: Where, *, who: str, reason: str) -> list[Where]:
        """End a halt.

        Args:
            where: As for :meth:`halt`.
            who: Says so.
            reason: Why, a line.

        Returns:
            What is halted still.

        Raises:
            NotFound: that is not halted.
            InvalidInput: no reason.
            CannotWrite: it cannot be kept, and nothing is resumed.
        """
        from persona_img.serving.halts import standing

        self.halts.resume(where, who=who, reason=reason)
        return list(standing(self.halts.entries()))
