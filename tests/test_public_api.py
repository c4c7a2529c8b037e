from __future__ import annotations

import os
import subprocess
import sys

import pytest

import persona_img
import persona_img.shop

HEAVY = ("torch", "diffusers", "feast", "mlflow", "lightgbm", "implicit", "fastapi", "streamlit")


@pytest.mark.parametrize(
    "module",
    ["persona_img", *(f"persona_img.{room}" for room in (
        "domain", "imaging", "generator", "profiles", "ranking", "rendering", "abtest", "tracking",
        "serving", "simulate", "settings", "cli",
    ))],
)  # fmt: skip
def test_importing_loads_no_vendor(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_waits_for_no_table_and_no_picture() -> None:
    """What takes longest to import is imported when a command runs."""
    slow = ("numpy", "pandas", "scipy", "sklearn", "PIL", "cv2", "pydantic_settings", *HEAVY)
    code = f"import sys, persona_img.cli; print(*(m for m in {slow} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_workers_begin_without_tables_training_or_threads() -> None:
    """They are copies of a process that has imported what serves, and nothing that learns."""
    slow = ("pandas", "pyarrow", "scipy", "sklearn", "httpx", "sqlalchemy")
    heavy = tuple(name for name in HEAVY if name != "fastapi")
    code = (
        "import os, sys; from persona_img.cli.live import _import_service; _import_service(); "
        f"print(*(m for m in {slow + heavy} if m in sys.modules), "
        "'persona_img.serving.app' in sys.modules, len(os.listdir('/proc/self/task')))"
    )
    bare = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare
    )
    assert done.stdout.split() == ["True", "1"]


@pytest.mark.parametrize("name", persona_img.shop.__all__)
def test_every_name_of_a_shop_is_there(name: str) -> None:
    assert sorted(persona_img.shop.__all__) == sorted(persona_img.shop._HOMES)
    assert getattr(persona_img.shop, name).__name__ == name


@pytest.mark.parametrize("name", persona_img.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(persona_img, name).__module__.startswith("persona_img.")


def test_all_is_true() -> None:
    assert sorted(persona_img.__all__) == sorted(persona_img._HOMES)
    with pytest.raises(AttributeError, match="teapot"):
        _ = persona_img.teapot


def test_an_import_writes_nothing(tmp_path: object) -> None:
    code = "import persona_img, persona_img.cli, persona_img.demo, os; print(os.listdir('.'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=str(tmp_path)
    )
    assert done.stdout.strip() == "[]"
