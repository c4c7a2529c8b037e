"""Keys lie where only their owner reads them; another authority takes trust from those before."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from persona_img.errors import CannotWrite, InvalidInput, NotFound, StoreConflict
from persona_img.provenance import file_keys
from persona_img.provenance.base import ClaimSigner
from persona_img.provenance.file_keys import FileKey
from persona_img.provenance.manifest import Manifests, credentials
from provenance.signing import PHOTO, STATEMENT, encoded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file_keys.make(tmp_path / "keys", "Müller & Söhne")
    return tmp_path / "keys"


def signed_by(key: ClaimSigner) -> bytes:
    return Manifests(key).signed(encoded("image/webp"), "image/webp", STATEMENT, PHOTO)


def state(data: bytes, folder: Path) -> str:
    return credentials(data, "image/webp", file_keys.trusted(folder).read_text()).state


def test_no_file_of_a_folder_is_for_others(folder: Path) -> None:
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (folder, *folder.iterdir())}
    assert modes.pop("keys") == 0o700
    assert set(modes) == {"authority.pem", "signing.pem", "trusted.pem"}
    assert set(modes.values()) == {0o600}


def test_a_signature_is_one_of_the_certified_key(folder: Path) -> None:
    key = FileKey.load(folder)
    signature = key.sign(b"said")
    assert len(signature) == 64
    certified = x509.load_pem_x509_certificate(key.chain.encode()).public_key()
    assert isinstance(certified, ec.EllipticCurvePublicKey)
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    certified.verify(encode_dss_signature(r, s), b"said", ec.ECDSA(SHA256()))
    assert key.owner == "Müller & Söhne"


def test_what_was_signed_before_another_key_stays_trusted(folder: Path) -> None:
    first = FileKey.load(folder)
    before = signed_by(first)
    second = file_keys.rotate(folder)
    assert FileKey.load(folder).name == second.name != first.name
    for data in (before, signed_by(second)):
        assert state(data, folder) == "trusted"


def test_another_authority_takes_trust_from_a_thief(folder: Path, tmp_path: Path) -> None:
    stolen = shutil.copytree(folder, tmp_path / "stolen")
    before = signed_by(FileKey.load(folder))
    ours = file_keys.rotate(folder, authority=True)
    assert state(signed_by(ours), folder) == "trusted"
    for thief in (FileKey.load(stolen), file_keys.rotate(stolen)):
        assert state(signed_by(thief), folder) == "untrusted"
    assert state(before, folder) == "untrusted"  # nothing tells the shop's own from a thief's


def test_another_shops_keys_are_not_trusted(folder: Path, tmp_path: Path) -> None:
    other = file_keys.make(tmp_path / "other", "Müller & Söhne")
    assert state(signed_by(other), folder) == "untrusted"


def test_keys_are_never_replaced_by_making_them_again(folder: Path) -> None:
    before = (folder / "signing.pem").read_bytes()
    with pytest.raises(StoreConflict, match="keys rotate"):
        file_keys.make(folder, "shop")
    assert (folder / "signing.pem").read_bytes() == before


@pytest.mark.parametrize("owner", ["", " ", "x" * 41, "a\nb"])
def test_a_name_that_no_certificate_takes_is_refused(tmp_path: Path, owner: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 40"):
        file_keys.make(tmp_path / "keys", owner)
    assert not (tmp_path / "keys").exists()


def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "signing.pem").chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600"):
        FileKey.load(folder)


def test_what_is_no_key_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="keys init"):
        FileKey.load(tmp_path / "nowhere")
    path = folder / "signing.pem"
    whole = path.read_bytes()
    path.write_bytes(b"no key")
    with pytest.raises(InvalidInput, match=r"signing\.pem: no key"):
        FileKey.load(folder)
    other = file_keys.make(tmp_path / "other", "x").chain.encode()
    path.write_bytes(whole.partition(b"-----BEGIN CERTIFICATE")[0] + other)
    with pytest.raises(InvalidInput, match="another key's"):
        FileKey.load(folder)


def test_an_authority_may_be_kept_elsewhere(folder: Path, tmp_path: Path) -> None:
    (folder / "authority.pem").rename(tmp_path / "away.pem")
    assert FileKey.load(folder).sign(b"x")
    with pytest.raises(NotFound, match=r"authority\.pem"):
        file_keys.rotate(folder)


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CannotWrite):
        file_keys.make(tmp_path / "file" / "keys", "shop")
