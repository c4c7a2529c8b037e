"""What analytics exports of shown pictures counts as if it had been sent: once, by its token."""

from __future__ import annotations

import csv
import gzip
import json
import time
from contextlib import closing
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import persona_img as pi
from contracts.event_log import a_decision
from persona_img import wiring
from persona_img.cli import app
from persona_img.domain.decision import Decision
from persona_img.errors import InvalidInput
from persona_img.serving.receive import Receiver, Sent
from persona_img.settings import Settings

DATA = Path(__file__).parent / "data" / "events"
EXPORTS = {
    "ga4.jsonl": "ga4",
    "segment.jsonl": "segment",
    "rudderstack-promotion_viewed.csv": "rudderstack",
    "snowplow-sdk.jsonl": "snowplow",
    "snowplow-enriched.tsv": "snowplow",
}


@pytest.fixture
def shop(tmp_path: Path) -> pi.Shop:
    settings = Settings(
        home=tmp_path / "mine",
        test={"name": "hero"},
        stores={"features": "frame", "tracker": "folder"},
    )
    return pi.Shop.begin(settings)


def token(shop: pi.Shop, decision: Decision, answered: float | None = None) -> str:
    signer = wiring.signer(shop.settings, shop.workspace)
    return signer.sign(signer.show(decision, time.time() if answered is None else answered))


def filled(shop: pi.Shop, name: str, folder: Path, **more: object) -> Path:
    """A sample with tokens of this shop in it, whole or in pieces of 100."""
    text = (DATA / name).read_text()
    for place, product in (("one", "mug"), ("two", "cup")):
        sent = token(shop, a_decision(product=product, **more))
        text = text.replace(f"{{{place}}}", sent)
        assert len(sent) <= 500
        for number in range(1, 6):
            piece = sent[100 * (number - 1) : 100 * number]
            text = text.replace(f"{{{place}/{number}}}", piece)
    path = folder / name
    path.write_text(text)
    return path


