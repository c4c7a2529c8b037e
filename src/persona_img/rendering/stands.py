"""How a photographed product stands, how large it is, and in what light it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_img.domain.pose import usual_size, usual_thickness
from persona_img.imaging.pose import pitch_of, pose_of
from persona_img.scenery.subject import LEAST_RISE, USUAL_CM, Subject, Taken
from persona_img.scenery.taken import taken_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from persona_img.imaging.photo import Photo

_MOST_THICK = 0.5  # of the longest side: a child's shoe is no boot


@dataclass(frozen=True)
class Stands:
    """What a scene has to know of a product.

    Attributes:
        pose: One of ``domain.pose.POSES``.
        cm: Its longest side, centimetres.
        pitch: Degrees by which the camera looked down on what stands; 0 of what does not.
        taken: In what light.
        thick: How far it rises from what it lies on or hangs before, centimetres.
    """

    pose: str
    cm: float
    pitch: float
    taken: Taken
    thick: float

    @classmethod
    def of(cls, photo: Photo, alpha: NDArray[np.uint8]) -> Stands:
        """What the merchant told, and what can be seen where nothing was told.

        Args:
            photo: The photo.
            alpha: uint8 (H, W), its product.
        """
        about = photo.about
        pose = about.pose or pose_of(photo.pixels, alpha, about.category).safe
        usual = None if about.category is None else usual_size(about.category)
        cm = about.size_cm or usual or USUAL_CM[pose]
        taken = taken_of(photo.pixels, alpha, cut_out=photo.cut_out)
        pitch = pitch_of(alpha) if pose == "standing" else 0.0
        rises = max(usual_thickness(about.category), LEAST_RISE.get(pose, 0.0))
        thick = min(rises, _MOST_THICK * cm)
        return cls(pose, float(cm), pitch, taken, float(thick))

    def subject(self, alpha: NDArray[np.uint8]) -> Subject:
        """The product as its set sees it on a canvas, uint8 (H, W)."""
        return Subject(alpha, self.pose, self.cm, self.pitch, self.taken, self.thick)

    def as_dict(self) -> dict[str, Any]:
        """What of it decides pixels, for a recipe."""
        return {
            "pose": self.pose,
            "cm": round(self.cm, 2),
            "pitch": round(self.pitch, 1),
            "thick": round(self.thick, 2),
            "side": self.taken.side,
            "exposure": self.taken.exposure,
            "cast": list(self.taken.cast),
        }
