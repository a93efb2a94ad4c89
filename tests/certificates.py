"""Certificates for tests with TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.programs import program


def make_certificate(directory: Path, host: str, *, days_ago: int = 0) -> tuple[Path, Path]:
    """A certificate of ``host`` that signs itself, and its key: the files fullchain.pem and privkey.pem.

    It is valid for two days, from ``days_ago`` on.
    """
    chain, key = directory / "fullchain.pem", directory / "privkey.pem"
    then = [program("faketime", "faketime"), f"{days_ago} days ago"] if days_ago else []
    command = [*then, program("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key
