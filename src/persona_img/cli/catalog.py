"""Commands of the product table: add, list, show, retire, restore."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_img.cli.home import Home, Json, add

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.domain.catalog import Product
    from persona_img.ingest.products.reading import Batch
    from persona_img.ingest.products.shelf import Added

_NAMED = 8
Products = Annotated[list[str], typer.Argument(help="Identifiers (sku) of the products.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    catalog = typer.Typer(help="The product table.", no_args_is_help=True)
    example = "persona-img catalog add products.csv --map product=sku,photo=image_path"
    add(catalog, catalog_add, example, name="add")
    add(catalog, catalog_list, "persona-img catalog list --json", name="list")
    add(catalog, catalog_show, 'persona-img catalog show "AB 12/3"', name="show")
    example = 'persona-img catalog retire "AB 12/3" --reason "sold out"'
    add(catalog, catalog_retire, example, name="retire")
    add(catalog, catalog_restore, 'persona-img catalog restore "AB 12/3"', name="restore")
    app.add_typer(catalog, name="catalog")


def catalog_add(
    source: Annotated[
        Path, typer.Argument(help="A table (CSV, Parquet, JSON), a photo, or a folder of photos.")
    ],
    category: Annotated[
        str, typer.Option(help="What kind of thing, where the table does not say; e.g. shoes.")
    ] = "",
    licence: Annotated[
        str, typer.Option(help="Of the photos, where the table does not say; CC0-1.0 or own.")
    ] = "",
    credit: Annotated[str, typer.Option(help="Whom to name for the photos.")] = "",
    currency: Annotated[
        str, typer.Option(help="Of the prices, where the table does not say; e.g. EUR.")
    ] = "",
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Field=column, several with commas: product, title, category, price, currency, "
            "photo, licence, credit, pose, size_cm, attributes, retired, attr_NAME.",
        ),
    ] = None,
    decimal: Annotated[str, typer.Option(help="Decimal sign of the prices: . or ,")] = "",
    thousands: Annotated[str, typer.Option(help="What stands between thousands, if it does.")] = "",
    encoding: Annotated[
        str | None, typer.Option(help="Of a CSV, where it is not found out; e.g. cp1251.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Of a CSV, where it is not found out.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Add the other rows where some are wrong.")
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Write every problem to this CSV: row, column, value, rule.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check columns, rows and photos; add nothing.")
    ] = False,
    mask: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Of one photo, drawn by a person: white is product, or what can be seen.",
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Add products, or update those that are known, from a table or from photos.

    A table has a row per product: sku, photo, category, licence, and title, price, currency, pose
    (lying, standing, hanging, worn), size_cm (of the longest side) and attributes (columns
    attr_...). Photo paths start at the table. From photos, each is a product
    named after its file. All rows are checked and all photos opened before anything is written;
    photos are copied beside the shop's own table. What a table has no column for stays as it is.
    A mask that a person put beside a photo, NAME.mask.png, comes with it and stays while the
    photo does; a masker's own is not taken, for it is cut anew.
    """
    from tqdm import tqdm

    from persona_img.ingest.products.columns import parse_mapping
    from persona_img.ingest.products.prices import Notation
    from persona_img.ingest.products.rows import Reading
    from persona_img.shop import Shop

    reading = Reading(
        mapping=parse_mapping(mapping or []),
        category=category,
        licence=licence,
        credit=credit,
        currency=currency.upper(),
        notation=Notation(decimal, thousands),
        encoding=encoding,
        delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter),
    )
    shop = Shop.open(home)

    def checked(batch: Batch) -> None:
        if rejects is not None:
            batch.write_problems(rejects)
        if check:
            print(f"{len(batch.entries):,} rows can be added, {len(batch.problems):,} problems")
            batch.refuse()
            raise typer.Exit
        if skip_bad:
            for problem in batch.problems[:_NAMED]:
                print(f"  left out: {problem}")
            if len(batch.problems) > _NAMED:
                print(f"  and {len(batch.problems) - _NAMED:,} problems more")

    with (
        tqdm(desc="opened", unit="photo", delay=2) as opening,
        tqdm(desc="copied", unit="photo", delay=2) as copying,
    ):

        def to(bar: tqdm[Any]) -> Callable[[int, int], None]:
            def told(done: int, of: int) -> None:
                bar.total = of
                bar.update(done - bar.n)

            return told

        added = shop.add_products(
            source,
            reading,
            skip_bad=skip_bad,
            mask=mask,
            on_columns=lambda columns: print(columns, flush=True),
            on_photo=to(opening),
            on_copied=to(copying),
            on_checked=checked,
        )
    _tell(added, shop.workspace.catalog)


