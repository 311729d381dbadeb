"""What a stranger calls a result and where it is from: checked before it stands on a board, beside other people's."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LONGEST_NAME, LONGEST_URL = 100, 2000
# RFC 3986; everything else is percent-encoded in a URL.
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


def checked_name(name: str) -> str:
    """A name of 1 to 100 visible characters, as it is. Raises ValueError, which repeats no more than a few of them."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ValueError(f"Expected a name of 1 to {LONGEST_NAME} characters, but got {len(name)}")
    if not name.isprintable() or name != name.strip():
        rule = "Expected a name of visible characters that neither begins nor ends with a space"
        raise ValueError(f"{rule}, but got {name!a}")
    return name


def checked_url(url: str) -> str:
    """An http or https address of at most 2,000 characters, as it is. Raises ValueError."""
    if len(url) > LONGEST_URL:
        raise ValueError(f"Expected a URL of at most {LONGEST_URL} characters, but got {len(url)}")
    if not _URL.fullmatch(url):
        raise ValueError(f"Expected a URL without spaces and odd characters (percent-encode them), but got {url!a}")
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        known = False
    if not known:
        raise ValueError(f"Expected a URL such as https://example.org/paper, but got {url!a}")
    if "@" in parts.netloc:
        raise ValueError("Expected a URL without user and password, but got one with an @ before its path")
    return url
