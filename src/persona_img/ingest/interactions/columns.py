"""Which column is what: given by the user, or known of an export by its name."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from persona_img.assets import ASSETS
from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.fields import FIELDS, KINDS, REQUIRED, alike, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_EXPORTS = ASSETS / "exports"
_LIKELY: Mapping[str, tuple[str, ...]] = {
    "shopper": ("user_id", "userid", "customer_id", "customerid", "visitor_id", "visitorid",
                "client_id", "user", "customer", "user_pseudo_id", "anonymous_id"),
    "product": ("product_id", "productid", "sku", "item_id", "itemid", "stockcode", "article_id",
                "item", "asin"),
    "kind": ("event", "event_type", "event_name", "action", "type", "behavior"),
    "occurred_at": ("timestamp", "ts", "time", "event_time", "event_timestamp", "datetime", "date",
                    "created_at", "invoicedate", "order_date", "t_dat"),
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """How a file tells interactions.

    Attributes:
        paths: Field to where it stands: dotted paths, the first that has a value counts. The paths
            of event_id are taken together.
        kinds: What files call kinds, in lower case, to a kind; kinds' own names are always known.
        kind: Where every row is of this one kind.
        skip_others: Whether rows of other kinds are only counted; else they are refused.
        timezone: Where clocks stood that told times without a zone.
        time_format: See :class:`~persona_img.ingest.interactions.times.Times`.
        encoding: Of texts; None finds out.
        delimiter: Between cells; None finds out.
        export: The known export, or nothing.
    """

    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None
    skip_others: bool = False
    timezone: str | None = None
    time_format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    export: str = ""

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise InvalidInput(f"kind {self.kind!r}: use {', '.join(KINDS)}")
        if self.kind is not None and (self.kinds or "kind" in self.paths):
            raise InvalidInput(
                f"every row is a {self.kind}, and kinds are told as well; leave out either"
            )
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise InvalidInput(f"delimiter {self.delimiter!r}: give one character")
        used: dict[str, str] = {}
        for name, paths in self.paths.items():
            for path in paths if name != "event_id" and not self.export else ():
                if used.setdefault(path, name) != name:
                    raise InvalidInput(
                        f"column {path!r} is mapped to {used[path]} and to {name}; map it once"
                    )

    @classmethod
    def of(
        cls,
        mapped: Iterable[str] = (),
        kinds: Iterable[str] = (),
        *,
        export: str | None = None,
        **given: Any,
    ) -> Columns:
        """What a user said.

        Args:
            mapped: Texts as ``shopper=user_id,product=sku``. ``a|b`` takes ``b`` where ``a`` is
                empty; an identifier of events may be several columns, ``order+line``.
            kinds: Texts as ``view=detail_view,purchase=order``.
            export: A known export to start from; what is mapped wins.
            **given: Further attributes; those that are None are left out.

        Raises:
            InvalidInput: a field is unknown or said twice, or an export has no such name.
        """
        start = named(export) if export else cls()
        paths = dict(start.paths)
        for name, text in _pairs(mapped, FIELDS, "map", once=True):
            mark = "+" if name == "event_id" else "|"
            paths[name] = tuple(part.strip() for part in text.split(mark))
        values = dict(start.kinds)
        for name, text in _pairs(kinds, KINDS, "kinds"):
            key = text.strip().casefold()
            if values.get(key, name) != name and not export:
                raise InvalidInput(f"kind {text!r} is said to be {values[key]} and {name}")
            values[key] = name
        said = {key: value for key, value in given.items() if value is not None}
        return replace(start, **said, paths=paths, kinds=values)

    def told(self) -> dict[str, Any]:
        """Plain values: two imports that tell the same read a file alike."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        told["paths"] = {name: list(paths) for name, paths in self.paths.items()}
        return told | {"kinds": dict(self.kinds)}

    def found(
        self, names: Sequence[str], where: object, *, more: bool = False
    ) -> dict[str, tuple[str, ...]]:
        """The paths that a file has, by field.

        Args:
            names: Its columns.
            where: What to call it in messages.
            more: Whether later rows may bring columns that are not among the names.

        Raises:
            InvalidInput: a field has no column, or a name stands twice.
        """
        found: dict[str, tuple[str, ...]] = {}
        lacking: list[str] = []
        for name in FIELDS:
            if name == "kind" and self.kind is not None:
                continue
            wanted = self.paths.get(name, (name,) if name in REQUIRED else ())
            have = tuple(dict.fromkeys(p for path in wanted for p in _matching(path, names)))
            if more and wanted and (have or self.export):
                have = tuple(
                    dict.fromkeys(p for path in wanted for p in _matching(path, names) or [path])
                )
            if have:
                found[name] = have
            elif wanted and (name in REQUIRED or not self.export):
                lacking.append(name)
        if lacking:
            raise InvalidInput(f"{where}: {self._lacks(lacking, names)}")
        for path in (path for paths in found.values() for path in paths if not more):
            column, _ = split(path, names)
            if names.count(column) > 1:
                raise InvalidInput(
                    f"{where}: two columns are called {column!r}; rename one in the file"
                )
        return found

    def _lacks(self, lacking: Sequence[str], names: Sequence[str]) -> str:
        """What is missing, what is there, and what could be meant."""
        missing = ", ".join(" or ".join(self.paths.get(name, (name,))) for name in lacking)
        shown = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
        text = f"no column {missing}; it has {shown}."
        if self.export:
            return f"{text} It is no export of {self.export}; say --map for what differs"
        for export in exports():
            if set(export_of(export)["recognised_by"]) <= set(names):
                return f"{text} It looks like {export}: say --from {export}"
        likely = self._likely(lacking, names)
        told = {name: "|".join(paths) for name, paths in self.paths.items()} | likely
        if likely:
            pairs = ",".join(f"{name}={told[name]}" for name in FIELDS if name in told)
            text += f" If these are meant, say --map {pairs}"
        asked = [name for name in lacking if name not in likely]
        if "kind" in asked:
            text += "; if" if likely else " If"
            text += " every row is of one kind, say e.g. --kind purchase"
            asked.remove("kind")
        if asked:
            text += f" Say which it is: --map {','.join(name + '=COLUMN' for name in asked)}"
        return text

    def _likely(self, lacking: Sequence[str], names: Sequence[str]) -> dict[str, str]:
        """Guesses, to be said and never taken: field to column."""
        plain = {one.strip().casefold().replace(" ", "_"): one for one in reversed(names)}
        used = {path for paths in self.paths.values() for path in paths}
        likely: dict[str, str] = {}
        for name in lacking:
            guesses = (plain[key] for key in _LIKELY.get(name, ()) if key in plain)
            guess = next((one for one in guesses if one not in used), None)
            if guess is not None:
                likely[name] = guess
                used.add(guess)
        return likely


