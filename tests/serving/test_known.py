from __future__ import annotations

import threading
import time
from collections import Counter

import numpy as np
import pytest

from persona_img.serving.known import OUTCOMES, REST, WAITING, Known

ANNA = np.array([1.0, 2.0])
NAMES = ("views", "price_level")


@pytest.fixture
def outcomes():
    return Counter()


def told(outcomes, read, **given):
    return Known(read, on_outcome=lambda what: outcomes.update([what]), **given)


def test_an_answer_is_remembered_until_it_is_old(outcomes):
    now = [0.0]
    asked = []

    def read(shopper, names, moment):
        asked.append((shopper, tuple(names), moment))
        return ANNA

    known = told(outcomes, read, seconds=60, wait=5, clock=lambda: now[0])
    assert known("anna", NAMES, 1.0) is ANNA
    assert known("anna", NAMES, 2.0) is ANNA
    assert asked == [("anna", NAMES, 1.0)]
    now[0] = 61.0
    known("anna", NAMES, 3.0)
    assert len(asked) == 2
    assert outcomes == {"read": 2, "kept": 1}
    known.close()


def test_nobody_known_is_remembered_too(outcomes):
    known = told(outcomes, lambda *_: None, wait=5)
    assert known("nobody", NAMES, 1.0) is None
    assert known("nobody", NAMES, 1.0) is None
    assert outcomes == {"unknown": 1, "kept": 1}
    known.close()


def test_what_is_late_is_not_waited_for_and_serves_the_next_decision(outcomes):
    go = threading.Event()

    def slow(*_):
        go.wait(10)
        return ANNA

    known = told(outcomes, slow, wait=0.01)
    began = time.perf_counter()
    assert known("anna", NAMES, 1.0) is None
    assert time.perf_counter() - began < 5
    go.set()
    deadline = time.monotonic() + 10
    while known("anna", NAMES, 1.0) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert known("anna", NAMES, 1.0) is ANNA
    assert outcomes["late"] >= 1
    known.close()


def test_a_store_that_hangs_is_asked_by_few_and_then_by_nobody(outcomes):
    go = threading.Event()
    known = told(outcomes, lambda *_: go.wait(30), wait=0.0005)
    for number in range(WAITING + 20):
        assert known(f"s{number}", NAMES, 1.0) is None
    assert outcomes == {"late": WAITING + 20}
    assert len(known._asked) == WAITING
    go.set()
    known.close()


def test_an_error_is_told_once_and_serves_the_segment(outcomes, caplog):
    def broken(*_):
        raise OSError("disk gone")

    known = told(outcomes, broken, wait=5)
    assert known("anna", NAMES, 1.0) is None
    assert known("anna", NAMES, 1.0) is None
    assert outcomes == {"failed": 2}
    assert [r.message for r in caplog.records] == [
        "the feature store does not answer, segments decide: disk gone"
    ]
    assert set(outcomes) <= set(OUTCOMES)
    known.close()


def test_behind_a_question_that_hangs_nobody_waits(outcomes):
    now, go = [0.0], threading.Event()
    known = told(outcomes, lambda *_: go.wait(30), wait=0.02, clock=lambda: now[0])
    assert known("anna", NAMES, 1.0) is None
    known._wait = 30  # whoever waited now would wait for all of it
    known._began = -60.0
    began = time.perf_counter()
    for shopper in ("anna", "bob", "cat"):
        assert known(shopper, NAMES, 1.0) is None
    assert time.perf_counter() - began < 15
    assert outcomes == {"late": 4}
    go.set()
    known.close()


def test_a_store_that_failed_rests_and_is_asked_again(outcomes, caplog):
    now, broken, asked = [0.0], [True], []

    def read(shopper, *_):
        asked.append(shopper)
        if broken[0]:
            raise OSError("no route")
        return ANNA

    known = told(outcomes, read, wait=5, clock=lambda: now[0])
    for _ in range(44):  # products of a page
        assert known("anna", NAMES, 1.0) is None
    assert asked == ["anna"]
    now[0] = REST
    assert known("anna", NAMES, 1.0) is None
    broken[0], now[0] = False, 2 * REST - 0.01
    assert known("anna", NAMES, 1.0) is None
    now[0] = 2 * REST
    assert known("anna", NAMES, 1.0) is ANNA
    assert known("bob", NAMES, 1.0) is ANNA
    assert asked == ["anna", "anna", "anna", "bob"]
    assert outcomes == {"failed": 46, "read": 2}
    assert [r.message for r in caplog.records] == [
        "the feature store does not answer, segments decide: no route",
        "the feature store answers again",
    ]
    known.close()


def test_what_waits_behind_an_error_is_given_up(outcomes):
    now, go, asked = [0.0], threading.Event(), []

    def read(shopper, *_):
        asked.append(shopper)
        go.wait(30)
        raise OSError("timed out")

    known = told(outcomes, read, wait=0.001, clock=lambda: now[0])
    for shopper in ("anna", "bob", "cat"):
        assert known(shopper, NAMES, 1.0) is None
    go.set()
    deadline = time.monotonic() + 10
    while known._asked and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not known._asked
    assert asked == ["anna"]
    known.close()


def test_a_service_that_goes_down_still_answers(outcomes):
    known = told(outcomes, lambda *_: ANNA, wait=5)
    known.close()
    assert known("anna", NAMES, 1.0) is None
    assert outcomes == {"failed": 1}


def test_it_says_that_the_store_does_not_answer_until_it_does(outcomes):
    now, there = [0.0], [False]

    def read(shopper, names, moment):
        if not there[0]:
            raise ConnectionError("refused")
        return ANNA

    known = told(outcomes, read, wait=5, clock=lambda: now[0])
    assert not known.hindrance
    assert known("anna", NAMES, 1.0) is None
    assert "segments decide" in known.hindrance
    there[0], now[0] = True, REST + 0.1
    deadline = time.monotonic() + 10
    while known.hindrance and time.monotonic() < deadline:  # it asks by itself
        time.sleep(0.01)
    assert not known.hindrance
    assert outcomes == {"failed": 1}
    known.close()


def test_a_store_that_takes_long_to_open_is_waited_for_by_nobody(outcomes):
    now, go, asked = [0.0], threading.Event(), []

    def read(shopper, names, moment):
        asked.append(shopper)
        go.wait(10)
        return ANNA

    known = told(outcomes, read, wait=0.01, clock=lambda: now[0])
    known.open()
    known.open()  # once is enough
    deadline = time.monotonic() + 10
    while not asked and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not known.hindrance
    now[0] = REST + 0.1
    assert "segments decide" in known.hindrance
    go.set()
    while known.hindrance and time.monotonic() < deadline:
        time.sleep(0.01)
    assert known("anna", NAMES, 1.0) is ANNA
    assert asked == ["~nobody", "anna"]
    known.close()
