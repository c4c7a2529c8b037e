"""The rule: what a picture is said to be, by what was done to it.

==============================================  ==================  =============================
done                                            action (C2PA)       source type (IPTC)
==============================================  ==================  =============================
a backdrop painted by a trained model           ``c2pa.edited``     compositeWithTrained-
                                                                    AlgorithmicMedia
a backdrop built of photographed materials      ``c2pa.edited``     composite
light put on the product                        ``c2pa.color_…``    none of its own
an edit of a photo: cropped, resized, …         as in ``EDITS``     none of its own
a smaller copy for pages                        ``c2pa.resized``    none of its own
==============================================  ==================  =============================

Only the first says "generated". What a photograph says of itself is kept: where its XMP says that
it was generated, or its manifest (read where the extra ``provenance`` is installed), so is whatever
is made of it. A backdrop of a source that is not in the list is taken for
painted by a trained model: to say it of one that was not does no harm.

References:
    Regulation (EU) 2024/1689, Art. 50(2): assistive editing that does not substantially alter what
    is shown needs no mark as generated.
    IPTC NewsCodes, "Digital Source Type", 2024-09-17. C2PA 2.2, "Actions".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED = f"{_TERMS}trainedAlgorithmicMedia"
COMPOSITE_TRAINED = f"{_TERMS}compositeWithTrainedAlgorithmicMedia"
COMPOSITE = f"{_TERMS}composite"
GENERATED = frozenset({TRAINED, COMPOSITE_TRAINED, f"{_TERMS}compositeSynthetic"})
"""Source types that say: a trained model made it, or a part of it."""

_BY_NAME = {one.rpartition("/")[2].lower(): one for one in GENERATED}

BUILT = frozenset({"library", "plain"})
"""Sources of backdrops that are built, of photographed materials or even paper; none is learned."""

EDITS: Mapping[str, str] = {
    "resize": "c2pa.resized",
    "upscale": "c2pa.resized",
    "crop": "c2pa.cropped",
    "white-balance": "c2pa.color_adjustments",
    "transfer": "c2pa.color_adjustments",
    "denoise": "c2pa.enhanced",
    "restore": "c2pa.enhanced",
}
"""Our edits to C2PA's actions; any other is ``c2pa.edited``."""


@dataclass(frozen=True)
class Action:
    """One thing that was done.

    Attributes:
        name: C2PA's.
        source_type: IPTC's source type of what it added; None where it added nothing.
        told: In words, for whoever reads it.
    """

    name: str
    source_type: str | None = None
    told: str = ""


def canonical(kind: str) -> str:
    """A source type as IPTC writes it, where it says "generated"; any other as it is given.

    Args:
        kind: With ``https`` too, or the term alone: not everybody writes the address alike.

    Example:
        >>> canonical("https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia/")
        'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia'
    """
    return _BY_NAME.get(kind.strip().rstrip("/").rpartition("/")[2].lower(), kind)


def backdrop(source: str) -> Action:
    """A product put on another backdrop.

    Args:
        source: Name of the source of backdrops, as a recipe has it.

    Example:
        >>> backdrop("library").source_type == COMPOSITE
        True
    """
    if source in BUILT:
        of = "even paper" if source == "plain" else "materials"
        return Action("c2pa.edited", COMPOSITE, f"backdrop built of {of}")
    return Action("c2pa.edited", COMPOSITE_TRAINED, "backdrop painted by a trained model")


def edited(edits: Iterable[Mapping[str, Any]]) -> tuple[Action, ...]:
    """What our own edits did to a photograph, oldest first.

    Args:
        edits: Their records, as a photo or a certificate has them.
    """
    return tuple(
        Action(EDITS.get(str(edit["name"]), "c2pa.edited"), None, str(edit["name"]))
        for edit in edits
    )


def source_type(actions: Iterable[Action], photo: str | None) -> str | None:
    """What the whole picture is; None where nothing but a photograph was edited.

    Args:
        actions: All that was done.
        photo: Source type that the photograph says of itself; None where it says none.

    Example:
        >>> source_type([backdrop("library")], photo=TRAINED) == COMPOSITE_TRAINED
        True
    """
    added = [action.source_type for action in actions if action.source_type is not None]
    if not added:
        return photo
    if photo in GENERATED or any(one in GENERATED for one in added):
        return COMPOSITE_TRAINED
    return added[-1]
