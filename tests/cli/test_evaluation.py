"""The report on rendering, run as a person would, on one photo and one cut-out."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from persona_img.cli.evaluation import told_of
from persona_img.errors import InvalidInput
from persona_img.imaging.photo import load_photo
from program import run

HERE = Path(__file__).parents[2] / "experiments" / "render"


def test_cut_outs_are_told_their_category_and_size_as_a_merchant_would(tmp_path: Path) -> None:
    folder = HERE / "products"
    photos = [
        load_photo(folder / f"{n}.png")
        for n in ("saleor_saleor-sunnies", "solidus_solidus_mug_set")
    ]
    glasses, mugs = told_of(photos, folder)
    assert (glasses.about.category, glasses.about.size_cm) == ("sunglasses", None)
    assert (mugs.about.category, mugs.about.size_cm) == ("mug", 24.0)
    assert told_of(photos, tmp_path) == photos  # nothing is told there
    for text, says in (
        ("image,category\na,b\n", "no column size_cm"),
        ("image,category,size_cm\na,b,large\n", "give centimetres"),
    ):
        (tmp_path / "products.csv").write_text(text)
        with pytest.raises(InvalidInput, match=says):
            told_of(photos, tmp_path)


@pytest.mark.long
def test_every_figure_is_printed_and_kept(tmp_path: Path) -> None:
    products = tmp_path / "products"
    products.mkdir()
    shutil.copy(HERE / "products" / "solidus_solidus_cap_red_1.png", products)
    common = (
        "--products",
        products,
        "--materials",
        HERE / "materials",
        "--judge",
        HERE / "judge.npz",
        "--source",
        "library",
        "--photos",
        1,
        "--each",
        2,
        "-o",
        tmp_path / "out",
    )
    first = run("eval-render", *common)
    assert first.returncode == 0, first.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    figures = report["sources"]["library"]
    assert figures["asked"] == 4
    assert figures["changed"] == 0
    assert figures["verified"] == 1
    assert set(report["speed"]["library"]) == {"512", "1600"}
    assert report["masks"]["cut-outs on real material"]["learned"]["iou"] > 0.8
    assert (tmp_path / "out" / "shown-library.jpg").exists()
    assert "product pixels changed" in first.stdout
    assert "no defect" not in first.stdout, "nobody has looked yet"
    with (tmp_path / "out" / "shown.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == round(4 * figures["shown"])
    rows[0]["defect"] = "halo"
    with (tmp_path / "labels.csv").open("w", newline="") as lines:
        table = csv.DictWriter(lines, rows[0])
        table.writeheader()
        table.writerows(rows)
    kept = tmp_path / "kept"
    again = run("eval-render", *common, "--labels", tmp_path / "labels.csv", "--keep", kept)
    assert again.returncode == 0, again.stderr
    looked = json.loads((tmp_path / "out" / "report.json").read_text())["looked_at"]
    assert looked["looked_at"] == len(rows)
    assert looked["no_defect"] == 1 - 1 / len(rows)
    assert "{'halo': 1}" in again.stdout
    assert {path.stem for path in kept.glob("*[!k].png")} == {row["digest"][:16] for row in rows}
