"""What is remembered of a file is what it holds, whatever was rolled back or replaced."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.event_log import a_decision
from persona_img.serving.sqlite_numbers import Choices, numbered
from persona_img.serving.sqlite_schema import prepare

_TURN = st.tuples(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=5),
    st.booleans(),  # whether it is committed
    st.booleans(),  # whether the next one goes to another file
)


def a_database() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    prepare(db, Path("memory"))
    return db


@settings(max_examples=80, deadline=None)
@given(st.lists(_TURN, max_size=8))
def test_every_number_is_one_that_the_file_holds(turns: list[tuple[list, bool, bool]]) -> None:
    commits = 0
    choices = Choices(lambda: commits)
    with closing(a_database()) as one, closing(a_database()) as another:
        db = one
        for asked, kept, moves in turns:
            db.execute("BEGIN")
            for product, style in asked:
                decision = a_decision(product=f"p{product}", style_key=f"light=l{style}")
                held = db.execute(
                    "SELECT product, style_key FROM choices JOIN offers USING (offer_id) "
                    "WHERE offer_id = ? AND choice_id = ?",
                    choices.numbers(db, decision),
                ).fetchall()
                assert held == [(decision.product, decision.style_key)]
            db.execute("COMMIT" if kept else "ROLLBACK")
            commits += kept
            db = (another if db is one else one) if moves else db


def test_what_is_known_is_not_asked_again() -> None:
    commits, said = 0, list[str]()
    choices = Choices(lambda: commits)
    with closing(a_database()) as db:
        first = choices.numbers(db, a_decision())
        commits = 1
        assert choices.numbers(db, a_decision()) == first
        db.set_trace_callback(said.append)
        assert choices.numbers(db, a_decision()) == first
        assert said == []
        assert choices.numbers(db, a_decision(digest=None)) != first


def test_shoppers_keep_their_numbers() -> None:
    with closing(a_database()) as db:
        first = numbered(db, {"ann", "bob"})
        assert numbered(db, {"bob", "carl"})["bob"] == first["bob"]
        assert len(set(first.values()) | set(numbered(db, {"carl"}).values())) == 3
