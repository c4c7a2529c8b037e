from __future__ import annotations

import numpy as np
import pytest

from persona_img.errors import InvalidInput
from persona_img.simulate.shop import SimulatedShop
from persona_img.simulate.tastes import BEST, DRIFT

from .worlds import a_catalog, shipped_space


def a_world(seed: int = 1, form: str = "interacting") -> SimulatedShop:
    return SimulatedShop(a_catalog(30), shipped_space(), shoppers=50, seed=seed, form=form)


@pytest.mark.parametrize("seed", range(5))
def test_effects_are_as_large_as_in_the_additive_world(seed):
    effect = a_world(seed).tastes.effect
    assert np.all(effect[:, :, 0] == 0.0)
    variants = effect[:, :, 1:]
    best, mean = variants.max(axis=2).mean(axis=1), variants.mean(axis=(1, 2))
    assert np.all((best >= BEST[0] - 1e-9) & (best <= BEST[1] + 1e-9))
    assert np.all((mean >= DRIFT[0] - 1e-9) & (mean <= DRIFT[1] + 1e-9))


def left_by_values(effect, onehot):
    """Share of the variance over styles and products that no sum of values explains."""
    mean = effect - effect.mean(axis=1, keepdims=True)
    design = onehot - onehot.mean(axis=0)
    fitted = design @ np.linalg.lstsq(design, mean.mean(axis=0), rcond=None)[0]
    return float(((mean - fitted) ** 2).mean() / (mean**2).mean())


def test_no_sum_of_values_describes_it_where_it_describes_the_other_world():
    apart, together = a_world(), a_world(form="additive")
    left = [left_by_values(shop.tastes.effect[0, :, 1:], shop.tastes.onehot[1:])
            for shop in (apart, together)]  # fmt: skip
    assert left[0] > 0.5
    assert left[1] < 0.35


def test_cheap_and_dear_products_want_other_looks():
    effect = a_world().tastes.effect[0, :, 1:]
    cheap, near, dear = effect[0], effect[1], effect[-1]
    assert np.corrcoef(cheap, near)[0, 1] > 0.9
    assert np.corrcoef(cheap, dear)[0, 1] < 0.3


def test_the_additive_world_is_what_it_was():
    plain = SimulatedShop(a_catalog(30), shipped_space(), shoppers=50, seed=1)
    assert np.array_equal(plain.tastes.effect, a_world(form="additive").tastes.effect)


def test_a_form_that_nobody_knows_is_refused():
    with pytest.raises(InvalidInput, match="form 'cubic'"):
        a_world(form="cubic")
