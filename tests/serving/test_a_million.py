"""Decisions by the hundred thousand, a million in the long run: shares, and what they depend on."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency

from persona_img.domain.decision import Arms, Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL, Style
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog

PRODUCTS = [f"p{n}" for n in range(50)]
SEGMENTS = ["all", "few", "many"]
SHARE = {"control": 0.1, "personalized": 0.9}
LEAST = 1e-4  # of p: names of shoppers are counted, not drawn, so it fails always or never


def a_table() -> DecisionTable:
    """Slates of two to nine pictures, some of them rare."""
    rng = np.random.default_rng(5)
    slots = {}
    for place in itertools.product(SEGMENTS, PRODUCTS):
        chances = rng.dirichlet(np.full(rng.integers(2, 10), 0.7)) * 0.9
        chances += (1 - chances.sum()) / len(chances)
        some = [Candidate(ORIGINAL, None, float(chances[0]))]
        for n, chance in enumerate(chances[1:]):
            digest = hashlib.sha256(f"{place} {n}".encode()).hexdigest()
            some.append(Candidate(Style(f"light=l{n}"), digest, float(chance)))
        slots[place] = Slate(tuple(some))
    segments = {f"s{n}": SEGMENTS[n % 3] for n in range(0, 200_000, 2)}
    return DecisionTable("v1", slots, segments, "all")


def a_decider(test: str = "hero") -> Decider:
    return Decider(a_table(), Arms(test, SHARE), MemoryEventLog())


def drawn(decider: Decider, shoppers: range) -> tuple[Counter[tuple[str, str, str]], str]:
    """How often each picture of each slate was drawn, and a digest of every decision."""
    counts: Counter[tuple[str, str, str]] = Counter()
    whole = hashlib.sha256()
    for n in shoppers:
        for one in decider.decide_page(f"s{n}", PRODUCTS, 1.0):
            whole.update(f"{one.arm} {one.style_key} {one.propensity!r}\n".encode())
            if one.arm == "personalized":
                counts[one.segment, one.product, one.style_key] += 1
    return counts, whole.hexdigest()


@pytest.mark.parametrize("shoppers", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_decisions_have_the_shares_of_their_propensities(shoppers: int) -> None:
    """Fifty products a shopper: a hundred thousand decisions, a million in the long run."""
    counts, _ = drawn(a_decider(), range(shoppers))
    statistic, freedom = 0.0, 0
    for (segment, product), slate in a_table().slates.items():
        seen = np.array([counts[segment, product, c.style.key] for c in slate.candidates], float)
        expected = np.array([c.probability for c in slate.candidates]) * seen.sum()
        # What is expected less often than five times is no normal deviate: taken together.
        rare = expected < 5
        if rare.sum() > 1:
            seen = np.append(seen[~rare], seen[rare].sum())
            expected = np.append(expected[~rare], expected[rare].sum())
        statistic += float(((seen - expected) ** 2 / expected).sum())
        freedom += len(seen) - 1
    assert counts.total() == pytest.approx(0.9 * 50 * shoppers, rel=0.02)
    p = float(chi2.sf(statistic, freedom))
    assert LEAST < p < 1 - LEAST, f"chi-square {statistic:.0f} of {freedom}"


def test_another_process_decides_the_same() -> None:
    """As workers do, and a server on another machine: names are hashed, not Python's way."""
    code = (
        "from serving.test_a_million import a_decider, drawn\n"
        "print(drawn(a_decider(), range(100))[1])"
    )
    here = drawn(a_decider(), range(100))[1]
    assert drawn(a_decider(), range(100))[1] == here, "also after a restart"
    there = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert there.stdout.strip() == here


@pytest.mark.parametrize("shoppers", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_arms_of_tests_are_drawn_independently(shoppers: int) -> None:
    """Three tests at once: who is where in one says nothing of where in another."""
    halves = {"control": 0.5, "personalized": 0.5}
    tests = [Arms(name, halves) for name in ("hero", "hero-2", "spring")]
    cells = np.zeros((2, 2, 2))
    for n in range(shoppers):
        cells[tuple(int(arms.assign(f"s{n}") == "control") for arms in tests)] += 1
    assert chi2_contingency(cells.reshape(2, 4)).pvalue > LEAST
    assert chi2_contingency(cells.reshape(4, 2)).pvalue > LEAST
    for axes in ((1, 2), (0, 2), (0, 1)):
        one = cells.sum(axis=axes)
        assert abs(one[0] - one[1]) < 4 * np.sqrt(shoppers)
