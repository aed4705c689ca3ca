"""The quiz of chapter 13, a modern encoder."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "In a head with RoPE, the query of “bank” at position 2 has a score of 1.7 with the key of "
        "“river” at position 5. Now 40 words are put in front of the sentence, and both vectors "
        "stay as they are before the turn. What is the score?",
        "c",
        (
            Option("Larger, because later positions turn further",
                   "Both arrows turn further, and by the same amount. Turning changes no length."),
            Option("Smaller, because both words are farther from the beginning",
                   "The beginning plays no part in it. Only the angle between query and key does."),
            Option("1.7 again", "The angle between query and key depends on the distance, and "
                   "that is still three."),
            Option("It depends on the words in front", "A score compares one query with one key. "
                   "The words in front have scores of their own."),
        ),
        "RoPE: turn, don't add",
    ),
    Question(
        "A GeGLU has a gate of −1 at some place, and GELU gave 0.8 there. What reaches W₃?",
        "a",
        (
            Option("−0.8", "The gate multiplies, and it may be negative."),
            Option("0, because the gate is closed", "Only a gate of 0 is closed. This gate has no "
                   "ReLU or sigmoid that would turn −1 into 0."),
            Option("−0.2, because the two are added", "The gate is a factor. A sum could never "
                   "switch a number off."),
            Option("About −0.17, because GELU(−0.8) is negative", "GELU comes before the gate. Its "
                   "result is multiplied, and no second GELU follows."),
        ),
        "GeGLU: a gate in the feed-forward",
    ),
    Question(
        "Three layers in a row have a window of 64 tokens. A word is 80 tokens to the right of "
        "“bank”. Can it change the vector of “bank”?",
        "d",
        (
            Option("No, 80 is more than 64", "That holds for one layer. In the next layer, a "
                   "neighbour passes on what it has collected."),
            Option("No, a window of 64 reaches 32 tokens, and that stays so in every layer",
                   "32 is right for one layer. The reaches of several layers add up."),
            Option("Yes, in the first layer already", "There, “bank” sees 32 tokens to each side."),
            Option("Yes, after three layers", "Each layer adds 32 tokens to each side, so three "
                   "layers reach 96."),
        ),
        "Local attention",
    ),
    Question(
        "You give each layer of a BERT a mask with a window, and nothing else changes. What "
        "happens to the time for a text of 8,192 tokens?",
        "b",
        (
            Option("It falls to a few percent", "That takes a program that leaves the other scores "
                   "out. A mask hides them when they are there already."),
            Option("It doesn't fall", "All T × T scores are still computed, and the mask itself "
                   "costs time and memory."),
            Option("It halves, because each token sees half of the others", "The time depends on "
                   "what is computed, not on what is seen."),
            Option("It falls in training and stays the same afterwards", "Hidden scores are "
                   "computed in both cases."),
        ),
        "Local attention",
    ),
    Question(
        "After 250 steps, BERT and BERT with GeGLU both score what the most frequent word alone "
        "would score. What does this say about GeGLU?",
        "c",
        (
            Option("That gates are useless", "Neither model has begun to use the context, so the "
                   "gate had nothing to improve."),
            Option("That GeGLU needs more weights", "Both have about the same number, and more of "
                   "them wouldn't end the plateau by themselves."),
            Option("Very little: compare them again in a model that has left the plateau",
                   "On the plateau every feed-forward looks the same."),
            Option("That the difference is 0 for every size", "It's a measurement of one size, "
                   "one recipe and 250 steps."),
        ),
        "Which change helps? The experiment",
    ),
)  # fmt: skip
