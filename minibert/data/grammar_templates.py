"""Templates of minimal pairs: two sentences that differ in one point, and only one is grammatical.

A template is a sentence with marks in it:

- `{thing}` is a slot. Each pair takes one value from the list of that name.
- `[dog/dogs]` alternates. Every filling of the slots gives two pairs, one with all left sides and
  one with all right sides.
- `<is/are>` is the contrast. The good sentence takes the side that fits its `[ ]`, and the bad
  sentence takes the other side.

So `the [dog/dogs] <is/are> here.` gives "the dog is here" against "the dog are here", and "the dogs
are here" against "the dogs is here". Each form is right in half of the pairs, so a model that
always prefers the more frequent form scores 50 %. If the contrast is the order of words, `bad` has
the words of `good` in another order, and word frequencies cannot choose either.

The form follows BLiMP (Warstadt et al., 2020, section 3) and Zorro (Huebner et al., 2021). The
templates and words are our own. Everything is in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """One phenomenon."""

    name: str
    category: str
    """The linguistic category, in BLiMP's terms if it has one."""
    good: str
    slots: Mapping[str, tuple[str, ...]]
    bad: str = ""
    """Empty if `<a/b>` in `good` is the contrast."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(","))


def _one(nouns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(noun.split("/")[0] for noun in nouns)


def _many(nouns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(noun.split("/")[1] for noun in nouns)


def _both(nouns: tuple[str, ...]) -> tuple[str, ...]:
    return _one(nouns) + _many(nouns)


# --- words -------------------------------------------------------------------------------------
# Singular/plural, or male/female. Lists of the same template share no word.

PEOPLE = _words(
    "boy/boys girl/girls man/men woman/women child/children teacher/teachers student/students "
    "doctor/doctors farmer/farmers soldier/soldiers friend/friends worker/workers writer/writers "
    "player/players driver/drivers citizen/citizens"
)
OTHERS = _words(
    "king/kings queen/queens lawyer/lawyers judge/judges captain/captains officer/officers "
    "leader/leaders artist/artists singer/singers nurse/nurses mother/mothers father/fathers "
    "brother/brothers sister/sisters neighbor/neighbors president/presidents"
)
THINGS = _words(
    "book/books car/cars picture/pictures chair/chairs box/boxes ship/ships letter/letters "
    "bird/birds dog/dogs cat/cats horse/horses stone/stones bag/bags coat/coats boat/boats "
    "key/keys flower/flowers ring/rings map/maps cup/cups"
)
FURNITURE = _words(
    "door/doors window/windows table/tables tree/trees house/houses wall/walls bed/beds "
    "building/buildings bridge/bridges tower/towers"
)
COUPLES = _words(
    "boy/girl king/queen brother/sister son/daughter prince/princess actor/actress "
    "gentleman/lady grandfather/grandmother"
)
PARENTS = _words("man/woman father/mother husband/wife uncle/aunt")
MALES = _words(
    "man/men boy/boys king/kings father/fathers brother/brothers son/sons husband/husbands "
    "uncle/uncles prince/princes gentleman/gentlemen"
)
IRREGULAR_NOUNS = _words(
    "man/men woman/women child/children foot/feet tooth/teeth mouse/mice knife/knives leaf/leaves "
    "wolf/wolves goose/geese"
)
PARTICIPLES = _words(
    "taken/took given/gave seen/saw known/knew chosen/chose broken/broke stolen/stole drawn/drew "
    "eaten/ate thrown/threw written/wrote driven/drove worn/wore begun/began done/did"
)
MASS = _words("water money bread milk food gold paper wood coffee sugar")

BE = ("is/are", "was/were")
DETERMINERS = ("this/these", "that/those")
ADJECTIVES = _words("old new big small good red white black beautiful strange great")
STATES = _words("old young happy tired ill poor rich here there late angry free ready")
WHERE = _phrases(
    "in the garden, near the river, at home, in the city, in the street, at the station, "
    "in the country, on the island"
)
WHEN = _phrases(
    "yesterday, again, last night, last week, last year, at first, in the end, once more"
)
TRANSITIVE_BASE = _words("see buy find take bring get use")
TRANSITIVE = _words("bought found took brought wanted needed kept carried received sent")
"""Each needs an object."""
INTRANSITIVE = _words("slept smiled died arrived fell came went waited appeared laughed")
KNOWING = _words("saw knew met liked loved helped followed called")
KNOWING_BASE = _words("see know meet like love help follow call hear visit")
HURTING = _words("saw hurt helped saved washed blamed defended protected warned")

# --- phenomena ---------------------------------------------------------------------------------

SUBJECT_VERB = "subject-verb agreement"
ANAPHOR = "anaphor agreement"
BINDING = "binding"
DETERMINER = "determiner-noun agreement"
IRREGULAR = "irregular forms"
NPI = "NPI licensing"
FILLER_GAP = "filler-gap dependencies"
ISLANDS = "island effects"
ARGUMENTS = "argument structure"
QUANTIFIERS = "quantifiers"
ELLIPSIS = "ellipsis"
CASE = "pronoun case"
INVERSION = "subject-auxiliary inversion"

TEMPLATES = (
    Template(
        "verb_next_to_subject",
        SUBJECT_VERB,
        "the [{person}] <{verb}> {where}.",
        {
            "person": PEOPLE,
            "verb": _words(
                "works/work lives/live plays/play walks/walk waits/wait sleeps/sleep stays/stay "
                "speaks/speak runs/run stands/stand remains/remain"
            ),
            "where": WHERE,
        },
    ),
    Template(
        "verb_across_prepositional_phrase",
        SUBJECT_VERB,
        "the [{thing}] {near} the {attractor} <{be}> {adjective}.",
        {
            "thing": THINGS,
            "near": _words("near behind under by"),
            "attractor": _both(FURNITURE),
            "be": BE,
            "adjective": ADJECTIVES,
        },
    ),
    Template(
        "verb_across_relative_clause",
        SUBJECT_VERB,
        "the [{person}] that the {attractor} {knew} <{be}> {state}.",
        {
            "person": PEOPLE,
            "attractor": _both(OTHERS),
            "knew": KNOWING,
            "be": BE,
            "state": STATES,
        },
    ),
    Template(
        "verb_in_question",
        SUBJECT_VERB,
        "<{be}> the [{person}] {where}?",
        {"person": PEOPLE + OTHERS, "be": BE, "where": WHERE},
    ),
    Template(
        "reflexive_gender",
        ANAPHOR,
        "{the} [{couple}] {hurt} <himself/herself> {when}.",
        {
            "the": _words("the this that every another"),
            "couple": COUPLES + PARENTS,
            "hurt": HURTING,
            "when": WHEN,
        },
    ),
    Template(
        "reflexive_number",
        ANAPHOR,
        "the [{male}] {hurt} <himself/themselves> {when}.",
        {"male": MALES, "hurt": HURTING, "when": WHEN},
    ),
    Template(
        "reflexive_in_embedded_clause",
        BINDING,
        "the {parent} {thinks} that the [{couple}] {hurt} <himself/herself>.",
        {
            "parent": _both(PARENTS),
            "thinks": _words("thinks knows says believes said knew heard believed"),
            "couple": COUPLES,
            "hurt": HURTING,
        },
    ),
    Template(
        "determiner_next_to_noun",
        DETERMINER,
        "the {person} {bought} <{this}> [{thing}].",
        {"person": _one(PEOPLE), "bought": TRANSITIVE, "this": DETERMINERS, "thing": THINGS},
    ),
    Template(
        "determiner_across_adjective",
        DETERMINER,
        "the {person} {bought} <{this}> {adjective} [{thing}].",
        {
            "person": _one(PEOPLE + OTHERS),
            "bought": TRANSITIVE,
            "this": DETERMINERS,
            "adjective": ADJECTIVES,
            "thing": THINGS,
        },
    ),
    Template(
        "irregular_plural",
        IRREGULAR,
        "the {other} {saw} [{this}] {adjective} <{noun}>.",
        {
            "other": _one(OTHERS),
            "saw": _words("saw found liked loved remembered drew wanted"),
            "this": DETERMINERS,
            "adjective": _words("old new big small good strange"),
            "noun": IRREGULAR_NOUNS,
        },
    ),
    Template(
        "irregular_participle",
        IRREGULAR,
        "the {person} [{had}] <{taken}> {it}.",
        {
            "person": _one(PEOPLE + OTHERS),
            "had": _words("had/then has/once had/soon has/later had/first"),
            "taken": PARTICIPLES,
            "it": _words("it them this these"),
        },
    ),
    Template(
        "ever_in_scope_of_nobody",
        NPI,
        "{nobody} who {knew} the {person} has ever {been}.",
        {
            "nobody": ("nobody", *(f"no {noun}" for noun in _one(OTHERS))),
            "knew": KNOWING,
            "person": _one(PEOPLE),
            "been": _phrases(
                "been here, been happy, come back, gone home, been free, done it, lived here, "
                "been rich"
            ),
        },
        bad="the {person} who {nobody} {knew} has ever {been}.",
    ),
    Template(
        "any_after_negation",
        NPI,
        "the {people} did not {buy} any {things} {when}.",
        {
            "people": _many(PEOPLE + OTHERS),
            "buy": TRANSITIVE_BASE,
            "things": _many(THINGS),
            "when": WHEN,
        },
        bad="any {people} did not {buy} the {things} {when}.",
    ),
    Template(
        "what_with_gap_that_without",
        FILLER_GAP,
        "the {person} {knows} <what/that> the {other} {bought} [{here}/{bread}].",
        {
            "person": _one(PEOPLE),
            "knows": _words("knows knew remembered saw forgot heard learned"),
            "other": _one(OTHERS),
            "bought": TRANSITIVE,
            "here": _words("here there yesterday today again"),
            "bread": MASS,
        },
    ),
    Template(
        "adjunct_island",
        ISLANDS,
        "what did the {person} {buy} {before} the {other} {sold} the {thing}?",
        {
            "person": _one(PEOPLE),
            "buy": _words("see want need use carry hold"),
            "before": _words("before after while"),
            "other": _one(OTHERS),
            "sold": _words("bought found took brought received sold"),
            "thing": _one(THINGS),
        },
        bad="what did the {person} {buy} the {thing} {before} the {other} {sold}?",
    ),
    Template(
        "coordinate_structure",
        ISLANDS,
        "who {did} the {person} and the {other} {see}?",
        {
            "did": _words("did will can should must could"),
            "person": _both(PEOPLE),
            "other": _both(OTHERS),
            "see": KNOWING_BASE,
        },
        bad="who {did} the {person} {see} and the {other}?",
    ),
    Template(
        "left_branch",
        ISLANDS,
        "{which} {thing} did the {person} {buy}?",
        {
            "which": _words("which whose what"),
            "thing": _one(THINGS + FURNITURE),
            "person": _one(PEOPLE + OTHERS),
            "buy": TRANSITIVE_BASE,
        },
        bad="{which} did the {person} {buy} {thing}?",
    ),
    Template(
        "transitive_verb_with_object",
        ARGUMENTS,
        "the {person} <{slept}/{bought}> [{here}].",
        {
            "person": _one(PEOPLE + OTHERS),
            "slept": INTRANSITIVE,
            "bought": TRANSITIVE,
            "here": _words("here/it there/them today/it again/them yesterday/it"),
        },
    ),
    Template(
        "told_someone_said_something",
        ARGUMENTS,
        "the {person} <told/said> [{us}] that the {other} {was} {state}.",
        {
            "person": _one(PEOPLE),
            "us": _words("us/today me/again him/yesterday them/later her/once you/often"),
            "other": _one(OTHERS),
            "was": _words("was is"),
            "state": STATES,
        },
    ),
    Template(
        "existential_there",
        QUANTIFIERS,
        "[there was/] <a/every> {thing} [/except {this} was] {where}.",
        {
            "thing": _one(THINGS),
            "this": _phrases("this one, that one, mine, yours"),
            "where": _phrases(
                "in the garden, near the river, in the city, in the street, at the station, "
                "on the island, in the house, on the table"
            ),
        },
    ),
    Template(
        "much_or_many",
        QUANTIFIERS,
        "the {person} did not {buy} <much/many> [{bread}/{things}].",
        {
            "person": _both(PEOPLE),
            "buy": TRANSITIVE_BASE,
            "bread": MASS,
            "things": _many(THINGS + FURNITURE),
        },
    ),
    Template(
        "noun_ellipsis",
        ELLIPSIS,
        "the {person} {has} one {adjective} {thing} and the {other} {has} {two}.",
        {
            "person": _one(PEOPLE),
            "has": _words("has had saw wanted found bought"),
            "adjective": ADJECTIVES,
            "thing": _one(THINGS),
            "other": _one(OTHERS),
            "two": _words("two three four five many several"),
        },
        bad="the {person} {has} one {thing} and the {other} {has} {two} {adjective}.",
    ),
    Template(
        "verb_phrase_ellipsis",
        ELLIPSIS,
        "the {person} [{is}/{works}] and the {other} <is/does> too.",
        {
            "person": _one(PEOPLE),
            "is": _phrases("is old, is young, is happy, is tired, is here, is rich, is free"),
            "works": _phrases(
                "works hard, lives here, sings well, sleeps well, lives well, works here, knows it"
            ),
            "other": _one(OTHERS),
        },
    ),
    Template(
        "subject_or_object_pronoun",
        CASE,
        "the {people} [{think}/{want}] <{he}> [{can}/to] {go}.",
        {
            "people": _many(PEOPLE + OTHERS),
            "think": _words("think know hope say believe"),
            "want": _words("want ask tell need expect allow"),
            "he": _words("he/him she/her they/them we/us"),
            "can": _words("can will should may"),
            "go": _words("go come work leave stay sleep win sing wait"),
        },
    ),
    Template(
        "inversion_in_question",
        INVERSION,
        "{where} {did} the {person} {go}?",
        {
            "where": _words("where when why how"),
            "did": _words("did can will should could must"),
            "person": _both(PEOPLE + OTHERS),
            "go": _words("go work sleep stay live play begin vote"),
        },
        bad="{where} the {person} {did} {go}?",
    ),
)
