"""What counts as one token where a caption has more than letters and commas: a list of rules, the longest match wins.

Of equally long matches the earlier rule's wins. Where a rule has a group, the token is the group, and what follows
in the match is what must come after it: `don't` is `do` before `n't`, and no other rule reads as far.
Each rule reads in a time that grows with what it reads: no nested repeats that could match alike, and those that may
read far in vain are bounded.
"""
# ruff: noqa: RUF001, the typographic signs are meant

from __future__ import annotations

import re

from cvbench.language.abbreviations import ABBREVIATIONS, CAPITAL_ABBREVIATIONS, NUMBER_ABBREVIATIONS

# Combining marks and free-standing accents, which are parts of words for Java though not for Python.
_MARKS = (
    r"\u02c2-\u02c5\u02d2-\u02df\u02e5-\u02eb\u02ed\u02ef-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5"
    r"\u05c7\u0615-\u061a\u064b-\u065e\u0670\u06d6-\u06e4\u06e7-\u06ed\u0730-\u074c\u07a6-\u07b0\u0900-\u0903\u093c"
    r"\u093e-\u094e\u0951-\u0955\u0962\u0963\u0981-\u0983\u09bc\u09be-\u09cd\u0a01-\u0a03\u0a3c-\u0a4f\u0a81-\u0a83"
    r"\u0abc-\u0acf\u0b82\u0bbe-\u0bcd\u0c01-\u0c03\u0c3e-\u0c56\u0d3e-\u0d48\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1"
    r"\u0eb4-\u0ebc\u0ec8-\u0ecd"
)
# Numbers that Python takes for word characters: superscripts, fractions, Roman and circled numerals.
_NUMERALS = (
    r"\u00b2\u00b3\u00b9\u00bc-\u00be\u2070\u2074-\u2079\u2080-\u2089\u2150-\u218b\u2460-\u249b\u24ea-\u24ff"
    r"\u2776-\u2793"
)
_LETTER = rf"(?:[^\W\d_{_NUMERALS}]|[{_MARKS}])"
_ALNUM = rf"(?:[^\W_{_NUMERALS}]|[{_MARKS}])"
#: symbols beyond ASCII that stand as tokens of their own; all others separate words and vanish
_SYMBOLS = (
    r"\u00a1-\u00a9\u00ab\u00ac\u00ae-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u037e\u0387\u0589\u05be\u05c0\u05c3"
    r"\u05f3\u05f4\u0600-\u0603\u0606-\u060c\u061b\u061e\u061f\u066a\u066d\u06d4\u0964\u0965\u0e3f\u0e4f\u2013-\u2023"
    r"\u2026\u2030-\u203b\u203e-\u2042\u2044\u2070\u2074-\u207e\u2080-\u208e\u20a0\u20a4\u20ac\u2100\u2101\u2103-\u2106"
    r"\u2108\u2109\u2114\u2116-\u2118\u211e-\u2123\u2125\u2127\u2129\u212e\u213a\u213b\u2140-\u2144\u214a-\u214d\u214f"
    r"\u2153-\u215e\u2190-\u2bff\u3001\u3002\u3012\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0\uffe1"
    r"\uffe5\uffe6"
)
#: what lies between tokens
GAP = re.compile(rf"(?:[\x00-\x20\x7f]|[^\x00-\x7f\w{_MARKS}{_SYMBOLS}])+")
#: a word that no rule but the one for words can read, and that is no contraction
SIMPLE_WORD = re.compile(r"[A-Za-z]+(?=[ ,]|$)")

_APOSTROPHE = "['’]"
_PART = rf"[^\W_{_NUMERALS}]+"
_ASCII_PART = "[A-Za-z0-9]+(?:-[A-Za-z]+)*"
_AFTER = "(?![A-Za-z])"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])+"
_JOIN = r"[-_\u058a\u2010\u2011]"
_SPACE = "[ \u00a0]"
_LINK = r"""[^\s"<>|()“”‘’…]"""
_LINK_END = r"""[^\s"<>|()“”‘’…{}.!?,;:'-]"""
_MAIL_END = r"""[^\s"<>|()“”‘’….]"""


def _any_of(words: frozenset[str]) -> str:
    return "|".join(sorted((word.replace(".", r"\.") for word in words), key=len, reverse=True))


