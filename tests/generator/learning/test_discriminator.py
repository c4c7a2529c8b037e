from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from persona_img.generator.learning.discriminator import (
    PatchDiscriminator,
    adaptive_weight,
    hinge_loss,
)


def textures(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1


def blurred(pictures: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(pictures, 3, stride=1, padding=1)


def test_a_verdict_for_every_patch() -> None:
    assert PatchDiscriminator(8)(textures(2, 0)).shape == (2, 1, 8, 8)


def test_it_learns_to_tell_a_texture_from_its_blur() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(8)
    optimiser = torch.optim.AdamW(discriminator.parameters(), 2e-3, betas=(0.5, 0.9))
    for step in range(60):
        real = textures(8, step)
        loss = hinge_loss(discriminator(real), discriminator(blurred(real)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    unseen = textures(8, 999)
    with torch.no_grad():
        assert discriminator(unseen).mean() > 0.3
        assert discriminator(blurred(unseen)).mean() < -0.3


@pytest.mark.parametrize(
    ("real", "made", "loss"), [(2.0, -2.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 1.0, 2.0)]
)
def test_hinge(real: float, made: float, loss: float) -> None:
    assert hinge_loss(torch.tensor([real]), torch.tensor([made])).item() == loss


def test_the_weight_makes_both_losses_pull_alike() -> None:
    last = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    strong, weak = (3.0 * last).sum(), (0.01 * last).sum()
    weight = adaptive_weight(strong, weak, last)
    assert not weight.requires_grad
    pulls = [torch.autograd.grad(x, last, retain_graph=True)[0].norm() for x in (strong, weak)]
    assert (weight * pulls[1]).item() == pytest.approx(pulls[0].item(), rel=0.02)


def test_a_loss_that_pulls_nowhere_is_not_blown_up_without_end() -> None:
    last = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    assert adaptive_weight((1e3 * last).sum(), (0.0 * last).sum(), last).item() == 1e4
