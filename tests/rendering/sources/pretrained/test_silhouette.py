from __future__ import annotations

import numpy as np

from persona_img.rendering.sources.pretrained import silhouette


def a_mask() -> np.ndarray:
    mask = np.zeros((200, 300), np.float32)
    mask[60:140, 100:200] = 1
    mask[60:140, 99] = 0.4
    return mask


def test_what_is_kept_is_the_product_and_a_band_around_it() -> None:
    mask = a_mask()
    assert (silhouette.kept(mask, 0.0) == (mask > 0)).all()
    kept = silhouette.kept(mask, 0.05)
    assert kept[100, 89] == 1  # ten pixels beside the soft edge
    assert kept[100, 88] == 0
    assert kept[mask > 0].all()


def test_the_second_painting_reaches_beyond_the_band_and_never_into_the_product() -> None:
    mask = a_mask()
    beside, kept = silhouette.beside(mask, 0.05), silhouette.kept(mask, 0.05)
    assert not beside[mask >= 0.5].any()
    assert beside[(kept > 0) & (mask < 0.5)].all()
    assert beside.sum() > 2 * (kept - (mask > 0.02)).sum()


def test_its_share_fades_out_before_its_own_area_ends() -> None:
    mask = a_mask()
    share, beside = silhouette.share_of_second(mask, 0.05), silhouette.beside(mask, 0.05)
    assert share[100, 95] > 0.99
    outside = (beside == 0) & (mask < 0.5)
    assert share[outside].max() < 0.02
    assert np.abs(np.diff(share[100])).max() < 0.2
