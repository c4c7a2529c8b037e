"""What every picture is made of may be used for: licences of photos, materials and models.

A shop keeps them in ``licences.toml``, a table for each input::

    [[input]]
    kind = "photo"            # photo, materials, checkpoint, adapter, model
    name = "22423"            # a product, a folder, a model's id; "*" for all others of the kind
    licence = "CC-BY-4.0"
    owner = "Ann"
    proof = "contract 2026-17"
    expires = 2027-01-31      # the last day
    uses = ["web"]            # web, ads, marketplace; left out: all

An input that is not listed is as its own table says: a product's ``licence``, a model's card.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Use = Literal["web", "ads", "marketplace"]
USES: tuple[Use, ...] = ("web", "ads", "marketplace")
Kind = Literal["photo", "materials", "checkpoint", "adapter", "model"]
EVERY = "*"

UNKNOWN = "unknown"
"""Licence of what nobody says anything of; it may be used for nothing."""

_NO_BUSINESS = re.compile(
    r"non-?commercial|no(t-for)?-commercial|(^|-)nc(?![a-z])"
    r"|(research|editorial|academic|personal)(-use)?(-purposes)?-only"
)  # in lower case, and whatever stands between words is a "-"


class Input(BaseModel):
    """One thing that pictures are made of.

    Attributes:
        kind: What it is.
        name: Which; ``*`` for all of its kind that are not named.
        licence: Under which it may be used; never empty.
        owner: Whose it is.
        proof: Where that can be read.
        expires: The last day; None for good.
        uses: What it may be used for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    name: str = Field(min_length=1, max_length=500)
    licence: str = Field(min_length=1, max_length=200)
    owner: str = Field("", max_length=200)
    proof: str = Field("", max_length=500)
    expires: date | None = None
    uses: Annotated[tuple[Use, ...], Field(min_length=1)] = USES

    def refused(self, use: Use, today: date) -> str:
        """Why it may not be used so today; empty where it may.

        Args:
            use: What for.
            today: The day.
        """
        named = f"{self.kind} {self.name!r} ({self.licence}{', ' * bool(self.owner)}{self.owner})"
        if self.expires is not None and today > self.expires:
            return f"{named}: its licence ended on {self.expires}; renew it, or take another one"
        if self.licence.strip().lower() in ("", UNKNOWN) and not self.proof:
            return f"{named}: nobody says under which licence; list it in licences.toml"
        words = re.sub(r"[^a-z0-9]+", "-", self.licence.lower())
        if _NO_BUSINESS.search(words) and not self.proof:
            return (
                f"{named}: its licence forbids use for business; where you have the right, say by "
                "which proof, or take another one"
            )
        if use not in self.uses:
            return f"{named}: licensed for {', '.join(self.uses)}, not for {use}"
        return ""


@dataclass(frozen=True)
class Licences:
    """A shop's inputs.

    Attributes:
        inputs: As they are listed.
    """

    inputs: tuple[Input, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Licences:
        """The inputs of a file; none where there is no such file.

        Raises:
            InvalidInput: it is no TOML, breaks a rule, or lists an input twice.
        """
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}: not valid TOML ({error}); mend it") from error
        if set(told) - {"input"}:
            raise InvalidInput(f"{path}: {sorted(set(told) - {'input'})}; say [[input]] for each")
        found: dict[tuple[str, str], Input] = {}
        for number, row in enumerate(told.get("input", []), 1):
            try:
                one = Input.model_validate(row)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise InvalidInput(
                    f"{path}: input {number}: {where}={first.get('input')!r}: {first['msg']}"
                ) from error
            if (one.kind, one.name) in found:
                raise InvalidInput(f"{path}: {one.kind} {one.name!r} is listed twice; keep one")
            found[one.kind, one.name] = one
        return cls(tuple(found.values()))

    def of(self, kind: Kind, name: str, otherwise: str) -> Input:
        """An input as it is listed; else all of its kind; else as its own table says.

        Args:
            kind: What it is.
            name: Which.
            otherwise: Its licence where it is not listed.
        """
        known = {(one.kind, one.name): one for one in self.inputs}
        listed = known.get((kind, name)) or known.get((kind, EVERY))
        if listed is None:
            # What another table says may be longer than what this file takes.
            return Input.model_construct(kind=kind, name=name, licence=otherwise or UNKNOWN)
        return listed.model_copy(update={"name": name})


@dataclass(frozen=True)
class Whole:
    """A picture's licence: what all that it is made of allows.

    Attributes:
        licences: Of its parts, each once.
        owners: Whose they are, each once.
        expires: The first last day of a part; None for good.
        uses: What every part may be used for, until one of them ends.
    """

    licences: tuple[str, ...]
    owners: tuple[str, ...]
    expires: date | None
    uses: tuple[Use, ...]

    def __str__(self) -> str:
        return " and ".join(self.licences)

    def allows(self, use: Use, day: date) -> bool:
        """Whether it may be used so on a day: where every part may.

        Args:
            use: What for.
            day: The day.
        """
        return use in self.uses and (self.expires is None or day <= self.expires)


def whole(parts: Iterable[Input]) -> Whole:
    """The licence of what is made of parts.

    Args:
        parts: At least one.

    Example:
        >>> made = whole([Input(kind="photo", name="a", licence="own", uses=("web", "ads")),
        ...               Input(kind="materials", name="b", licence="CC0-1.0")])
        >>> str(made), made.uses
        ('own and CC0-1.0', ('web', 'ads'))
    """
    parts = list(parts)
    ends = [one.expires for one in parts if one.expires is not None]
    return Whole(
        licences=tuple(dict.fromkeys(one.licence for one in parts)),
        owners=tuple(dict.fromkeys(one.owner for one in parts if one.owner)),
        expires=min(ends, default=None),
        uses=tuple(use for use in USES if not any(one.refused(use, date.min) for one in parts)),
    )
