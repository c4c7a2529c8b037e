"""Commands that train, run as a person would, as far as they go in seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from persona_img.errors import NotFound
from persona_img.settings import Settings
from persona_img.wiring import backdrops
from program import run

PHOTOS = Path(__file__).parents[1] / "data" / "photos"


def apart(code: str) -> subprocess.CompletedProcess[str]:
    """Run it in a process where nobody has imported peft yet, and nobody can."""
    code = f"import sys; sys.modules['peft'] = None\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_fine_tuning_without_peft_says_what_to_install(tmp_path: Path) -> None:
    asked = ("fine-tune", "--photos", PHOTOS, "--work", tmp_path, "-o", tmp_path / "out")
    done = apart(
        f"sys.argv[1:] = {[str(a) for a in asked]!r}\nfrom persona_img.cli import main; main()"
    )
    assert done.returncode == 2
    assert "pip install 'persona-img[pretrained]'" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_checkpoint_and_adapters_need_no_peft() -> None:
    done = apart(
        "from persona_img.rendering.sources.diffusion import DiffusionBackdrops\n"
        "from persona_img.settings import ASSETS\n"
        "print(DiffusionBackdrops(ASSETS / 'checkpoint').colour({'surface': 'linen'}))"
    )
    assert done.returncode == 0, done.stderr


def test_rendering_with_an_adapter_that_is_not_there_says_so(tmp_path: Path) -> None:
    done = run("render", PHOTOS / "knitwear-02.jpg", "--adapter", tmp_path, "-o", tmp_path)
    assert done.returncode == 2
    assert "make one with `fine-tune`" in done.stderr
    with pytest.raises(NotFound, match="fine-tune"):
        backdrops(Settings.fresh(render={"adapter": tmp_path}))