def said(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_counts_once_however_often_it_is_imported(
    shop: pi.Shop, tmp_path: Path, name: str
) -> None:
    path = filled(shop, name, tmp_path)
    first = shop.import_events(path, EXPORTS[name])
    clicks = 0 if name.startswith("rudderstack") else 1
    assert (first.accepted, first.duplicates) == (2 + clicks, 0)
    frame = shop.feedback().set_index("product")
    assert frame["clicked"].to_dict() == {"mug": clicks, "cup": 0}
    again = shop.import_events(path, EXPORTS[name])
    assert (again.accepted, again.duplicates) == (0, 2 + clicks)
    assert again.refused == first.refused
    assert shop.feedback().set_index("product").equals(frame)
    every = said(first.told)
    assert len(every) == first.rows
    assert {row["outcome"] for row in said(again.told)} <= {
        "duplicate", "other", "refused", "rejected",
    }  # fmt: skip


def test_every_row_is_told_what_became_of_it(shop: pi.Shop, tmp_path: Path) -> None:
    done = shop.import_events(filled(shop, "segment.jsonl", tmp_path), "segment")
    assert [(row["row"], row["kind"], row["outcome"]) for row in said(done.told)] == [
        ("1", "impression", "accepted"),
        ("2", "impression", "accepted"),
        ("3", "click", "accepted"),
        ("4", "impression", "rejected"),
        ("5", "", "other"),
    ]
    assert said(done.told)[3]["rule"] == "forged"
    assert said(done.told)[4]["called"] == "Product Viewed"
    assert (done.rows, done.others, done.refused) == (5, 1, {"forged": 1})


def test_another_event_of_the_same_picture_is_no_duplicate_but_refused(
    shop: pi.Shop, tmp_path: Path
) -> None:
    path = filled(shop, "segment.jsonl", tmp_path)
    shop.import_events(path, "segment")
    path.write_text(path.read_text().replace("ajs-next-0101", "ajs-next-0201"))
    done = shop.import_events(path, "segment")
    assert (done.accepted, done.duplicates) == (0, 2)
    assert (said(done.told)[0]["rule"], len(shop.feedback())) == ("replayed", 2)


def test_an_event_of_several_pictures_is_several(shop: pi.Shop, tmp_path: Path) -> None:
    done = shop.import_events(filled(shop, "ga4.jsonl", tmp_path), "ga4")
    assert [(r["row"], r["entry"], r["outcome"]) for r in said(done.told)] == [
        ("1", "1", "other"), ("2", "1", "accepted"), ("2", "2", "accepted"),
        ("3", "1", "accepted"), ("4", "1", "refused"),
    ]  # fmt: skip
    assert shop.feedback().set_index("product")["position"].to_dict() == {"mug": 3, "cup": 1}


def test_times_are_the_exports_own(shop: pi.Shop, tmp_path: Path) -> None:
    shop.mark_simulated()  # whose clocks are believed, so that they can be looked at
    for name in EXPORTS:
        shop.import_events(filled(shop, name, tmp_path), EXPORTS[name])
    shown = shop.feedback()["shown_at"]
    assert shown.dt.strftime("%Y-%m-%dT%H:%M").unique().tolist() == ["2026-03-01T10:00"]
    assert shown.min() == pd.Timestamp("2026-03-01T10:00:01.420Z")


def test_what_was_sent_by_itself_is_not_counted_again(shop: pi.Shop, tmp_path: Path) -> None:
    path = filled(shop, "ga4.jsonl", tmp_path)
    first = json.loads(path.read_text().splitlines()[1])
    pieces = first["items"][0]["item_params"]
    sent = "".join(piece["value"]["string_value"] for piece in pieces)
    with closing(wiring.event_log(shop.workspace)) as log:
        receiver = Receiver(log, wiring.signer(shop.settings, shop.workspace), "hero")
        assert receiver.record({0: Sent("impression", sent)}, time.time()).new == 1
    done = shop.import_events(path, "ga4")
    assert (done.accepted, done.duplicates) == (2, 1)


def test_tokens_of_another_test_or_too_old_are_told_apart(shop: pi.Shop, tmp_path: Path) -> None:
    rows = [
        {"kind": "impression", "token": token(shop, a_decision(test="other"))},
        {"kind": "impression", "token": token(shop, a_decision(), time.time() - 31 * 86400)},
        {"kind": "conversion", "token": token(shop, a_decision()), "value": "12.5"},
        {"kind": "conversion", "token": token(shop, a_decision()), "value": "a lot"},
        {"kind": "survey", "token": token(shop, a_decision()), "rating": 9},
        {"kind": "impression", "token": token(shop, a_decision()), "at": "2026-03-01T10:00:00Z"},
        {"kind": "impression", "token": token(shop, a_decision()), "at": "yesterday"},
    ]
    own = tmp_path / "own.toml"
    own.write_text(
        '[fields]\nkind = ["kind"]\ntoken = ["token"]\noccurred_at = ["at"]\nvalue = ["value"]\n'
        'rating = ["rating"]\n[kinds]\nimpression = ["impression"]\nconversion = ["conversion"]\n'
        'survey = ["survey"]\n'
    )
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.write("{broken\n")
    done = shop.import_events(path, str(own), told=tmp_path / "told.csv")
    told = said(tmp_path / "told.csv")
    assert [row["outcome"] for row in told] == [
        "rejected", "rejected", "accepted", "refused", "rejected", "accepted", "refused", "refused",
    ]  # fmt: skip
    assert [row["rule"] for row in told[:2]] == ["other-test", "expired"]
    assert "a lot" in told[3]["reason"]
    assert "rating" in told[4]["reason"]
    assert "yesterday" in told[6]["reason"]
    assert told[7]["reason"] == "not JSON"
    assert done.accepted == 2


def test_parquet_is_read_like_json(shop: pi.Shop, tmp_path: Path) -> None:
    path = filled(shop, "ga4.jsonl", tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "ga4.parquet")
    assert shop.import_events(tmp_path / "ga4.parquet", "ga4").accepted == 3
    assert shop.import_events(path, "ga4").duplicates == 3


def test_by_command(shop: pi.Shop, tmp_path: Path) -> None:
    path, home = filled(shop, "snowplow-enriched.tsv", tmp_path), str(shop.workspace.root)
    command = ["events", "import", str(path), "--map", "snowplow", "--home", home]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "3 events stored, 0 had come before, 0 refused, 1 rows of other kinds" in done.stdout
    done = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(done.stdout)["duplicates"] == 3
    done = CliRunner().invoke(app, [*command[:4], "nobody's", *command[5:]])
    assert isinstance(done.exception, InvalidInput)
    assert "ga4, rudderstack, segment, snowplow" in str(done.exception)