_ABBREVIATION = (
    rf"(?:(?i:{_any_of(ABBREVIATIONS)})|(?=[A-Z])(?i:{_any_of(CAPITAL_ABBREVIATIONS)})"
    rf"|(?i:{_any_of(NUMBER_ABBREVIATIONS)})(?=\.(?:\s*\d|[,;:])))\."
)

MARKUP = r"</?[A-Za-z!?][^<>]{0,500}>"
RULES = [
    re.compile(rule)
    for rule in (
        rf"(?i:cannot|gonna|gotta|wanna|lemme|gimme){_AFTER}",
        "(?i:('t)(?:is|was))",
        # <b>, </b>, <a href="x">, <!-- -->
        MARKUP,
        r"&(?i:amp|lt|gt|quot|nbsp|#\d{1,6});",
        # what an apostrophe cuts off, and what it does not
        "(?i:([A-Za-z]+)n['’`]t)",
        rf"(?i:({_LETTER}+){_APOSTROPHE}(?:s|d|ll|ve|re|m){_AFTER})",
        rf"(?i:n['’`]t|{_APOSTROPHE}(?:s|d|ll|ve|re|m)){_AFTER}|’(?:s|d|ll|ve|re|m)",
        rf"(?i:(y{_APOSTROPHE}){_LETTER})",
        rf"(?i:[dlj]{_APOSTROPHE})",
        rf"[dlnoA-HJ-XZ]{_APOSTROPHE}{_LETTER}{{2,}}",
        rf"(?i:qu{_APOSTROPHE}{_LETTER}+|{_LETTER}+[aeiouy]{_APOSTROPHE}[aeiou]{_LETTER}*)",
        rf"(?i:(?:c{_APOSTROPHE}(?:est|mon)|n?e{_APOSTROPHE}er){_AFTER}|(?:dunkin|somethin|ol){_APOSTROPHE})",
        rf"(?i:{_APOSTROPHE}n{_APOSTROPHE}|{_APOSTROPHE}(?:em|cause|till?|n{_AFTER}|\d\d(?:s|(?=\s|$))))",
        # words, also foo.bar; with hyphens and slashes; with stops
        rf"{_LETTER}{_ALNUM}*(?:[.!?]{_LETTER}{_ALNUM}*)*",
        _PART,
        rf"(?:{_PART}(?:\.{_PART})*|\d+(?:[.,]\d+)+)(?:{_JOIN}{_PART})+",
        rf"{_ASCII_PART}(?:/{_ASCII_PART}){{1,2}}",
        rf"{_ACRONYM}\.?-(?:{_ACRONYM}\.|{_PART})",
        rf"{_ACRONYM}\.|[A-Za-z]\.",
        rf"{_ABBREVIATION}-{_PART}",
        _ABBREVIATION,
        "[A-Z]+(?:&|&amp;)[A-Z]+",
        # numbers, times, fractions, telephone numbers, currencies
        r"[-+]?(?:\d*(?:[.,:]\d+)+|\d+)",
        rf"(?:\d{{1,4}}(?:-|{_SPACE}))?\d{{1,4}}[/⁄]\d{{1,4}}",
        rf"(?:\(\d{{2,3}}\){_SPACE}?|\d{{2,4}}(?:-|{_SPACE}))\d{{3,4}}(?:-|{_SPACE})?\d{{3,5}}{_AFTER}",
        r"[A-Z]{1,2}\$",
        # addresses
        rf"(?i:https?://|www\.){_LINK}*{_LINK_END}",
        rf"(?i:{_PART}(?:\.{_PART})*\.(?:com|net|org|edu)/{_LINK}*{_LINK_END})",
        rf"{_ALNUM}[\w.+%-]{{0,63}}@{_LINK}*{_MAIL_END}",
        rf"@[A-Za-z]\w*|#{_LETTER}{_ALNUM}*",
        # faces
        rf"[>]?[:;=]['-]?(?:[()\]|\\]|[DdPp3])(?!{_ALNUM}|[<@#$])|\^_\^",
        # runs of one sign
        r"[?!]+|\.+|-+|_+|\*+|\#+|@+|<<|>>",
    )
]
