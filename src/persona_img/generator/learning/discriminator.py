"""Tells real patches from decoded ones, so that the codec's decoder learns to be crisp.

References:
    Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks",
    arXiv:1611.07004 (a verdict for every patch); Esser et al. 2021, "Taming Transformers",
    arXiv:2012.09841 (hinge loss, and its weight by gradients).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MOST = 1e4


class PatchDiscriminator(nn.Module):
    """One verdict for every patch of 22 pixels, 4 pixels apart: texture is judged, not content.

    Nothing is normalised: contrast is what tells a blurred texture, and must not be divided away;
    and with spectral normalisation it learned half as fast.

    Args:
        width: Channels of the first layer; later ones have up to four times as many.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Verdicts (B, 1, H/4, W/4), real above 0, of pictures (B, 3, H, W) in -1..1."""
        return cast("Tensor", self.layers(pictures))


def hinge_loss(of_real: Tensor, of_made: Tensor) -> Tensor:
    """The discriminator's: 0 where it is sure, and right, of every patch."""
    return 0.5 * (F.relu(1 - of_real).mean() + F.relu(1 + of_made).mean())


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: nn.Parameter) -> Tensor:
    """What the adversarial loss is multiplied by to pull as hard as reconstruction does.

    Args:
        reconstruction: A loss, scalar; its graph is kept.
        adversarial: Another, scalar; its graph is kept.
        last: Weights of the decoder's last layer, where the pull is measured.

    Returns:
        Scalar in 0..10,000 without a gradient (Esser et al. 2021, equation 7).
    """
    wanted = torch.autograd.grad(reconstruction, last, retain_graph=True)[0].norm()
    given = torch.autograd.grad(adversarial, last, retain_graph=True)[0].norm()
    return (wanted / (given + 1e-4)).clamp(0.0, _MOST).detach()
