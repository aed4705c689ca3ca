"""Templates of minimal pairs: two sentences that differ in one point, and only one is grammatical.

A template is a sentence with marks in it:

- `{book}` is a slot. Each pair takes one value from the list of that name in `WORDS`.
- `[dog/dogs]` alternates. Every filling of the slots gives two pairs, one with all left sides and
  one with all right sides.
- `<is/are>` is the contrast. The good sentence takes the side that fits its `[ ]`, and the bad
  sentence the side that does not.

So `the [dog/dogs] <is/are> here.` gives "the dog is here" against "the dog are here", and "the dogs
are here" against "the dogs is here". Each form is right in half of the pairs, so a model that
always prefers the more frequent form scores 50 %. If the contrast is the order of words, a second
sentence has the words of the first in another order, and word frequencies cannot choose either.

The form follows BLiMP (Warstadt et al., 2020, section 3) and Zorro (Huebner et al., 2021). The
templates and words are our own. Everything is in lower case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# --- words: singular/plural, or male/female. Lists of the same template share no word. -----------

PEOPLE = (
    "boy/boys girl/girls man/men woman/women child/children teacher/teachers student/students "
    "doctor/doctors farmer/farmers soldier/soldiers friend/friends worker/workers writer/writers "
    "player/players driver/drivers citizen/citizens"
)
OTHERS = (
    "king/kings queen/queens lawyer/lawyers judge/judges captain/captains officer/officers "
    "leader/leaders artist/artists singer/singers nurse/nurses mother/mothers father/fathers "
    "brother/brothers sister/sisters neighbor/neighbors president/presidents"
)
EVERYONE = f"{PEOPLE} {OTHERS}"
THINGS = (
    "book/books car/cars picture/pictures chair/chairs box/boxes ship/ships letter/letters "
    "bird/birds dog/dogs cat/cats horse/horses stone/stones bag/bags coat/coats boat/boats "
    "key/keys flower/flowers ring/rings map/maps cup/cups"
)
FURNITURE = (
    "door/doors window/windows table/tables tree/trees house/houses wall/walls bed/beds "
    "building/buildings bridge/bridges tower/towers"
)
COUPLES = (
    "boy/girl king/queen brother/sister son/daughter prince/princess actor/actress "
    "gentleman/lady grandfather/grandmother"
)
PARENTS = "man/woman father/mother husband/wife uncle/aunt"


def _left(pairs: str) -> str:
    return " ".join(pair.split("/")[0] for pair in pairs.split())


def _right(pairs: str) -> str:
    return " ".join(pair.split("/")[1] for pair in pairs.split())


def _both(pairs: str) -> str:
    return f"{_left(pairs)} {_right(pairs)}"


# The values of each slot, separated by commas if there is one, and by blanks otherwise.
_LISTS = {
    # people
    "boy": PEOPLE,
    "boy_or_king": EVERYONE,
    "couple": COUPLES,
    "couple_or_parents": f"{COUPLES} {PARENTS}",
    "kings": _both(OTHERS),
    "male": "man/men boy/boys king/kings father/fathers brother/brothers son/sons husband/husbands "
    "uncle/uncles prince/princes gentleman/gentlemen",
    "nobody": ",".join(["nobody", *(f"no {noun}" for noun in _left(OTHERS).split())]),
    "other": _left(OTHERS),
    "parent": _both(PARENTS),
    "people": _right(EVERYONE),
    "person": _left(PEOPLE),
    "person_or_other": _left(EVERYONE),
    "persons": _both(PEOPLE),
    "persons_or_others": _both(EVERYONE),
    # things
    "book": THINGS,
    "bread": "water money bread milk food gold paper wood coffee sugar",
    "door": _both(FURNITURE),
    "foot": "man/men woman/women child/children foot/feet tooth/teeth mouse/mice knife/knives "
    "leaf/leaves wolf/wolves goose/geese",
    "thing": _left(THINGS),
    "thing_or_door": _left(f"{THINGS} {FURNITURE}"),
    "things": _right(THINGS),
    "things_or_doors": _right(f"{THINGS} {FURNITURE}"),
    # pronouns and determiners
    "every": "the this that every another",
    "he": "he/him she/her they/them we/us",
    "here_or_it": "here/it there/them today/it again/them yesterday/it",
    "it": "it them this these",
    "mine": "this one, that one, mine, yours",
    "this": "this/these that/those",
    "two": "two three four five many several",
    "us": "us/today me/again him/yesterday them/later her/once you/often",
    "which": "which whose what",
    # qualities, places, times
    "adjective": "old new big small good red white black beautiful strange great",
    "here": "here there yesterday today again",
    "in_the_house": "in the garden, near the river, in the city, in the street, at the station, "
    "on the island, in the house, on the table",
    "near": "near behind under by",
    "old": "old new big small good strange",
    "state": "old young happy tired ill poor rich here there late angry free ready",
    "when": "yesterday, again, last night, last week, last year, at first, in the end, once more",
    "where": "in the garden, near the river, at home, in the city, in the street, at the station, "
    "in the country, on the island",
    "while": "before after while",
    "why": "where when why how",
    # auxiliary verbs
    "be": "is/are was/were",
    "can": "can will should may",
    "could": "did can will should could must",
    "did": "did will can should must could",
    "had": "had/then has/once had/soon has/later had/first",
    "was": "was is",
    # verbs
    "been": "been here, been happy, come back, gone home, been free, done it, lived here, "
    "been rich",
    "bought": "bought found took brought wanted needed kept carried received sent",
    "buy": "see buy find take bring get use",
    "carry": "see want need use carry hold",
    "go": "go come work leave stay sleep win sing wait",
    "has": "has had saw wanted found bought",
    "hurt": "saw hurt helped saved washed blamed defended protected warned",
    "is_old": "is old, is young, is happy, is tired, is here, is rich, is free",
    "knew": "saw knew met liked loved helped followed called",
    "knows": "knows knew remembered saw forgot heard learned",
    "play": "go work sleep stay live play begin vote",
    "saw": "saw found liked loved remembered drew wanted",
    "see": "see know meet like love help follow call hear visit",
    "slept": "slept smiled died arrived fell came went waited appeared laughed",
    "sold": "bought found took brought received sold",
    "taken": "taken/took given/gave seen/saw known/knew chosen/chose broken/broke stolen/stole "
    "drawn/drew eaten/ate thrown/threw written/wrote driven/drove worn/wore begun/began done/did",
    "think": "think know hope say believe",
    "thinks": "thinks knows says believes said knew heard believed",
    "want": "want ask tell need expect allow",
    "works": "works/work lives/live plays/play walks/walk waits/wait sleeps/sleep stays/stay "
    "speaks/speak runs/run stands/stand remains/remain",
    "works_hard": "works hard, lives here, sings well, sleeps well, lives well, works here, "
    "knows it",
}
WORDS = {
    slot: tuple(map(str.strip, text.split("," if "," in text else None)))
    for slot, text in _LISTS.items()
}

# --- phenomena -----------------------------------------------------------------------------------

SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Template:
    """One phenomenon."""

    name: str
    category: str
    """The linguistic category, in BLiMP's terms if it has one."""
    good: str
    bad: str = ""
    """Empty if `<a/b>` in `good` is the contrast."""

    @property
    def slots(self) -> dict[str, tuple[str, ...]]:
        """The values of each slot, in the order of the slots in `good`."""
        return {slot: WORDS[slot] for slot in SLOT.findall(self.good)}


