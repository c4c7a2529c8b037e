"""The command line as tests call it: here and at once, or as a person would, in a new process."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from persona_img.cli import main


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``persona-img`` in this process, for a new one spends seconds on imports.

    What it prints, its exit status and where it works are as in a process of its own; an error
    that is not told to the user is raised. The environment comes back as it was.
    """
    given = ["persona-img", *map(str, arguments)]
    out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
    status: object = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", given)
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        finally:
            os.environ.clear()
            os.environ.update(before)
    assert status is None or isinstance(status, int), status
    return subprocess.CompletedProcess(given, status or 0, out.getvalue(), err.getvalue())


def run_apart(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, which knows only what is on disk."""
    return subprocess.run(
        [sys.executable, "-m", "persona_img", *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=cwd,
    )  # fmt: skip
