"""How often one caller may ask: a bucket for each, in bounded memory."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Rates:
    """Requests a second by caller (generic cell rate algorithm: one number for each).

    Of many callers those that were quiet longest are forgotten: names nobody has seen before take
    no more memory than ``most`` numbers. Each worker counts on its own.

    Args:
        rate: Requests a second, above 0.
        burst: Seconds of them that may come at once.
        most: Callers remembered.
    """

    def __init__(self, rate: float, burst: float = 10.0, most: int = 50_000) -> None:
        self._each, self._burst, self._most = 1.0 / rate, burst, most
        self._full: OrderedDict[str, float] = OrderedDict()

    def wait(self, caller: str, now: float, cost: float = 1.0) -> float:
        """Seconds until the caller may ask; 0 where it may now, and then it has.

        Args:
            caller: Who asks.
            now: Seconds of any clock that does not go back.
            cost: Requests that this one counts for.
        """
        full = max(now, self._full.get(caller, 0.0)) + cost * self._each
        if full - now > self._burst + self._each:
            return full - now - self._burst
        self._full[caller] = full
        self._full.move_to_end(caller)
        if len(self._full) > self._most:
            self._full.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._full)


@lru_cache(maxsize=4096)
def caller_of(address: str) -> str | None:
    """Whom an address stands for: itself, of IPv6 its network; None for this machine.

    Example:
        >>> caller_of("192.0.2.7"), caller_of("2001:db8::1:2:3:4"), caller_of("127.0.0.1")
        ('192.0.2.7', '2001:db8::', None)
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64] or None
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return caller_of(str(found.ipv4_mapped))
        if not found.is_loopback:
            # One home or server has a whole /64.
            return str(ipaddress.IPv6Address(int(found) >> 64 << 64))
    return None if found.is_loopback else str(found)


class Among:
    """Whether an address is one of some, or in one of their networks.

    Args:
        names: Addresses, networks (``10.0.0.0/8``), or ``*`` for all. What is neither, such as the
            name of a socket, is compared as it is.

    Example:
        >>> inside = Among(["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"])
        >>> "10.1.2.3" in inside, "2001:db8:1::1" in inside, "192.0.2.8" in inside
        (True, True, False)
    """

    def __init__(self, names: Collection[str]) -> None:
        self._all, self._networks, self._names = "*" in names, list[_Network](), set[str]()
        for name in names:
            try:
                self._networks.append(ipaddress.ip_network(name, strict=False))
            except ValueError:
                self._names.add(name)

    def __contains__(self, address: str) -> bool:
        if self._all or address in self._names:
            return True
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)
