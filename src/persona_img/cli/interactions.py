"""Commands for what a shop's own shoppers did: add files, show what is there, undo one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_img.cli.home import Home, Json, add
from persona_img.ingest.interactions.columns import exports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from persona_img.ingest.interactions.parts import Summary
    from persona_img.ingest.interactions.source import Added, Source
    from persona_img.shop import Shop

_SAID = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="What shoppers did: views, carts and purchases of a shop's own.", no_args_is_help=True
    )
    example = (
        "persona-img interactions add events.csv --map shopper=user_id,product=sku,kind=event,"
        "occurred_at=ts --kinds view=detail_view,purchase=order --timezone Europe/Berlin"
    )
    add(group, interactions_add, example, name="add")
    add(group, interactions_show, "persona-img interactions show", name="show")
    add(group, interactions_remove, "persona-img interactions remove events.csv", name="remove")
    app.add_typer(group, name="interactions")


def interactions_add(
    files: Annotated[
        list[Path], typer.Argument(help="CSV, Parquet, JSON Lines, also gzipped; or a folder.")
    ],
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Which column is what: FIELD=COLUMN,… of shopper, product, kind, occurred_at and "
            "event_id. `a|b` takes b where a is empty, `items.id` looks into nested values.",
        ),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(help="What the file calls a view, cart or purchase: view=detail_view,…"),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Every row is of this kind: view, cart or purchase.")
    ] = None,
    export: Annotated[
        str | None, typer.Option("--from", help=f"A known export: {', '.join(exports())}.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Of times without one, e.g. Europe/Berlin.")
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(help="unix-s, unix-ms, unix-us, unix-ns or e.g. '%d.%m.%Y %H:%M'."),
    ] = None,
    skip_others: Annotated[
        bool, typer.Option("--skip-others", help="Rows of other kinds are counted, not refused.")
    ] = False,
    encoding: Annotated[str | None, typer.Option(help="Of texts; found out if left out.")] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between cells of CSV; found out if left out.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check all, add nothing.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Add what shoppers did, all files or none; a file whose content is known is counted once.

    Every row that cannot be used is refused and listed with its reason in a file.
    """
    from persona_img.ingest.interactions.columns import Columns
    from persona_img.shop import Shop

    columns = Columns.of(
        mapped or (), kinds or (), export=export, kind=kind, timezone=timezone,
        time_format=time_format, encoding=encoding, delimiter=delimiter,
        skip_others=True if skip_others else None,
    )  # fmt: skip
    shop = Shop.open(home)
    known = {p.product for p in shop.catalog} if shop.workspace.catalog.exists() else None
    with _Progress(files) as told:
        added = shop.interactions.add(files, columns, known=known, dry=dry_run, progress=told)
    print(json.dumps(_added(shop, added), indent=1) if as_json else _said(shop, added))
    for why in added.failed.values():
        print(f"not read: {why}", file=sys.stderr)
    if added.failed:
        raise typer.Exit(1)


def interactions_show(as_json: Json = False, home: Home = None) -> None:
    """What is there: by kind, since when and until when, shoppers, products, files."""
    from persona_img.shop import Shop

    store = Shop.open(home).interactions
    total, sources = store.summary(), store.sources()
    if as_json:
        print(json.dumps(_counts(total) | {"files": [one.as_dict() for one in sources]}, indent=1))
        return
    print(f"{total.rows:,} interactions" + (f": {_about(total)}" if total.rows else ""))
    for one in sources:
        print(f"  {one.digest[:12]}  {one.name}  added {one.added_at:%Y-%m-%d %H:%M} UTC")
        print(f"      {one.rows:,} interactions: {_about(one)}")


def interactions_remove(
    name: Annotated[str, typer.Argument(help="A file's name, or its digest's beginning.")],
    home: Home = None,
) -> None:
    """Undo one file: its interactions and its refused rows go."""
    from persona_img.shop import Shop

    store = Shop.open(home).interactions
    gone = store.remove(name)
    print(f"{gone.rows:,} interactions of {gone.name} removed; {len(store):,} left")
    for other in store.sources():
        if lost := other.lost_to.get(gone.digest):
            print(
                f"{lost:,} events of {other.name} had been left out because {gone.name} held them; "
                f"to have them, remove {other.digest[:12]} and add it again"
            )


