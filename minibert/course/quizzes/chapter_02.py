"""The quiz of chapter 2, embeddings."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "Two sentences have “bank” as their second word. In one it's the edge of a river, in the "
        "other it lends money. How do its two vectors differ right before BERT's first layer?",
        "d",
        (
            Option("They point in different directions, because the meanings differ", "Nothing "
                   "before the first layer looks at the other words, so nothing knows the meaning "
                   "in this sentence."),
            Option("They differ by their position rows", "“bank” is at the same position in both "
                   "sentences, so it gets the same position row."),
            Option("They differ by their segment rows", "The segment says which sentence of a "
                   "pair a token belongs to. Both sentences are the first of their input."),
            Option("They don't differ",
                   "Token, position and segment are the same, so their sum is the same, and so is "
                   "its LayerNorm. Attention, in chapter 3, is what separates them."),
        ),
        "Both banks, one row",
    ),
    Question(
        "The word “money” doesn't occur in a batch. Does its row of BERT's token matrix get a "
        "gradient from that batch?",
        "b",
        (
            Option("No, because only rows that were looked up get a gradient", "That's true of "
                   "the look-up alone. BERT uses the same matrix a second time."),
            Option("Yes, because the matrix also scores the guesses at the end",
                   "Every token is scored with its row, so the loss depends on every row."),
            Option("Yes, because similar words share their gradients", "Each row has its own "
                   "gradient. Similar words don't exchange anything."),
            Option("Yes, because LayerNorm mixes all rows", "LayerNorm works on one token at a "
                   "time and never sees the rows of other tokens."),
        ),
        "A row for each id",
    ),
    Question(
        "BERT adds the rows of token, position and segment. Why can they still be read "
        "from the sum?",
        "a",
        (
            Option("Long random rows are nearly perpendicular, so dot products can still read "
                   "each part",
                   "With 128 numbers per row, nearly all sums of three random rows could be read "
                   "back. With 8 numbers, none could."),
            Option("Each of the three rows uses columns that the others leave at 0", "All three "
                   "rows use all D columns. That would be a concatenation."),
            Option("LayerNorm separates the three parts again", "LayerNorm shifts and scales the "
                   "sum. It doesn't know what was added."),
            Option("Position and segment are added again in each layer", "In BERT they are added "
                   "once, before the first layer."),
        ),
        "Three rows, summed",
    ),
    Question(
        "You multiply all numbers of a token's row by 100 before LayerNorm. What comes out?",
        "c",
        (
            Option("A row that's 100 times as large", "Then mean and standard deviation would be "
                   "100 times as large, but LayerNorm makes them 0 and 1 (before gain and bias)."),
            Option("A row that's 10 times as large", "The square root is taken of the variance, "
                   "which is 10,000 times as large. The row is divided by 100 in the end."),
            Option("The same row as before",
                   "Mean and standard deviation grow by the same factor, so it cancels out."),
            Option("A row of zeros, because the numbers are too large", "LayerNorm has no upper "
                   "limit. The factor cancels out."),
        ),
        "LayerNorm, by hand",
    ),
    Question(
        "In chapter 2, a BERT that starts from counted rows soon has a lower loss than one that "
        "starts from random rows. If the same counted rows go to the wrong words, the gain is "
        "lost. What does this show?",
        "a",
        (
            Option("It matters which word has which row",
                   "The shuffled start has the same rows. Only the match between row and word is "
                   "missing, so the match is what helps."),
            Option("The size of the numbers matters", "The shuffled start has numbers of the very "
                   "same size, and it gains nothing."),
            Option("BERT's embeddings are computed from counts", "Google's BERT starts from "
                   "random rows. A start from counts is an optional shortcut."),
            Option("The counted run was lucky, since training is random", "The gap is several "
                   "times as wide as the difference between two seeds of the same start."),
        ),
        "Random start, counted start",
    ),
)  # fmt: skip
