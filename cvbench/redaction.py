"""Passwords and keys kept out of what runs leave behind: values of the environment, and passwords inside URLs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote

from pydantic import AfterValidator

HIDDEN = "[hidden]"
# Shorter ones could be part of anything.
_SHORTEST = 6
_SECRET_NAME = re.compile(
    r"(?<!BY)(?<!COM)PASS(?:WORD|WD|PHRASE|CODE)?S?(?:_|$)|SECRET|TOKENS?(?:_|$)|CREDENTIAL|CONNECTION_?STRING|COOKIE"
    r"|(?:^|_)(?:KEYS?|PAT|AUTH|AUTHORIZATION|DSN|JWT|BEARER)(?:_|$)|_PWD(?:_|$)|(?:API|ACCESS|PRIVATE|ACCOUNT)_?KEY",
    re.IGNORECASE,
)
# Up to the last @ before the path: a password may hold what should have been escaped. A user alone is a token.
_URL_PASSWORD = re.compile(
    r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/@:'\"]*:(?=[^\s/'\"]+@)|(?=[A-Za-z0-9_-]{16,}@)))"
    r"(?P<password>[^\s/'\"]+)(?=@)"
)


def secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Secret value -> name of the environment variable that holds it: by its name (…_KEY, …_TOKEN, …PASSWORD …), or as
    the password of a URL. Paths to files are none."""
    found: dict[str, str] = {}
    for name, value in (os.environ if environment is None else environment).items():
        secret = _SECRET_NAME.search(name) and not (value.startswith(("/", "~")) and Path(value).expanduser().exists())
        candidates = [value] if secret else [match["password"] for match in _URL_PASSWORD.finditer(value)]
        found |= {candidate: name for candidate in candidates if len(candidate) >= _SHORTEST}
    return found


def redacted(text: str) -> str:
    """`text` with every secret of this process's environment, and every password in a URL, put out of sight."""
    for value in sorted(secrets(), key=len, reverse=True):  # one may be part of another
        for written in {value, repr(value)[1:-1], quote(value, safe=""), unquote(value)}:
            text = text.replace(written, HIDDEN)
    return _URL_PASSWORD.sub(rf"\g<before>{HIDDEN}", text)


Redacted = Annotated[str, AfterValidator(redacted)]


def secret_in(text: str, known: Mapping[str, str]) -> str | None:
    """What about `text` must not be published, in words that do not repeat it; None where nothing is known of it.

    known: as `secrets` gives them.
    """
    for value, name in known.items():
        if value in text:
            return f"holds the value of the environment variable {name}"
    return "holds a password inside a URL" if _URL_PASSWORD.search(text) else None
