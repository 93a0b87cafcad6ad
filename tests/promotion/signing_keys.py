"""Keys to sign with."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def key(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a private and a public key."""
    private = ec.generate_private_key(ec.SECP256R1())
    files = folder / f"{name}.pem", folder / f"{name}.pub"
    files[0].write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    files[1].write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return files
