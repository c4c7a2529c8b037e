"""Commands over a shop's variants: what there is, who decided on it, and deciding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

import typer

from persona_img.cli.home import Home, Json, add, who

if TYPE_CHECKING:
    from persona_img.domain.style import Style
    from persona_img.domain.variant import VariantRecord
    from persona_img.shop import Shop
    from persona_img.variants.ledger import Entry

Digests = Annotated[
    list[str] | None, typer.Argument(help="Digests of variants; their beginnings will do.")
]
Product = Annotated[str | None, typer.Option(help="Instead: a product, with --style.")]
StyleOf = Annotated[
    str | None, typer.Option("--style", help="Every attribute of the style, as `list` prints it.")
]
By = Annotated[str | None, typer.Option(help="Who decides; your user name if left out.")]
Reason = Annotated[str, typer.Option(help="Why, in one line; kept for good.")]

_SHORT = 12


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Rendered variants, and the ledger of who approved or withdrew them.",
        no_args_is_help=True,
    )
    add(group, list_variants, "persona-img variants list --state withdrawn", name="list")
    add(group, show, "persona-img variants show 3f2a81c0")
    add(group, approve, "persona-img variants approve 3f2a81c0")
    add(group, withdraw, 'persona-img variants withdraw 3f2a81c0 --reason "hides the heel"')
    add(group, restore, 'persona-img variants restore 3f2a81c0 --reason "looked again"')
    add(group, preview, "persona-img variants preview 3f2a81c0 --hours 2")
    add(group, log, "persona-img variants log")
    app.add_typer(group, name="variants")


def preview(
    digest: Annotated[str, typer.Argument(help="Of an approved variant, or how it begins.")],
    hours: Annotated[float, typer.Option(help="For how long it holds.", min=0.1, max=720)] = 24.0,
    home: Home = None,
) -> None:
    """Print what `/v1/variant` takes as `preview`: it shows this variant, and is not counted.

    It is signed by the shop's key, so no shopper can make one.
    """
    from persona_img.shop import Shop

    product, text = Shop.open(home).preview(digest, hours=hours)
    print(f"/v1/variant?shopper=preview&product={quote(product, safe='')}&preview={text}")


def list_variants(
    product: Annotated[str | None, typer.Option(help="Only this product.")] = None,
    style: Annotated[
        str | None, typer.Option(help="Only styles with these values, e.g. surface=linen.")
    ] = None,
    state: Annotated[
        Literal["approved", "withdrawn", "proposed"] | None, typer.Option(help="Only these.")
    ] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """List variants: digest, state, product, style, and who decided last."""
    from persona_img.shop import Shop

    store = Shop.open(home).variants
    wanted = None if style is None else _style(style)
    found = [
        record
        for record in store.records(product)
        if (state is None or record.state == state)
        and (wanted is None or wanted.values.items() <= record.style.values.items())
    ]
    decided = [(record, store.ledger.standing(record.digest, record.product)) for record in found]
    if as_json:
        print(json.dumps([_plain(record, entry) for record, entry in decided], indent=1))
        return
    for record, entry in decided:
        why = entry or "waits for approval"
        print(f"{record.digest[:_SHORT]}  {record.product}  {record.style}  {why}")
    count = len(found)
    print(
        f"{count} variant{'' if count == 1 else 's'} of {len({r.product for r in found})} products"
    )


def show(
    digest: Annotated[str, typer.Argument(help="A variant's digest; its beginning will do.")],
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show a variant: state, history, what its certificate says, and its files."""
    from persona_img.shop import Shop

    shop = Shop.open(home)
    found = _details(shop, shop.variants.resolve(digest))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    proof = found["certificate"]
    width, height = proof["size"]
    changed = f"{proof['core_changed']} of {proof['core_pixels']:,} core pixels changed"
    print(f"variant      {found['digest']}")
    for product, state in found["states"].items():
        print(f"{state['state']:<12} {product}: {state['decided'] or 'waits for approval'}")
    print(f"style        {found['style']}")
    print(f"product      {', '.join(proof['labels']) or 'as photographed'}: {changed}")
    print(f"picture      {width} x {height}, of photo {proof['photo'][:_SHORT]}")
    print(f"gate         {', '.join(f'{k} {v:.3g}' for k, v in proof['gate'].items())}")
    for name, path in found["files"].items():
        print(f"{name:<12} {path}")
    for line in _pages(found["renditions"]):
        print(f"page         {line}")
    print("history")
    for line in found["history"]:
        same = line["digest"] in (None, found["digest"])
        print(
            f"  {'' if same else line['digest'][:_SHORT] + ', of the same recipe: '}{line['text']}"
        )
    if not found["history"]:
        print("  nobody decided yet")


def log(as_json: Json = False, home: Home = None) -> None:
    """Print the whole ledger, oldest first: who, when, what and why."""
    from persona_img.shop import Shop

    lines = [_line(entry) for entry in Shop.open(home).variants.ledger.entries()]
    if as_json:
        print(json.dumps(lines, indent=1))
        return
    for line in lines:
        about = line["digest"][:_SHORT] + "  " if line["digest"] else ""
        print(f"{about}{line['text']}")
    print(f"{len(lines)} entries")


