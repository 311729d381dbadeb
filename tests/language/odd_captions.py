"""Captions composed of whatever is hard to tokenise, the same on each call."""
# ruff: noqa: RUF001, SIM905, odd signs are meant, and lists of words are read more easily as text

from __future__ import annotations

import random

WORDS = """
a the A The dog Dog DOG I it's don't won't cannot gonna wanna can't he'd we'll they've I'm dogs' o'clock
y'all ma'am rock'n'roll 'n' 'em 'til 'tis t-shirt four-wheel-drive 4-wheel x-ray and/or w/o
black/white/red AT&T r&b M&M's st. ave. blvd. mr. Dr. St. etc. no. vs. Jr. inc. U.S. u.s.a t.v. T.V.'s
a.m. p.m. e.g. Ph.D. a. b. c. B. café naïve ñandú 日本 für Ελλάς привет e\u0301t x_y foo.bar foo.com
www.foo.com http://foo.com/a?b=c me@foo.com @user #tag <b> </b> <br/> <a
""".split()
NUMBERS = """
1 22 22 3/4 1/2 3-5 5:30 5:30pm 5pm 10am 1,000 3.5 .5 -5 +5 1st 22nd 23rd 1990s '90s 12/25/2010
2010-12-25 50% $5 $1,000.50 £5 €5 ¥5 5¢ US$5 #1 ½ 2½ 5° 5x7 6'2" 555-1234 3D
""".split()
SIGNS = """
. , ! ? ; : - -- --- ... .. !! ?! ??? ( ) [ ] { } " ' `` '' ` & % $ # @ * / \\ + = ~ ^ | < > _ “ ” ‘ ’ –
— … « » • × ™ © ° ½ 😀 👍🏽 ♥ → \u00ad \u200b :) ;) :D
""".split()


def odd_captions(count: int, seed: int = 0) -> list[str]:
    """`count` captions of 1 to 14 pieces: words, numbers and signs, mostly with a space between."""
    chance = random.Random(seed)
    return [_caption(chance) for _ in range(count)]


def _caption(chance: random.Random) -> str:
    caption = ""
    for _ in range(chance.randint(1, 14)):
        pieces = chance.choices((WORDS, NUMBERS, SIGNS), (6, 2, 2))[0]
        caption += chance.choice(pieces) + chance.choices((" ", "", ", ", "\t", "\u00a0"), (80, 10, 7, 2, 1))[0]
    return caption + chance.choice(("", ".", " ."))
