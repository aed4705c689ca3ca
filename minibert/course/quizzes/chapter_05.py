"""The quiz of chapter 5, pretraining data."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "Three words of a sentence were chosen. BERT sees `[MASK]` for “bank”, “boats” for “fish”, "
        "and “it” as it was. Which of the three does BERT have to predict?",
        "c",
        (
            Option("Only “bank”, because only “bank” is hidden", "Then BERT would never have to "
                   "predict a visible word, and 80/10/10 would have no purpose."),
            Option("“bank” and “fish”, because these two changed", "“it” was chosen as well. It "
                   "looks untouched, and BERT doesn't know that it was."),
            Option("All three: “bank”, “fish” and “it”", "Every chosen token has its true id as "
                   "its label, whatever BERT sees in its place."),
            Option("Every word of the sentence", "Words that weren't chosen have the label -100, "
                   "and the loss skips them."),
        ),
        "80/10/10, with one draw",
    ),
    Question(
        "BERT reads a word's left and right side together. Why can't it simply predict every word "
        "of the text as it is, without hiding any?",
        "a",
        (
            Option("It would see the word that it has to predict", "A model that reads in both "
                   "directions has every word in front of it. It could copy, and would learn "
                   "nothing else."),
            Option("It would have too many questions to answer", "More questions would be "
                   "welcome. A GPT answers one at every position."),
            Option("The labels would be missing", "The text has them all: each word is its own "
                   "label."),
            Option("A transformer can't predict two words in one pass", "It can. BERT predicts "
                   "all chosen tokens of a batch together."),
        ),
        "Text that asks its own questions",
    ),
    Question(
        "BERT has to predict a token, and at its position it sees the word “the”. Without reading "
        "anything else, how likely is it that “the” is the right answer?",
        "d",
        (
            Option("10 %, because one chosen token in ten is kept", "That is the share of all "
                   "chosen tokens. Here you already know that the token is visible."),
            Option("50 %, because as many are kept as are replaced", "That's true on average over "
                   "all words. But a random token is almost never “the”, and “the” is often kept."),
            Option("It depends on the sentence alone", "The sentence matters for rare words. For "
                   "“the”, its frequency alone all but settles the matter."),
            Option("More than 99 %", "Random tokens are drawn evenly from the vocabulary, so 1 in "
                   "8192 of them is “the”. In the text it's 1 in 14."),
        ),
        "What 80/10/10 is for",
    ),
    Question(
        "A is the last sentence of its document, and the coin says that B should follow A. What "
        "becomes of this pair?",
        "b",
        (
            Option("B is the first sentence of the next document, label 0", "The next document "
                   "doesn't continue A's, so label 0 would be false."),
            Option("B is a random text, label 1", "Nothing follows A, so the coin doesn't "
                   "matter. That's why more than half of the pairs have label 1."),
            Option("B is empty, label 0", "Every pair has two texts."),
            Option("B is a random text, and the label stays 0 because the coin said so", "The "
                   "label says what B is. It doesn't say what the coin wanted."),
        ),
        "Pairs for next sentence prediction",
    ),
    Question(
        "Each batch is a function of (seed, step). A run was killed after step 700. What does its "
        "loader need, so that it makes the same batches as if nothing had happened?",
        "b",
        (
            Option("The state of the random generator after step 700", "A loader with one long "
                   "stream of random numbers would need it. Here each step has its own."),
            Option("The seed, and the number 701", "The generator of step 701 is made from "
                   "these two numbers, and everything in the batch comes from it."),
            Option("A list of the rows that were used", "Which rows are used follows from the "
                   "seed and the step."),
            Option("All batches from step 0, made once more", "No batch depends on the one "
                   "before it."),
        ),
        "A batch is a function of (seed, step)",
    ),
)  # fmt: skip
