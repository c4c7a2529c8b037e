"""Pages that this service answers itself: nothing is loaded from elsewhere, nothing else runs."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from persona_img.assets import ASSETS

if TYPE_CHECKING:
    from collections.abc import Sequence

WEB = ASSETS / "web"
"""Templates and scripts."""

_BLOCK = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def page(template: str, *, pictures: Sequence[str] = (), **values: Any) -> HTMLResponse:
    """A page of a template in :data:`WEB`, with a policy that allows what stands in it.

    Styles and scripts that the template itself holds are named by their digests in the policy
    (CSP level 3): what somebody smuggles in beside them does not run.

    Args:
        template: Its file.
        pictures: Origins besides this one that pictures come from.
        **values: For the template; texts are escaped.
    """
    html = _templates().get_template(template).render(**values)
    allowed: dict[str, list[str]] = {"style": [], "script": []}
    for kind, text in _BLOCK.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        allowed[kind].append(f"'sha256-{digest}'")
    policy = [
        "default-src 'none'",
        f"style-src {' '.join(allowed['style']) or chr(39) + 'none' + chr(39)}",
        " ".join(["script-src 'self'", *allowed["script"]]),
        " ".join(["img-src 'self' data:", *pictures]),
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    headers = {"Content-Security-Policy": "; ".join(policy), "Cache-Control": "no-cache"}
    return HTMLResponse(html, headers=headers)


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters["code"] = _code
    return templates


def _code(text: str) -> Markup:
    """What stands between backticks as code; all of it escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
