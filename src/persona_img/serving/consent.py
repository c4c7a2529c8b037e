"""Who is shown the photo because nothing is to be kept of them: who said no, and who is nobody."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from crawlerdetect import CrawlerDetect

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_CONSENT = "no-consent"
"""The reason for a photo of whoever does not want to be told apart."""

BOT = "bot"
"""The reason for a photo of what reads pages without being a shopper."""

SHOPPER_AGENT = b"x-shopper-agent"
"""Header by which a shop's own server says which program its shopper uses."""

_SERVERS = (
    "apache-httpclient", "axios", "curl/", "go-http-client", "httpx", "java", "node", "okhttp",
    "postmanruntime", "python", "ruby", "undici", "wget/",
)  # fmt: skip
"""How programs' names begin by which a shop's server asks for its shoppers; lists of bots have them
too."""

_LONGEST = 256
_CONSENT = {"true": True, "1": True, "false": False, "0": False}


def declined(headers: Iterable[tuple[bytes, bytes]], consent: bool = True) -> str:
    """Why a request is answered by photos, in a word; empty where it is decided.

    Args:
        headers: Names in lower case, as ASGI has them.
        consent: What the request itself says.

    Example:
        >>> declined([(b"sec-gpc", b"1")]), declined([(b"user-agent", b"Googlebot/2.1")])
        ('no-consent', 'bot')
        >>> declined([(b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")])
        ''
    """
    agent, shopper = b"", b""
    for name, value in headers:
        if name == b"sec-gpc" and value.strip() == b"1":
            consent = False
        elif name == b"user-agent":
            agent = value
        elif name == SHOPPER_AGENT:
            shopper = value
    if not consent:
        return NO_CONSENT
    if shopper:
        return BOT if _is_crawler(shopper[:_LONGEST].decode("latin-1")) else ""
    return BOT if _is_bot(agent[:_LONGEST].decode("latin-1")) else ""


def consent_of(told: str | None) -> bool:
    """What ``consent`` of a query says; nothing said is yes.

    Raises:
        InvalidInput: neither yes nor no.
    """
    if told is None:
        return True
    if told not in _CONSENT:
        raise InvalidInput(f"consent {told[:40]!r}: say true or false, or leave it out")
    return _CONSENT[told]


def prepare() -> None:
    """Read the list of bots, which takes half a second, before anybody is asked about."""
    _is_crawler("")
    _LIST.is_crawler("Mozilla/5.0")


@lru_cache(4096)
def _is_bot(agent: str) -> bool:
    return not agent.lower().startswith(_SERVERS) and _is_crawler(agent)


@lru_cache(4096)
def _is_crawler(agent: str) -> bool:
    return bool(_LIST.is_crawler(agent))


_LIST = CrawlerDetect()
