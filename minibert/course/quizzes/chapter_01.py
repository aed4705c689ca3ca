"""The quiz of chapter 1, tokens and segments."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "A vocabulary holds `fish`, `fishe`, `##ed`, `##d` and `##r`. Which tokens does BERT make "
        "of “fished”?",
        "b",
        (
            Option("`fish ##ed`, because that is the stem and its ending", "WordPiece knows "
                   "neither stems nor endings. It only compares lengths."),
            Option("`fishe ##d`", "`fishe` is the longest piece at the beginning, and `##d` is "
                   "the longest piece that fits the rest."),
            Option("either of these, depending on the sentence", "The tokenizer "
                   "looks at one word at a time, so it always splits “fished” in the same way."),
            Option("`[UNK]`, because “fished” isn't in the vocabulary", "A word is only unknown "
                   "if some part of it matches no piece."),
        ),
        "From words to pieces",
    ),
    Question(
        "A tokenizer keeps “river” whole and splits “muddy” into four pieces. What explains this?",
        "d",
        (
            Option("“muddy” is built from “mud” and an ending", "Pieces needn't follow the "
                   "parts of a word. `m ##ud ##d ##y` doesn't."),
            Option("Entries are taken in alphabetical order, and “muddy” came too late",
                   "Merges are chosen by count, whatever letter a piece begins with."),
            Option("Nouns get entries before adjectives do", "No merge knows what a "
                   "noun is."),
            Option("“muddy” was too rare in the text that the vocabulary was learned from",
                   "Merges go to the most frequent pairs. A rare word is left in pieces that "
                   "it shares with other words."),
        ),
        "A vocabulary from the whole corpus",
    ),
    Question(
        "Text A has 3 tokens and text B has 2. Which segment ids does `[CLS] A [SEP] B [SEP]` get?",
        "a",
        (
            Option("0 0 0 0 0 1 1 1", "`[CLS]`, A and the first `[SEP]` are segment 0. B and its "
                   "`[SEP]` are segment 1."),
            Option("0 0 0 0 1 1 1 1", "This counts the first `[SEP]` as part of B. It belongs to "
                   "A."),
            Option("0 0 0 1 1", "Special tokens are tokens like the others, so they need a "
                   "segment too."),
            Option("0 1 1 1 0 2 2 0", "There are only two segments. Special tokens don't have one "
                   "to themselves."),
        ),
        "Special tokens and segments",
    ),
    Question(
        "You give BERT a long and a short sentence in one batch and forget the `attention_mask`. "
        "What happens?",
        "c",
        (
            Option("An error, because the rows have different lengths", "The rows have the same "
                   "length. The short sentence was padded with `[PAD]`."),
            Option("Nothing, because `[PAD]` is a token without a meaning", "To the model, `[PAD]` "
                   "is a token like any other, with a vector that others can read."),
            Option("The vectors of the short sentence change", "Its tokens read the padding as if "
                   "it were text. How much of it there is depends on the other sentence."),
            Option("Both sentences get different vectors", "The long sentence has no padding, so "
                   "nothing changes for it."),
        ),
        "A batch: padding and its mask",
    ),
    Question(
        "You use a BERT with the vocabulary of another BERT. Both have 30,522 entries. What "
        "happens?",
        "b",
        (
            Option("Most words become `[UNK]`", "The other vocabulary has pieces for these "
                   "words, too. It only gives them different ids."),
            Option("It runs, but the model reads words that you never wrote", "An id is a position "
                   "in a list. In another list, the same number is a different piece, and nothing "
                   "complains."),
            Option("The loading fails, because a model checks its vocabulary", "The model only "
                   "sees integers, and these are all in range."),
            Option("Very little, because common words have similar ids everywhere", "Each "
                   "vocabulary has a different order, so the same word gets a different id."),
        ),
        "From words to pieces",
    ),
)  # fmt: skip
