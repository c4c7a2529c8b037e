"""One person under several names: browsers' anonymous ids, and the login they turn out to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

MOST_NAMES = 200
"""Names that one person may have: what each of them saw is looked at where a decision is made."""


@dataclass(frozen=True)
class Link:
    """Whoever came under an anonymous name has logged in.

    Attributes:
        anonymous: Of one browser or device; belongs to one login for good.
        login: The shop's own name for the person; may have many anonymous ones.
    """

    anonymous: str
    login: str


@dataclass(frozen=True)
class Person:
    """All that is known of whoever is asked for under a name that was linked.

    Attributes:
        unit: The name by which the person is randomised and analysed: of the first pair that was
            linked the one that had been seen earlier. It never changes.
        login: The shop's own name for the person.
        names: All of them, ``unit`` and ``login`` among them.

    Example:
        >>> anna = Person("c-81f", "anna", ("anna", "c-81f"))
        >>> anna.profile({"anna"}), anna.profile({"c-81f"}), anna.profile(())
        ('anna', 'c-81f', 'anna')
    """

    unit: str
    login: str
    names: tuple[str, ...]

    def profile(self, known: Container[str]) -> str:
        """The name whose profile is the person's: the login's, unless only the unit's is known."""
        return self.unit if self.login not in known and self.unit in known else self.login