# A sentence, or two if the contrast is the order of words: the good one and the bad one.
_SENTENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "subject-verb agreement": {
        "verb_next_to_subject": ("the [{boy}] <{works}> {where}.",),
        "verb_across_prepositional_phrase": ("the [{book}] {near} the {door} <{be}> {adjective}.",),
        "verb_across_relative_clause": ("the [{boy}] that the {kings} {knew} <{be}> {state}.",),
        "verb_in_question": ("<{be}> the [{boy_or_king}] {where}?",),
    },
    "anaphor agreement": {
        "reflexive_gender": ("{every} [{couple_or_parents}] {hurt} <himself/herself> {when}.",),
        "reflexive_number": ("the [{male}] {hurt} <himself/themselves> {when}.",),
    },
    "binding": {
        "reflexive_in_embedded_clause": (
            "the {parent} {thinks} that the [{couple}] {hurt} <himself/herself>.",
        ),
    },
    "determiner-noun agreement": {
        "determiner_next_to_noun": ("the {person} {bought} <{this}> [{book}].",),
        "determiner_across_adjective": (
            "the {person_or_other} {bought} <{this}> {adjective} [{book}].",
        ),
    },
    "irregular forms": {
        "irregular_plural": ("the {other} {saw} [{this}] {old} <{foot}>.",),
        "irregular_participle": ("the {person_or_other} [{had}] <{taken}> {it}.",),
    },
    "NPI licensing": {
        "ever_in_scope_of_nobody": (
            "{nobody} who {knew} the {person} has ever {been}.",
            "the {person} who {nobody} {knew} has ever {been}.",
        ),
        "any_after_negation": (
            "the {people} did not {buy} any {things} {when}.",
            "any {people} did not {buy} the {things} {when}.",
        ),
    },
    "filler-gap dependencies": {
        "what_with_gap_that_without": (
            "the {person} {knows} <what/that> the {other} {bought} [{here}/{bread}].",
        ),
    },
    "island effects": {
        "adjunct_island": (
            "what did the {person} {carry} {while} the {other} {sold} the {thing}?",
            "what did the {person} {carry} the {thing} {while} the {other} {sold}?",
        ),
        "coordinate_structure": (
            "who {did} the {persons} and the {kings} {see}?",
            "who {did} the {persons} {see} and the {kings}?",
        ),
        "left_branch": (
            "{which} {thing_or_door} did the {person_or_other} {buy}?",
            "{which} did the {person_or_other} {buy} {thing_or_door}?",
        ),
    },
    "argument structure": {
        "transitive_verb_with_object": (
            "the {person_or_other} <{slept}/{bought}> [{here_or_it}].",
        ),
        "told_someone_said_something": (
            "the {person} <told/said> [{us}] that the {other} {was} {state}.",
        ),
    },
    "quantifiers": {
        "existential_there": (
            "[there was/] <a/every> {thing} [/except {mine} was] {in_the_house}.",
        ),
        "much_or_many": ("the {persons} did not {buy} <much/many> [{bread}/{things_or_doors}].",),
    },
    "ellipsis": {
        "noun_ellipsis": (
            "the {person} {has} one {adjective} {thing} and the {other} {has} {two}.",
            "the {person} {has} one {thing} and the {other} {has} {two} {adjective}.",
        ),
        "verb_phrase_ellipsis": (
            "the {person} [{is_old}/{works_hard}] and the {other} <is/does> too.",
        ),
    },
    "pronoun case": {
        "subject_or_object_pronoun": ("the {people} [{think}/{want}] <{he}> [{can}/to] {go}.",),
    },
    "subject-auxiliary inversion": {
        "inversion_in_question": (
            "{why} {could} the {persons_or_others} {play}?",
            "{why} the {persons_or_others} {could} {play}?",
        ),
    },
}
TEMPLATES = [
    Template(name, category, *sentences)
    for category, templates in _SENTENCES.items()
    for name, sentences in templates.items()
]
