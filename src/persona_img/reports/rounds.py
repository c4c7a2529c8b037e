"""What a run of the loop shows: contact sheets and one self-contained page."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2
from PIL import Image

from persona_img.assets import ASSETS
from persona_img.domain.decision import Context
from persona_img.imaging.cutout import as_shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

    from persona_img.abtest.report import ABReport
    from persona_img.domain.catalog import Catalog
    from persona_img.domain.decision import DecisionTable
    from persona_img.loop import Profiled
    from persona_img.ranking.base import Ranker
    from persona_img.variants.store import VariantStore

_THUMB = 240


@dataclass(frozen=True)
class Round:
    """One round of serving and what came of it.

    Attributes:
        number: From 1.
        version: Policy version that served it.
        report: Its A/B test.
        run: Id of its tracked run.
        truth: Expected click rates by arm in the simulator; empty for real shoppers.
        table: What was served.
        feedback: Its impressions.
    """

    number: int
    version: str
    report: ABReport
    run: str
    truth: dict[str, float]
    table: DecisionTable
    feedback: pd.DataFrame


@dataclass(frozen=True)
class Promotion:
    """What the evidence said of the ranker that was retrained last.

    Attributes:
        promote: Whether it may replace the champion.
        reason: Why, in plain words.
    """

    promote: bool
    reason: str


Refused = tuple[str, str, str]
"""Product, style key, and why the variant is not shown."""


def best_by_segment(table: DecisionTable, product: str) -> dict[str, tuple[str, str | None, float]]:
    """Per segment the style key, digest and probability of a product's most probable candidate."""
    best = {}
    for (segment, name), slate in sorted(table.slates.items()):
        if name == product:
            top = max(slate.candidates, key=lambda c: c.probability)
            best[segment] = (top.style.key, top.digest, top.probability)
    return best


def liked_by_segment(
    table: DecisionTable, product: str, ranker: Ranker
) -> dict[str, tuple[str, str | None, float]]:
    """Per segment the style key, digest and click rate of what a ranker likes best for a product.

    It chooses among all variants of the product that any segment is served.
    """
    slates = {s: slate for (s, name), slate in sorted(table.slates.items()) if name == product}
    offered = {c.style: c.digest for slate in slates.values() for c in slate.candidates}
    best = {}
    for segment in slates:
        ranking = ranker.rank(Context(segment, product), list(offered))
        top = ranking.styles[0]
        best[segment] = (top.key, offered[top], float(ranking.scores[0]))
    return best


def write_sheet(
    path: Path,
    catalog: Catalog,
    profiled: Profiled,
    table: DecisionTable,
    store: VariantStore,
    ranker: Ranker | None = None,
) -> Path:
    """Each product's photo beside the variant each segment sees most, or a ranker likes best.

    Products of which segments see the most different pictures come first, others as the catalogue
    has them.
    """
    from persona_img.reports.sheet import contact_sheet

    segments = sorted(set(profiled.segments.values()))
    rows: list[tuple[int, str, list[tuple[str, Image.Image]]]] = []
    for product in catalog:
        if ranker is None:
            best = best_by_segment(table, product.product)
        else:
            best = liked_by_segment(table, product.product, ranker)
        if not best:  # retired, or added since
            continue
        cells = [("as photographed", as_shown(product.photo))]
        for segment in segments:
            if segment not in best:
                continue
            key, digest, _ = best[segment]
            picture = as_shown(store.path(digest) if digest else product.photo)
            cells.append((f"{segment}\n{_short(key)}", picture))
        different = len({key for key, _, _ in best.values()})
        rows.append((different, product.title, cells))
    rows.sort(key=lambda row: -row[0])
    contact_sheet([(title, cells) for _, title, cells in rows]).save(path, quality=85)
    return path


def write_report(
    path: Path,
    rounds: Sequence[Round],
    promotion: Promotion | None,
    refused: Iterable[Refused],
    catalog: Catalog,
    store: VariantStore,
    root: Path,
) -> Path:
    """The page: outcome, evidence, pictures; it needs no other file and no network.

    Args:
        path: Where to.
        rounds: At least one, in order.
        promotion: Of the last retraining; None before the first.
        refused: What the gate kept from being shown.
        catalog: Products shown.
        store: Holds their variants.
        root: The shop's folder, named on the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["percent"] = _percent
    environment.filters["signed"] = _signed
    last = rounds[-1]
    page = environment.get_template("report.html.j2").render(
        rounds=rounds,
        lift=lift_over_first(rounds),
        promotion=promotion,
        refused=_by_reason(refused),
        gallery=list(_gallery(catalog, last.table, store)),
        simulated=last.report.simulated,
        root=root,
    )
    partial = path.with_suffix(".part")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def lift_over_first(rounds: Sequence[Round]) -> float:
    """How much the personalized arm's lift over control grew from the first round to the last.

    The rounds' visitors and seasons differ, so their CTRs are not compared directly: each round's
    own control arm takes that out. NaN where an arm has no clicks.
    """
    ratios = []
    for one in (rounds[0], rounds[-1]):
        rates = {a.arm: a.ctr for a in one.report.arms}
        control = rates.get("control", math.nan)
        ratios.append(rates.get("personalized", math.nan) / control if control > 0 else math.nan)
    return ratios[1] / ratios[0] - 1 if ratios[0] > 0 else math.nan


def _by_reason(refused: Iterable[Refused]) -> list[tuple[str, str, list[str]]]:
    """Product, reason, and the styles that were kept back for it."""
    found: dict[tuple[str, str], list[str]] = {}
    for product, style, reason in refused:
        found.setdefault((product, reason), []).append(_short(style))
    return [(product, reason, styles) for (product, reason), styles in found.items()]


def _gallery(
    catalog: Catalog, table: DecisionTable, store: VariantStore
) -> Iterable[dict[str, Any]]:
    for product in catalog:
        best = best_by_segment(table, product.product)
        if not best:  # retired, or added since
            continue
        cells = []
        seen: dict[str | None, dict[str, Any]] = {}
        for segment, (key, digest, probability) in best.items():
            if digest in seen:
                seen[digest]["segments"].append((segment, probability))
                continue
            source = store.path(digest) if digest else product.photo
            cell = {
                "segments": [(segment, probability)],
                "style": _short(key),
                "image": _inline(source),
            }
            seen[digest] = cell
            cells.append(cell)
        yield {"product": product, "photo": _inline(product.photo), "cells": cells}


def _inline(path: Path) -> str:
    picture = as_shown(path)
    picture.thumbnail((_THUMB, _THUMB * 2), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _short(key: str) -> str:
    """``light=soft,surface=linen`` as ``soft · linen``; what a caption has room for."""
    if key == "original":
        return "original photo"
    values = dict(pair.split("=", 1) for pair in key.split(","))
    order = ("surface", "palette", "light", "framing")
    known = [values.pop(name) for name in order if name in values]
    return " · ".join([*known, *values.values()])


def _percent(value: float) -> str:
    return "–" if value != value else f"{value:.2%}"


def _signed(value: float) -> str:
    return "–" if value != value else f"{value:+.1%}"
