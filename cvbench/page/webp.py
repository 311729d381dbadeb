"""Pictures of a board, as far as they are what they say: base64 of a WebP file, and nothing else."""

from __future__ import annotations

import base64
import binascii
import re

MOST_CHARACTERS = 2_000_000
_ALPHABET = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def is_webp(encoded: str) -> bool:
    """Strict base64 of a RIFF container of WEBP that is as long as it says (RFC 9649, section 2.4)."""
    if len(encoded) > MOST_CHARACTERS or not _ALPHABET.fullmatch(encoded):
        return False
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    length = int.from_bytes(data[4:8], "little")
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and length + 8 == len(data) > 20
