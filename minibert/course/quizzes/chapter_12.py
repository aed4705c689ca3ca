"""The quiz of chapter 12, diffusion."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "A text has 10 tokens. You draw t between 0 and 1, and hide each token with probability t. "
        "How many tokens are hidden?",
        "d",
        (
            Option("Mostly 5, and hardly ever 0 or 10", "That would be true if t were always 0.5, "
                   "as with coins. But t is drawn anew for each text."),
            Option("Mostly 1 or 2, as in BERT", "BERT hides about the same small share each time. "
                   "Here t is as often near 1 as near 0."),
            Option("Mostly 0 or 10, because t is random", "Extreme numbers are no more likely than "
                   "others."),
            Option("Any number from 0 to 10, all equally often", "t is an eleventh random number, "
                   "and it's equally likely to have any rank among the eleven."),
        ),
        "Hiding, a little at a time",
    ),
    Question(
        "In the diffusion loss, each of the n hidden tokens of a text has the weight 1/n. What is "
        "that good for?",
        "b",
        (
            Option("It makes the model try harder on pages that are nearly blank", "It's the other "
                   "way round: without the weight, nearly blank pages would count most."),
            Option("It makes the loss a bound on -log p of the text", "Adding up the mean nats "
                   "for each n gives the mean over all orders of writing, which is the bound."),
            Option("It keeps the loss from growing with the size of the batch", "Any mean does "
                   "that, also the plain mean over all hidden tokens of the batch."),
            Option("It makes up for tokens that are rare in the language", "The weight depends on "
                   "how many tokens are hidden, and not on which ones."),
        ),
        "What should the loss be?",
    ),
    Question(
        "A masked language model loses 2.9 nats per hidden token with 15 % hidden. Counting gives "
        "the same texts 4.7 nats per token, which is an exact probability. What follows?",
        "a",
        (
            Option("Nothing: the two numbers don't measure the same thing", "The model saw 85 % of "
                   "the text, on both sides of each blank. Only a mean over all levels is a "
                   "bound that can be compared."),
            Option("The model is the better language model, by 1.8 nats per token", "It guesses "
                   "with most of the text in view, which counting never has."),
            Option("Counting is better, because its probability is exact", "An exact number can "
                   "still be a bad one."),
            Option("The model is better, but only by 15 % of the difference", "The share that is "
                   "hidden doesn't turn one number into the other."),
        ),
        "Mistakes people make here",
    ),
    Question(
        "“She was born in [MASK] [MASK].” A model writes both blanks in one step and gets “New "
        "Francisco”. What went wrong?",
        "c",
        (
            Option("The model hasn't learned the names of cities", "It may know both. Each word "
                   "is a good guess for its own blank."),
            Option("It drew the words instead of taking the likeliest", "The likeliest words can "
                   "come from two different names as well."),
            Option("Neither word could see what the other became", "Both were drawn "
                   "from guesses that were made while both places were blank. With two steps, the "
                   "second word would see the first."),
            Option("It wrote from left to right", "Both words were written at the same time, in "
                   "no order."),
        ),
        "Write",
    ),
    Question(
        "The bound says that a model finds good texts probable. You let it write by confidence, in "
        "four steps. What does the bound say about what it writes?",
        "b",
        (
            Option("The texts are at least as probable as the bound says", "The bound is about "
                   "given texts, and about a writer who works in another way."),
            Option("Nothing, because the bound is about another writer", "That writer draws one "
                   "token a step, in random order. Other ways of writing have to be measured."),
            Option("The texts are good, because sure tokens are probable", "Sure tokens are often "
                   "clichés, and no probability says that a text makes sense."),
            Option("Four steps cost four times the nats", "The number of steps changes which "
                   "texts come out. It doesn't multiply nats."),
        ),
        "Isn't that just mask-predict?",
    ),
)  # fmt: skip