def _tell(added: Added, table: Path) -> None:
    print(
        f"{len(added.added):,} added, {len(added.updated):,} updated, "
        f"{len(added.unchanged):,} unchanged; {added.total:,} products in {table}"
    )
    fields: dict[str, int] = {}
    for changed in added.updated.values():
        for name in changed:
            fields[name] = fields.get(name, 0) + 1
    if fields:
        print(f"  changed: {', '.join(f'{name} of {n:,}' for name, n in fields.items())}")
    if added.new_photos:
        print(
            f"  {len(added.new_photos):,} have another photo: it is shown as it is until "
            f"`persona-img prepare` has made its variants ({_some(added.new_photos)})"
        )
    if added.masked:
        print(f"  {len(added.masked):,} with a mask drawn by a person ({_some(added.masked)})")
    if added.unmasked:
        print(
            f"  warning: {len(added.unmasked):,} lost the mask of the photo they had before; draw "
            f"it anew: `persona-img mask --product ID --fix` ({_some(added.unmasked)})"
        )
    if added.retired:
        print(
            f"  {len(added.retired):,} are retired and stay so; `persona-img catalog restore` "
            f"brings them back ({_some(added.retired)})"
        )


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def catalog_list(
    retired: Annotated[
        bool, typer.Option("--retired", help="Only those that are no longer on offer.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """List the products; as JSON one a line."""
    from persona_img.shop import Shop

    products = [p for p in Shop.open(home).catalog if not (retired and p.on_offer)]
    if as_json:
        for product in products:
            print(json.dumps(_plain(product), ensure_ascii=False))
        return
    width = max((len(p.product) for p in products), default=0)
    for product in products:
        state = "" if product.on_offer else f"  RETIRED: {product.retired}"
        price = _price(product)
        print(
            f"{product.product:{width}}  {product.category:12}  {price:>12}  {product.title}{state}"
        )


def catalog_show(
    product: Annotated[str, typer.Argument(help="Identifier (sku) of the product.")],
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show what is known of a product, and how many variants of its photo there are."""
    from persona_img.domain.catalog import product_id
    from persona_img.shop import Shop

    shop = Shop.open(home)
    found = shop.catalog[product_id(product)]
    records = shop.variants.records(found.product)
    now = found.photo_digest
    current = [r for r in records if not now or r.certificate.photo == now]
    known = _plain(found) | {
        "variants": len(current),
        "approved": sum(record.approved for record in current),
        "variants_of_earlier_photos": len(records) - len(current),
    }
    if as_json:
        print(json.dumps(known, ensure_ascii=False))
        return
    known["price"] = _price(found)
    known["attributes"] = ", ".join(f"{k}={v}" for k, v in found.attributes.items())
    for name, value in known.items():
        if value not in ("", None) and name != "currency":
            print(f"{name:26}  {value}")


def catalog_retire(
    products: Products,
    reason: Annotated[str, typer.Option(help="Why; it stands in the table.")],
    home: Home = None,
) -> None:
    """Take products off offer: shown as photographed, no longer planned, nothing is deleted."""
    from persona_img.domain.catalog import product_id
    from persona_img.shop import Shop

    shop = Shop.open(home)
    retired = shop.retire_products([product_id(name) for name in products], reason)
    print(f"{len(retired)} retired, {len(shop.catalog.on_offer)} on offer")


def catalog_restore(products: Products, home: Home = None) -> None:
    """Bring retired products back."""
    from persona_img.domain.catalog import product_id
    from persona_img.shop import Shop

    shop = Shop.open(home)
    restored = shop.restore_products([product_id(name) for name in products])
    print(
        f"{len(restored)} on offer again, {len(shop.catalog.on_offer)} in all; "
        "`persona-img prepare` plans them"
    )


def _plain(product: Product) -> dict[str, Any]:
    """What the table says, as plain values; None for an unknown price."""
    return {
        "product": product.product,
        "title": product.title,
        "category": product.category,
        "price": None if math.isnan(product.price) else product.price,
        "currency": product.currency,
        "photo": str(product.photo),
        "photo_digest": product.photo_digest,
        "mask": None if product.mask is None else str(product.mask),
        "licence": product.licence,
        "credit": product.credit,
        "pose": product.pose,
        "size_cm": product.size_cm,
        "attributes": dict(product.attributes),
        "retired": product.retired,
    }


def _price(product: Product) -> str:
    if math.isnan(product.price):
        return ""
    return f"{product.price:.2f} {product.currency}".rstrip()
