from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.serving.limits import Rates, caller_of


@given(
    st.floats(0.5, 1000),
    st.floats(0.1, 60),
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_nobody_gets_more_than_the_rate_and_one_burst(
    rate: float, burst: float, gaps: list[float]
) -> None:
    rates, now, passed = Rates(rate, burst), 0.0, 0
    for gap in gaps:
        now += gap
        passed += rates.wait("a", now) == 0.0
    assert passed <= rate * (now - gaps[0] + burst) + 2


def test_who_waits_as_told_is_let_in() -> None:
    rates = Rates(2.0, burst=1.0)
    assert [rates.wait("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    wait = rates.wait("a", 0.0)
    assert wait > 0
    assert rates.wait("a", wait * 0.4) > 0
    assert rates.wait("a", wait) == 0.0


def test_callers_do_not_wait_for_each_other_and_refusals_cost_nothing() -> None:
    rates = Rates(1.0, burst=0.5)
    assert rates.wait("a", 0.0) == 0.0
    waits = [rates.wait("a", 0.0) for _ in range(100)]
    assert waits[0] == waits[-1] > 0
    assert rates.wait("b", 0.0) == 0.0


def test_names_nobody_has_seen_take_no_more_memory() -> None:
    rates = Rates(1.0, most=100)
    for n in range(10_000):
        rates.wait(f"caller {n}", n)
    assert len(rates) == 100


def test_a_costly_request_counts_for_several() -> None:
    rates = Rates(1.0, burst=10.0)
    assert rates.wait("a", 0.0, cost=11.0) == 0.0
    assert rates.wait("a", 0.0) > 0


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("127.0.0.1", None),
        ("127.8.8.8", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("", None),
        ("testclient", "testclient"),
    ],
)
def test_whom_an_address_stands_for(address: str, caller: str | None) -> None:
    assert caller_of(address) == caller
