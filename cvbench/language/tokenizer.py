"""`tokens`: a caption as the words that BLEU, ROUGE, METEOR and CIDEr are counted in, as the published scores are.

Equal to what Stanford's PTBTokenizer gives as pycocoevalcap 1.2 runs it: CoreNLP 3.4.1, `-preserveLines -lowerCase`,
then punctuation removed (' '' ` `` . ... ? ! , : ; - --). Java reads all captions as one text, so that the stop of a
single letter at a caption's end depends on the caption that follows: `letter b.` ends in `b` before `A dog`, and in
`b.` before `two dogs`. Here it is always `b`: most captions of COCO and Flickr begin with `A`.

Written from the tokenizer's behaviour, not from its code. Of randomly composed, odd captions 98 % are equal. Known to
differ:

- the single letter's stop, where the next caption begins with another word than those in `SENTENCE_STARTERS`;
- what is written without the space it needs: `inc.a`, `st.b.`, `x-rayst.,`, `9.x`, `%www.foo.com`, `ma'am@user`;
- telephone numbers of four groups, two of them in a row, or one before a year: Java makes one token of them;
- a no-break space before an address that ends in .com or the like: Java makes one token of both;
- letters that Unicode got after Java's tables are kept here and dropped there; signs for numbers (Roman, circled)
  and rare marks of South Asian scripts may be cut otherwise;
- markup and the part of an e-mail address before the @ are read up to 500 and 64 characters;
- line separators and lone markup that reaches into the next caption: spaces here; in Java's output they shift all
  captions that follow.
"""
# ruff: noqa: RUF001, the typographic signs are meant

from __future__ import annotations

import re

from cvbench.language.abbreviations import (
    ABBREVIATIONS,
    CAPITAL_ABBREVIATIONS,
    CONTRACTIONS,
    SENTENCE_STARTERS,
)
from cvbench.language.token_rules import GAP, MARKUP, RULES, SIMPLE_WORD

NAME = "cvbench-ptb"
VERSION = 1
LABEL = f"{NAME} {VERSION}"  # as protocols and results name it

_PLAIN = re.compile(r"[A-Za-z, ]*(\.?) *")
_KEEP_STOP = ABBREVIATIONS | CAPITAL_ABBREVIATIONS
_CONTRACTED = frozenset(CONTRACTIONS)
_BARE = str.maketrans(",.", "  ")

# what pycocoevalcap removes, and the signs that the tokenizer makes such
_REMOVED = {"''", "``", "&quot;", "&nbsp;", *"'`\"?!,:;“”‘’‛‹›«»–—―…"}
_RUN_REMOVED = re.compile(r"\.+|-+")
_WRITTEN = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3",
    "€": "$", "¤": "$", "₠": "$", "£": "#", "¢": "cents", "&amp;": "&", "&lt;": "<", "&gt;": ">",
}  # fmt: skip
_BRACKETS = {written: sign for sign, written in _WRITTEN.items() if written.endswith("b-")}
_IN_TOKEN = str.maketrans({"(": "-lrb-", ")": "-rrb-", " ": "\u00a0", "\t": "\u00a0"})
# the soft hyphen, what Java holds in two halves, and Windows' signs in Latin-1's place
_FOREIGN = re.compile("[\u00ad\x80\x91-\x97]|[\U00010000-\U0010ffff]+")
_FOREIGN_AS = {"\u00ad": "", **dict(zip("\x80\x91\x92\x93\x94\x96\x97", "€‘’“”–—", strict=True))}
_SENTENCE = re.compile(rf"\s+([A-Z][A-Za-z]*)(?=[\s.]|$)|\s*$|\s+{MARKUP}(?=\s|$)")


def tokens(caption: str) -> list[str]:
    """The caption's words in lower case, without punctuation.

    caption: any text, as a person or a model wrote it; line breaks count as spaces.
    Takes a time that grows with the caption's length.

    >>> tokens("A man doesn't cross St. James Ave., he's 6 1/2 ft. tall.")
    ['a', 'man', 'does', "n't", 'cross', 'st.', 'james', 'ave.', 'he', "'s", '6\\xa01/2', 'ft.', 'tall']
    """
    plain = _PLAIN.fullmatch(caption)
    if plain is not None:
        words = caption.translate(_BARE).lower().split()
        stop = plain[1] and words and words[-1] in _KEEP_STOP
        if not stop and _CONTRACTED.isdisjoint(words):
            return words
    return _read(caption)


def _read(caption: str) -> list[str]:
    """The same for any caption, token by token."""
    if not caption.isascii():
        caption = _FOREIGN.sub(lambda found: _FOREIGN_AS.get(found[0], " "), caption)
    found: list[str] = []
    place = 0
    while place < len(caption):
        gap = GAP.match(caption, place)
        if gap is not None:
            place = gap.end()
            continue
        word = SIMPLE_WORD.match(caption, place)
        end = word.end() if word is not None else _token_end(caption, place)
        found += _written(caption[place:end])
        place = end
    return found


def _token_end(caption: str, place: int) -> int:
    """Where the token that begins at `place` ends: the longest match's."""
    longest, end = place + 1, place + 1
    for rule in RULES:
        match = rule.match(caption, place)
        if match is not None and match.end() > longest:
            longest, end = match.end(), match.end(match.lastindex or 0)
    if (
        end == place + 2
        and caption[place + 1] == "."
        and caption[place].isalpha()
        and caption[place].isascii()
        and _ends_sentence(caption, end)
    ):
        return place + 1
    return end


def _ends_sentence(caption: str, place: int) -> bool:
    """Whether a single letter's stop, which ends at `place`, is the end of a sentence."""
    follows = _SENTENCE.match(caption, place)
    return follows is not None and (follows[1] is None or follows[1].lower() in SENTENCE_STARTERS)


def _written(token: str) -> tuple[str, ...]:
    """How the tokenizer writes a token: nothing for punctuation, two for a contraction."""
    if token in _REMOVED or _RUN_REMOVED.fullmatch(token):
        return ()
    if token in _WRITTEN:
        return (_WRITTEN[token],)
    token = token.lower()
    if token in CONTRACTIONS:
        return CONTRACTIONS[token]
    if token[0] == "’" and token[1:] in ("s", "d", "ll", "ve", "re", "m"):
        return ("'" + token[1:],)
    if token == "n’t":
        return ("n't",)
    return (token.translate(_IN_TOKEN),)


def text_of(words: list[str]) -> str:
    """The words as a caption of which `tokens` gives them back: brackets as people write them.

    >>> text_of(["a", "sign", "-lrb-", "red", "-rrb-"])
    'a sign ( red )'
    """
    return " ".join(_BRACKETS.get(word, word) for word in words)
