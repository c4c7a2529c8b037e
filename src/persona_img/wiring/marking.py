"""What pictures say of where they come from: the settings' words, signed by the settings' keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.domain.catalog import Catalog
    from persona_img.provenance.manifest import Manifests
    from persona_img.settings import Settings
    from persona_img.variants.marking import Marking
    from persona_img.variants.store import VariantStore


def marking(
    settings: Settings,
    store: VariantStore,
    catalog: Callable[[], Catalog | None],
    *,
    signed: bool = True,
) -> Marking:
    """What says of pictures where they come from.

    Args:
        settings: Say whose pictures are, and where keys lie.
        store: Keeps the variants' certificates.
        catalog: The products as they are now.
        signed: Whether they are signed, where the settings name keys.

    Raises:
        InvalidInput: the keys lie in the shop's folder or cannot be used, or what signs by them is
            not installed.
        NotFound: there are no keys.
    """
    from persona_img.variants.marking import Marking

    told = settings.provenance
    by = manifests(settings) if signed else None
    return Marking(store, catalog, told.credit, told.rights, told.training, by)


def check_keys(settings: Settings) -> None:
    """Refuse keys that cannot be used; that there are none is no fault.

    Raises:
        InvalidInput: see :func:`marking`.
        NotFound: there are no keys.
    """
    manifests(settings)


def manifests(settings: Settings) -> Manifests | None:
    """What signs manifests by the settings' keys; None where there are none.

    Raises:
        InvalidInput: see :func:`marking`.
        NotFound: there are no keys.
    """
    folder = settings.provenance.keys
    if folder is None:
        return None
    if folder.resolve().is_relative_to(settings.home.resolve()):
        raise InvalidInput(
            f"provenance.keys={folder}: lies in the shop's folder, and would be in its backups; "
            "name one outside"
        )
    try:
        from persona_img.provenance.file_keys import FileKey
        from persona_img.provenance.manifest import Manifests
    except ImportError as error:
        raise InvalidInput(
            f"provenance.keys: {error}; pip install 'persona-img[provenance]'"
        ) from error
    return Manifests(FileKey.load(folder), settings.provenance.training)
