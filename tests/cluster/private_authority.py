"""A certificate authority of one's own, and a server that it signed for."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CERTIFICATE, SERVER_CERTIFICATE, SERVER_KEY = "ca.crt", "server.crt", "server.key"


def sign(folder: Path, *servers: str) -> None:
    """Writes the authority's certificate, and certificate and key of a server with these names or addresses."""
    folder.mkdir()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A private authority")])
    key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def unsigned(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer_name=name, subject_name=subject, public_key=public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
        )

    root = unsigned(name, key.public_key()).add_extension(x509.BasicConstraints(True, None), critical=True)
    root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    leaf = unsigned(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "storage")]), server_key.public_key())
    leaf = leaf.add_extension(x509.SubjectAlternativeName([_general(server) for server in servers]), critical=False)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    pem = serialization.Encoding.PEM
    (folder / CERTIFICATE).write_bytes(root.sign(key, hashes.SHA256()).public_bytes(pem))
    (folder / SERVER_CERTIFICATE).write_bytes(leaf.sign(key, hashes.SHA256()).public_bytes(pem))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / SERVER_KEY).write_bytes(server_key.private_bytes(pem, *private))


def _general(server: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(server))
    except ValueError:
        return x509.DNSName(server)
