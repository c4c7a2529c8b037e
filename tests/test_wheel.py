"""What is installed runs anywhere: nothing of it needs the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "tests" / "data" / "photos" / "knitwear-02.jpg"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's files and nothing else of ours."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("persona_img-*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True
    )
    return folder / "site"


def run(installed: Path, here: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "persona_img", *arguments],
        env=os.environ | {"PYTHONPATH": str(installed)},
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_renders_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = "import persona_img; print(persona_img.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], env=os.environ | {"PYTHONPATH": str(installed)},
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert found.startswith(str(installed))
    said = run(installed, tmp_path, "render", str(PHOTO), "--style", "surface=linen", "--seed", "7")
    assert "knitwear-02-" in said
    assert (installed / "persona_img" / "py.typed").exists()


@pytest.mark.long
def test_the_demo_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    said = run(installed, tmp_path, "demo", "--quick")
    assert "variants verified" in said
    assert "make " not in said
    assert (tmp_path / "demo" / "report.html").exists()
