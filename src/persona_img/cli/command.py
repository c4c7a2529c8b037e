"""What holds for every command: values that mean nothing are refused before it begins."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 2**32 - 1
"""The largest seed that every library takes."""


class Command(TyperCommand):
    """A command that says what is wrong with a value, and ends with 130 where it is stopped.

    What no option can mean is refused here for all of them: a number that is none or infinite, and
    an empty text, which a shell makes of a variable that is not set (as a path it would be the
    current folder).
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; see the class for what is refused."""
        given: dict[str, Any] = {}
        params: list[Any] = self.params  # typer keeps their type to itself
        if args and not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            for param in params:
                if any(value == "" for value in _each(given.get(param.name))):
                    raise typer.BadParameter(
                        "empty text; give a value, or leave it out", ctx=ctx, param=param
                    )
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            texts = _each(given.get(getattr(error.param, "name", "")))
            value = ", ".join(str(text) for text in texts)
            if value and f"'{value}'" not in error.message:  # typer tells the rule alone
                error.message = f"{value}: {error.message}"
            raise
        for param in params:
            for value in _each(ctx.params.get(param.name)):
                if isinstance(value, float) and not math.isfinite(value):
                    text = ", ".join(map(str, _each(given.get(param.name))))
                    raise typer.BadParameter(
                        f"{text}: no number that can be used; give a finite one",
                        ctx=ctx,
                        param=param,
                    )
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run; typer itself would end without a word where somebody stops it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("stopped; run the same command again to go on", file=sys.stderr)
            raise typer.Exit(130) from None


def use_everywhere(app: typer.Typer) -> None:
    """Make every command of an app, and of its groups, a :class:`Command`."""
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            use_everywhere(group.typer_instance)


def _each(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _each(one)
    elif value is not None:
        yield value
