"""Words that the tokenizer treats one by one: abbreviations, contractions, words that begin a sentence.

Found out by giving PTBTokenizer every word of one to four letters and half a hundred thousand longer ones; all in
lower case.
"""
# ruff: noqa: SIM905, lists of words are read more easily as text

from __future__ import annotations

#: they keep their full stop, however written
ABBREVIATIONS = frozenset(
    """
    adj adm adv al ala alex apr ariz assn assoc asst atty aug ave bancorp bhd bldg blvd brig bros calif capt cf cie cmdr
    co col colo conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft ga gen gov govs hon
    inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mfg mich minn mlle mme mo mon
    mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc ppte ppty pres prof pte ptes pty ptys pvt rd
    rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt sys tel tenn thu treas tue tues univ va vs vt
    wed wis wisc wm wyo ph.d
    """.split()
)

#: they keep it with a capital at their front alone, being words as well
CAPITAL_ABBREVIATIONS = frozenset("ark az del ill la mass miss ore pa tex wash".split())

#: they keep it before a number
NUMBER_ABBREVIATIONS = frozenset("art ca ext fig figs no nos op p pp prop".split())

#: written as one word, two to a parser
CONTRACTIONS = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "wanna": ("wan", "na"),
    "lemme": ("lem", "me"),
    "gimme": ("gim", "me"),
}

#: with a capital after a single letter and its stop they begin a sentence, so that the stop is the end of one
SENTENCE_STARTERS = frozenset(
    """
    a about according additionally after an as at but earlier he her here however if in it last many more mr now once
    one other our she since so some such that the their then there these they this we what when while yet you
    """.split()
)
