"""The certificates of the front: an authority that the image trusts, and AWS's names under it."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = (
    "*.amazonaws.com",
    "*.us-east-1.amazonaws.com",
    "*.s3.us-east-1.amazonaws.com",
    "*.s3.amazonaws.com",
)
VALID = datetime.timedelta(days=3650)


def ensure(folder: Path) -> tuple[str, Path]:
    """Return the authority's certificate, PEM, and the file of the front's chain and key.

    Made once in `folder`, which only its owner can read: whoever has the authority's key could
    pose as anybody to a machine that trusts it, and no machine but the drills' does.
    """
    authority, chain = folder / "authority.pem", folder / "front.pem"
    if not (authority.exists() and chain.exists()):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        issuer_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        issuer = _name("Parris boot drills")
        root = _certificate(issuer, issuer_key.public_key(), issuer, issuer_key, None)
        leaf = _certificate(_name("AWS stand-in"), key.public_key(), issuer, issuer_key, NAMES)
        authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        chain.touch(mode=0o600)
        chain.write_bytes(
            leaf.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return authority.read_text(), chain


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...] | None,
) -> x509.Certificate:
    """Sign a certificate: an authority's without `names`, else a server's of these names."""
    now = datetime.datetime.now(datetime.UTC)
    public = issuer_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
