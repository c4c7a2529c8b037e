"""Metrics of several processes, added up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WORKER = """
import sys
from persona_img.serving.metrics import ServingMetrics
metrics = ServingMetrics()
metrics.decisions.labels("control", "new").inc(int(sys.argv[1]))
metrics.seconds.observe(0.001)
print(metrics.text().decode())
"""


def worker(count: int, folder: Path | None) -> str:
    environment = dict(os.environ)
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if folder is not None:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    command = [sys.executable, "-c", WORKER, str(count)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_whichever_worker_is_asked_adds_all_of_them_up(tmp_path: Path) -> None:
    worker(3, tmp_path)
    text = worker(4, tmp_path)
    assert 'persona_img_decisions_total{arm="control",made="new"} 7.0' in text
    assert "persona_img_decision_seconds_count 2.0" in text


def test_one_worker_tells_its_own() -> None:
    worker(3, None)
    text = worker(4, None)
    assert 'persona_img_decisions_total{arm="control",made="new"} 4.0' in text
