from __future__ import annotations

import io
import json
import logging

import pytest

from persona_img.serving.gate import REQUEST_ID
from persona_img.serving.logs import log_to


@pytest.fixture(autouse=True)
def _as_before():
    root, level = list(logging.root.handlers), logging.root.level
    yield
    logging.root.handlers[:] = root
    logging.root.setLevel(level)
    logging.getLogger("persona_img").setLevel(logging.NOTSET)


def test_a_line_is_json_with_the_request_and_what_it_was_given() -> None:
    out = io.StringIO()
    log_to(out, as_json=True)
    log = logging.getLogger("persona_img.serving.fallback")
    token = REQUEST_ID.set("0123456789abcdef")
    try:
        try:
            raise OSError("no room\non the disk")
        except OSError as error:
            log.warning("photos shown: %d", 3, extra={"reason": "full"}, exc_info=error)
    finally:
        REQUEST_ID.reset(token)
    log.info("and then")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["message"] == "photos shown: 3"
    assert (first["level"], first["reason"]) == ("warning", "full")
    assert first["request_id"] == "0123456789abcdef"
    assert "no room" in first["error"]
    assert "request_id" not in second
    assert second["logger"] == "persona_img.serving.fallback"


def test_plain_lines_stay_plain_and_come_once() -> None:
    out = io.StringIO()
    log_to(io.StringIO(), as_json=True)
    log_to(out, as_json=False)
    logging.getLogger("persona_img").warning("once")
    assert out.getvalue().count("once") == 1
    assert out.getvalue().strip().endswith("WARNING once")
