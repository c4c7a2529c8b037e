"""Every error persona-img raises on purpose.

::

    PersonaImgError
    ├── InvalidInput            a value the caller can mend (also a ValueError)
    │   ├── BadPhoto            a file that is no picture we can use
    │   ├── UnknownStyle        an attribute, a value or a combination outside the style space
    │   ├── BadCatalog          a product table that breaks a rule
    │   └── CannotWrite         a folder that takes no file: closed, or its disk full
    ├── LowMaskConfidence       the product could not be told from its backdrop
    ├── RenderRejected          no candidate passed the gate
    ├── VerificationFailed      a variant does not match its certificate or its photograph
    ├── EmptySlate              nothing to choose from, not even the original
    ├── NotFound                a product, variant, run or checkpoint that is not there
    ├── NotEnoughData           a statistic or a fit that would be undefined
    ├── StoreConflict           a write that would lose what is stored
    ├── StoreFailed             a write that did not reach the disk; it may be repeated
    └── ServiceFailed           the service refused a request or did not answer
"""


class PersonaImgError(Exception):
    """Base of all errors raised on purpose by persona-img.

    Example:
        >>> from persona_img.domain.style import StyleSpace
        >>> try:
        ...     StyleSpace({"surface": ("linen",)}).parse("surface=velvet")
        ... except PersonaImgError as error:
        ...     print(type(error).__name__)
        UnknownStyle
    """


class InvalidInput(PersonaImgError, ValueError):
    """A value breaks a rule; the message says the value, the rule and what to do."""


class BadPhoto(InvalidInput):
    """A file is not a picture we can use."""


class UnknownStyle(InvalidInput):
    """An attribute, a value or a combination is outside the style space."""


class BadCatalog(InvalidInput):
    """A product table breaks a rule."""


class CannotWrite(InvalidInput):
    """A folder takes no file, this one or another: it is closed, or its disk is full."""


class UnreadablePhoto(UserWarning):
    """A file of a folder is left out, because it cannot be read as a picture."""


class LowMaskConfidence(PersonaImgError):
    """The product could not be told from its backdrop with enough confidence."""


class RenderRejected(PersonaImgError):
    """No candidate passed the gate."""


class VerificationFailed(PersonaImgError):
    """A variant does not match its certificate or its photograph."""


class EmptySlate(PersonaImgError):
    """A slate holds no approved style and no original."""


class NotFound(PersonaImgError, LookupError):
    """A product, variant, run or checkpoint is not there."""


class NotEnoughData(PersonaImgError):
    """A statistic or a fit would be undefined on so little data."""


class StoreConflict(PersonaImgError):
    """A write would lose or contradict what is stored."""


class StoreFailed(PersonaImgError):
    """A store did not do what it was asked; that may be repeated, and loses nothing.

    Attributes:
        reason: One word for what hinders it: ``locked``, ``full``, ``read-only``, ``corrupt``,
            ``missing``, ``unreachable``, ``closed``, ``late``, ``disk`` for one that answers with
            errors, or ``failed``.
    """

    def __init__(self, message: str, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason


class ServiceFailed(PersonaImgError):
    """The HTTP service refused a request or did not answer."""
