"""What every masker must do; maskers' tests inherit it."""

from __future__ import annotations

import numpy as np
import pytest

from persona_img.masking.base import Masker


def boxed(height: int, width: int) -> np.ndarray:
    """A red box with a little grain on a grey floor."""
    rng = np.random.default_rng(1)
    photo = np.full((height, width, 3), 190.0) + rng.normal(0, 4, (height, width, 1))
    box = (slice(height // 4, 3 * height // 4), slice(width // 4, 3 * width // 4))
    photo[box] = np.array([180, 30, 40]) + rng.normal(0, 4, (*photo[box].shape[:2], 1))
    return np.clip(photo, 0, 255).astype(np.uint8)


class MaskerContract:
    """Subclasses say how to make the masker."""

    def make(self) -> Masker:
        raise AssertionError("say how to make the masker")

    @pytest.mark.parametrize("shape", [(240, 180), (180, 240), (200, 200), (533, 400), (90, 400)])
    def test_a_mask_has_the_photos_size_and_scores_in_0_to_1(self, shape: tuple[int, int]) -> None:
        found = self.make().cut(boxed(*shape))
        assert found.alpha.shape == shape
        assert found.alpha.dtype == np.uint8
        assert found.source == self.make().name
        assert found.checks
        assert all(0.0 <= score <= 1.0 for score in found.checks.values())
        assert found.confidence == min(found.checks.values())

    def test_the_same_photo_gives_the_same_bytes(self) -> None:
        photo = boxed(300, 220)
        first, second = self.make().cut(photo), self.make().cut(photo.copy())
        assert first.alpha.tobytes() == second.alpha.tobytes()
        assert first.checks == second.checks
        assert self.make().fingerprint() == self.make().fingerprint()

    def test_it_keeps_the_port_and_leaves_the_photo_alone(self) -> None:
        photo = boxed(160, 200)
        before = photo.copy()
        masker = self.make()
        assert isinstance(masker, Masker)
        masker.cut(photo)
        assert (photo == before).all()

    @pytest.mark.parametrize("value", [0, 128, 255])
    def test_a_photo_of_nothing_is_not_trusted(self, value: int) -> None:
        assert not self.make().cut(np.full((200, 160, 3), value, np.uint8)).trusted