def exports() -> list[str]:
    """Names of the known exports."""
    return sorted(path.stem for path in _EXPORTS.glob("*.toml"))


def export_of(name: str) -> dict[str, Any]:
    """What is known of an export, as its file in ``assets/exports`` says.

    Raises:
        InvalidInput: none has that name.
    """
    if name not in exports():
        raise InvalidInput(f"export {name!r} is unknown; there are {', '.join(exports())}")
    return tomllib.loads((_EXPORTS / f"{name}.toml").read_text(encoding="utf-8"))


def named(name: str) -> Columns:
    """How a known export tells interactions."""
    known = export_of(name)
    return Columns(
        paths={key: tuple(paths) for key, paths in known["columns"].items()},
        kinds={
            value.casefold(): kind for kind, values in known["kinds"].items() for value in values
        },
        skip_others=True,
        timezone=known.get("timezone"),
        time_format=known.get("time_format"),
        export=name,
    )


def _matching(path: str, names: Sequence[str]) -> list[str]:
    """The path with its column as the file spells it; several where it has a star."""
    if path in names:
        return [path]
    column, dot, rest = path.partition(".")
    if "*" in column:
        hits = [n for n in names if fnmatch.fnmatchcase(n.casefold(), column.casefold())]
        return [hit + dot + rest for hit in hits]
    try:
        split(path, names)
        return [path]
    except KeyError:
        pass
    whole = alike(path, names)
    if whole is not None:
        return [whole]
    hit = alike(column, names)
    return [] if hit is None else [hit + dot + rest]


def _pairs(
    texts: Iterable[str], known: Sequence[str], option: str, *, once: bool = False
) -> list[tuple[str, str]]:
    """``a=x,b=y`` as pairs; what follows a comma and no known name belongs to the value."""
    starts = re.compile(rf",(?=\s*(?:{'|'.join(known)})\s*=)")
    pairs: list[tuple[str, str]] = []
    for text in (part for given in texts for part in starts.split(given)):
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in known or not value:
            raise InvalidInput(
                f"--{option} {text!r}: write NAME=VALUE with one of {', '.join(known)}"
            )
        if once and name in [key for key, _ in pairs]:
            raise InvalidInput(f"--{option}: {name} is said twice; say it once")
        pairs.append((name, value))
    return pairs
