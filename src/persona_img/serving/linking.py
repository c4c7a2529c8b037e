"""How names become one person: one rule, whichever log keeps it.

Log and archive keep every row under the name that was asked for. Links stand beside them, and turn
names into persons where rows are read: so also rows of before a link are one person's, and what a
token says of a shopper is what its asker said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from persona_img.domain.people import MOST_NAMES, Link, Person

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

LinkFate = Literal["linked", "known", "refused"]


@dataclass(frozen=True)
class Linked:
    """What became of one link.

    Attributes:
        fate: ``linked`` now; ``known`` from before, or from earlier in the call; ``refused``.
        unit: By which the person is randomised and analysed; empty where it was refused.
        reason: Why it was refused, and what to do; else empty.
    """

    fate: LinkFate
    unit: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Holds:
    """What a log holds of the names of a call.

    Attributes:
        logins: Name to its login, for those that are linked; a login's own is itself.
        units: Login to its unit.
        names: Login to how many names it has.
        seen_here: When the first decision that a name saw in the running test or the holdout was
            drawn, Unix seconds; only of names that saw one.
        seen: The same of any test.
    """

    logins: Mapping[str, str]
    units: Mapping[str, str]
    names: Mapping[str, int]
    seen_here: Mapping[str, float]
    seen: Mapping[str, float]

    @classmethod
    def of(
        cls,
        links: Iterable[Sequence[str]],
        people: Iterable[Sequence[Any]],
        seen: Iterable[Sequence[Any]],
        tests: Collection[str],
    ) -> Holds:
        """What rows of a log say.

        Args:
            links: Name and login, of the names that are linked.
            people: Login, unit and number of names, of the logins.
            seen: Name, test and the time of the first decision seen there.
            tests: The running test and the holdout.
        """
        here: dict[str, float] = {}
        ever: dict[str, float] = {}
        for name, test, drawn in seen:
            ever[name] = min(float(drawn), ever.get(name, math.inf))
            if test in tests:
                here[name] = min(float(drawn), here.get(name, math.inf))
        people = [tuple(one) for one in people]
        return cls(
            {row[0]: row[1] for row in links},
            {login: unit for login, unit, _ in people},
            {login: count for login, _, count in people},
            here,
            ever,
        )

    def first(self, anonymous: str, login: str) -> str:
        """Which of two names was seen first: the anonymous one where neither was.

        What either saw in the running test decides, for that arm and picture are on the page; only
        where neither saw any of it, what they saw in tests that are over.
        """
        here = anonymous in self.seen_here or login in self.seen_here
        seen = self.seen_here if here else self.seen
        before = seen.get(login, math.inf) < seen.get(anonymous, math.inf)
        return login if before else anonymous


@dataclass
class Linking:
    """What a call does: an outcome for each link, and what is to be written.

    Attributes:
        outcomes: In the order of the links.
        rows: Name, login and unit of each name that is new.
    """

    outcomes: list[Linked] = field(default_factory=list)
    rows: list[tuple[str, str, str]] = field(default_factory=list)


def settle(links: Iterable[Link], known: Holds) -> Linking:
    """Apply the rule to some links, one after the other.

    A name is linked once. Which name of the first pair becomes the unit is decided by what was seen
    until then, and stays. A name that is linked later comes to that unit, whatever it saw.
    """
    done = Linking()
    logins, units, names = dict(known.logins), dict(known.units), dict(known.names)
    for link in links:
        anonymous, login = link.anonymous, link.login
        if logins.get(anonymous) == login and anonymous != login:
            done.outcomes.append(Linked("known", units[login]))
            continue
        reason = _hindrance(link, logins, names)
        if reason:
            done.outcomes.append(Linked("refused", reason=reason))
            continue
        if login not in logins:
            units[login] = known.first(anonymous, login)
            logins[login], names[login] = login, 1
            done.rows.append((login, login, units[login]))
        logins[anonymous] = login
        names[login] += 1
        done.rows.append((anonymous, login, units[login]))
        done.outcomes.append(Linked("linked", units[login]))
    return done


def _hindrance(link: Link, logins: Mapping[str, str], names: Mapping[str, int]) -> str:
    anonymous, login = link.anonymous, link.login
    if anonymous == login:
        return f"{anonymous!r} cannot be linked to itself; give the browser's name and the login's"
    if logins.get(anonymous) == anonymous:
        return f"{anonymous!r} is a login of other links; a login is not linked to another one"
    if anonymous in logins:
        return (
            f"{anonymous!r} is linked to another login than {login!r}, for good; give a browser a "
            "new name where somebody else logs in"
        )
    if logins.get(login, login) != login:
        return f"{login!r} is linked as an anonymous name; it cannot be a login too"
    if names.get(login, 1) >= MOST_NAMES:
        return (
            f"{login!r} has {MOST_NAMES} names, and may have no more; ask for the login's own name"
        )
    return ""


def person_of(rows: Sequence[tuple[str, str, str]]) -> Person | None:
    """The person of whom these are names, each with login and unit; None of no row."""
    if not rows:
        return None
    _, login, unit = rows[0]
    return Person(unit, login, tuple(sorted(name for name, _, _ in rows)))


def asked_names(links: Collection[Link]) -> list[str]:
    """Every name of some links, each once."""
    return sorted({name for link in links for name in (link.anonymous, link.login)})