def _said(shop: Shop, added: Added) -> str:
    lines = []
    for one in added.sources:
        lines += [f"{one.name}: {one.what}", *("  " + text for text in _source(shop, added, one))]
    lines += [f"{path.name}: counted before, as {one.name}" for path, one in added.already.items()]
    lines += [f"{path.name}: empty" for path in added.empty]
    lines += [f"{path.name}: no table, not read" for path in added.skipped]
    for name, other in added.overlaps:
        lines.append(
            f"{name} and {other} are of the same time: an event that both hold counts twice, "
            "unless both are added with --map event_id=…"
        )
    verb = "would be added (--dry-run)" if added.dry else "added"
    total = f"; {len(shop.interactions):,} in all" if not added.dry else ""
    return "\n".join([*lines, f"{added.rows:,} interactions {verb}{total}"])


def _source(shop: Shop, added: Added, one: Source) -> Iterator[str]:
    for field, paths in one.found.items():
        told = f" ({one.times})" if field == "occurred_at" and one.times else ""
        yield f"{field} from {(' + ' if field == 'event_id' else ' or ').join(paths)}{told}"
    yield f"{one.read:,} rows, {one.rows:,} interactions: {_about(one)}"
    if one.others:
        names = ", ".join(f"{name} {rows:,}" for name, rows in list(one.others.items())[:_SAID])
        yield f"{sum(one.others.values()):,} rows of other kinds, left out: {names}"
    if one.rejected:
        yield f"{one.rejected:,} rows refused, listed in {shop.interactions.path_of_rejects(one)}"
        reasons = list(one.reasons.items())
        yield from (f"  {rows:,}  {reason}" for reason, rows in reasons[:_SAID])
        if len(reasons) > _SAID:
            yield f"  and {len(reasons) - _SAID} more reasons"
        if any(reason.startswith("kind ") for reason in one.reasons):
            yield "  name kinds with --kinds view=…,cart=…,purchase=…, or --skip-others"
    for field, rows in one.shortened.items():
        yield f"{field}: {rows:,} whole numbers written with .0 were read without it"
    if one.repeated:
        yield f"{one.repeated:,} left out: their events are counted already"
    if one.unnamed:
        yield f"{one.unnamed:,} have no event_id; twice they would count twice"
    about = added.summaries[one.digest]
    if about.unknown_rows:
        names = ", ".join(about.unknown)
        more = ", …" if about.unknown_products > len(about.unknown) else ""
        yield (
            f"{about.unknown_rows:,} are of {about.unknown_products:,} products that the catalogue "
            f"has not (kept, not used until it has them): {names}{more}"
        )


def _about(one: Source | Summary) -> str:
    counts = [(one.kinds[kind], kind) for kind in ("view", "cart", "purchase") if kind in one.kinds]
    kinds = ", ".join(f"{rows:,} {kind}{'' if rows == 1 else 's'}" for rows, kind in counts)
    if one.first is None or one.last is None:
        return "nothing left of it"
    span = f"{one.first:%Y-%m-%d} to {one.last:%Y-%m-%d}"
    return f"{kinds}; {span}; {one.shoppers:,} shoppers, {one.products:,} products"


def _added(shop: Shop, added: Added) -> dict[str, Any]:
    store = shop.interactions
    files = []
    for one in added.sources:
        about = added.summaries[one.digest]
        rejects = store.path_of_rejects(one)
        files.append(
            one.as_dict()
            | {"rejects": None if rejects is None else str(rejects)}
            | {"unknown_products": about.unknown_products, "unknown_rows": about.unknown_rows}
        )
    return {
        "added": added.rows,
        "dry_run": added.dry,
        "rejected": sum(one.rejected for one in added.sources),
        "files": files,
        "already": {str(path): one.digest for path, one in added.already.items()},
        "empty": list(map(str, added.empty)),
        "skipped": list(map(str, added.skipped)),
        "failed": {str(path): why for path, why in added.failed.items()},
        "overlaps": added.overlaps,
        "total": len(store),
    }


def _counts(total: Summary) -> dict[str, Any]:
    return {
        "interactions": total.rows,
        "kinds": total.kinds,
        "first": total.first.isoformat() if total.first else None,
        "last": total.last.isoformat() if total.last else None,
        "shoppers": total.shoppers,
        "products": total.products,
    }


class _Progress:
    """A bar on stderr where somebody looks; per file in percent, with its interactions."""

    def __init__(self, files: list[Path]) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=100, unit="%", disable=None, leave=False, file=sys.stderr,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix} {elapsed}",
        )  # fmt: skip

    def __enter__(self) -> Callable[[str, float, int], None]:
        return self._tell

    def _tell(self, name: str, done: float, rows: int) -> None:
        self._bar.set_description_str(name, refresh=False)
        self._bar.set_postfix_str(f"{rows:,} interactions", refresh=False)
        self._bar.n = round(100 * done)
        self._bar.refresh()

    def __exit__(self, *_: object) -> None:
        self._bar.close()
