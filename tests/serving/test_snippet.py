from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

from persona_img.serving.snippet import SNIPPET

from .conftest import Shop

TOOL = Path(__file__).parents[2] / "tools" / "minify"


def test_what_is_served_is_what_stands_in_the_source() -> None:
    loader = importlib.machinery.SourceFileLoader("minify_tool", str(TOOL))
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("minify_tool", loader))
    loader.exec_module(tool)
    source = tool.SOURCE.read_text(encoding="utf-8")
    assert tool.minified(source) == SNIPPET.read_text(encoding="utf-8")


def test_it_is_small_may_be_kept_and_is_for_every_page(shop: Shop) -> None:
    answer = shop.client.get("/v1/persona-img.js", headers={"Origin": "https://any.example"})
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "max-age=3600" in answer.headers["cache-control"]
    assert len(answer.content) <= 2048
    etag = answer.headers["etag"]
    again = shop.client.get("/v1/persona-img.js", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert shop.client.head("/v1/persona-img.js").status_code == 200