def approve(
    digests: Digests = None,
    reason: Annotated[str, typer.Option(help="Why, in one line; may be left out.")] = "",
    by: By = None,
    home: Home = None,
) -> None:
    """Approve proposed variants, so that they may be served."""
    from persona_img.shop import Shop

    records = Shop.open(home).approve(*_given(digests), by=who(by), reason=reason)
    for record in records:
        print(f"{record.digest[:_SHORT]}  {record.product}  approved")
    print("`persona-img prepare` puts what is approved into the table that is served")


def withdraw(
    reason: Reason,
    digests: Digests = None,
    product: Product = None,
    style: StyleOf = None,
    by: By = None,
    home: Home = None,
) -> None:
    """Withdraw variants, or a product's style for good, until they are restored.

    A running service shows the original photo instead from its next answer on. A variant stays
    withdrawn when it is rendered again; a new version of the renderer, or a new photo, makes
    another picture. To never see a style of a product again, give --product and --style.
    """
    from persona_img.shop import Shop

    shop = Shop.open(home)
    about = _about(digests, product, style)
    if about is None:
        for record in shop.withdraw(*_given(digests), by=who(by), reason=reason):
            print(f"{record.digest[:_SHORT]}  {record.product}  withdrawn")
    else:
        shop.withdraw_style(*about, by=who(by), reason=reason)
        print(f"{about[0]}  {about[1]}  withdrawn, whatever renders it")
    print("shoppers see the original photo from the next answer on; browsers may keep a copy")


def restore(
    reason: Reason,
    digests: Digests = None,
    product: Product = None,
    style: StyleOf = None,
    by: By = None,
    home: Home = None,
) -> None:
    """Restore withdrawn variants, or a product's withdrawn style."""
    from persona_img.shop import Shop

    shop = Shop.open(home)
    about = _about(digests, product, style)
    if about is None:
        for record in shop.restore(*_given(digests), by=who(by), reason=reason):
            print(f"{record.digest[:_SHORT]}  {record.product}  approved")
    else:
        shop.restore_style(*about, by=who(by), reason=reason)
        print(f"{about[0]}  {about[1]}  allowed again")
    print("`persona-img prepare` puts what is approved into the table that is served")


def _details(shop: Shop, digest: str) -> dict[str, Any]:
    store = shop.variants
    files = store.files(digest)
    records = [record for record in store.records() if record.digest == digest]
    made = shop.renditions.get(digest)
    return {
        "digest": digest,
        "style": records[0].style.key,
        "states": {
            record.product: {
                "state": record.state,
                "decided": _sentence(store.ledger.standing(digest, record.product)),
            }
            for record in records
        },
        "history": [_line(entry) for entry in store.ledger.history(digest)],
        "files": {
            name: str(file) if file.exists() else f"{file} (lost)" for name, file in files.items()
        },
        "certificate": records[0].certificate.as_dict(),
        "renditions": None if made is None else made.as_dict(),
    }


def _pages(made: dict[str, Any] | None) -> list[str]:
    """What pages load, a line for each format."""
    if made is None:
        return ["no renditions yet; `persona-img prepare` makes them"]
    kinds: dict[str, list[str]] = {}
    for one in made["files"]:
        size = f"{one['width']} px {one['size'] / 1000:.0f} kB"
        kinds.setdefault(one["media_type"], []).append(size)
    return [f"{kind}: {', '.join(sizes)}" for kind, sizes in kinds.items()]


def _plain(record: VariantRecord, entry: Entry | None) -> dict[str, Any]:
    return {
        "digest": record.digest,
        "product": record.product,
        "style": record.style.key,
        "state": record.state,
        "who": entry.who if entry else None,
        "when": entry.at.isoformat() if entry else None,
        "reason": entry.reason if entry else None,
    }


def _line(entry: Entry) -> dict[str, Any]:
    about = {} if entry.digest else {"product": entry.product, "style": str(entry.style)}
    return {
        "entry": entry.entry,
        "when": entry.at.isoformat(),
        "who": entry.who,
        "action": entry.action,
        "reason": entry.reason,
        "digest": entry.digest,
        **about,
        "text": str(entry) if entry.digest else f"{entry.product} in {entry.style} {entry}",
    }


def _sentence(entry: Entry | None) -> str | None:
    return None if entry is None else str(entry)


def _given(digests: list[str] | None) -> list[str]:
    if not digests:
        raise typer.BadParameter("give a digest; `persona-img variants list` prints them")
    return digests


def _about(
    digests: list[str] | None, product: str | None, style: str | None
) -> tuple[str, Style] | None:
    """The product and style that are meant; None where pictures are."""
    if product is None and style is None:
        return None
    if digests or product is None or style is None:
        raise typer.BadParameter("give either digests, or --product and --style together")
    return product, _style(style)


def _style(text: str) -> Style:
    from persona_img.domain.style import Style

    return Style.read(text)
