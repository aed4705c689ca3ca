"""The quiz of chapter 3, attention."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "A sentence has 5 tokens. A BERT with 12 heads reads it. How many attention weights does "
        "one layer compute?",
        "c",
        (
            Option("5: one for each token", "Each token has a weight for every token, itself "
                   "included, so one head alone makes 5 × 5."),
            Option("25: one for each pair of tokens", "That is one head. All 12 heads have "
                   "weights of their own."),
            Option("300: each head has its own 25",
                   "Every head fills its own 5 × 5 map, and 12 × 25 = 300."),
            Option("60: one for each token, in each head", "A head doesn't give one number to a "
                   "token. It gives a number to each pair of tokens."),
        ),
        "Heads",
    ),
    Question(
        "“bank” looks at “river” with a weight of 0.7. What does “bank” take from “river”?",
        "b",
        (
            Option("0.7 times the key of “river”", "The key only decides how large the weight is. "
                   "It's never added to anything."),
            Option("0.7 times the value of “river”", "The weights are shares of the values. What "
                   "a token takes is the weighted mean of all values."),
            Option("0.7 times the word embedding of “river”", "The value is made from the vector "
                   "of “river” by a learned matrix, so a head can choose what it passes on."),
            Option("the whole value of “river”, because 0.7 is the largest weight", "No weight "
                   "wins alone: each value counts by its share."),
        ),
        "One query, by hand",
    ),
    Question(
        "Why does BERT divide the scores by √K?",
        "a",
        (
            Option("Without it, the scores of a wide head are too far apart",
                   "The standard deviation of a dot product of random vectors grows like √K. A "
                   "softmax over such large scores puts nearly everything on one token, and the "
                   "gradients of some queries nearly vanish while others get far too long."),
            Option("Without it, a row of weights doesn't add up to 1", "The softmax takes care of "
                   "that, whatever the size of the scores."),
            Option("To save computing time", "The division takes a little time and saves none."),
            Option("So that heads of different layers can be compared", "Nothing compares scores "
                   "across layers."),
        ),
        "Why divide by √K?",
    ),
    Question(
        "How does attention ignore padding?",
        "d",
        (
            Option("It multiplies the scores of padding by 0", "A score of 0 still gets a share, "
                   "because exp(0) is 1."),
            Option("It sets the weights of padding to 0 after the softmax", "Then the rows no "
                   "longer add up to 1, so real tokens take too little."),
            Option("It removes padding from the batch", "The batch stays a rectangle. Some fast "
                   "programs do remove padding (chapter 13), but BERT doesn't."),
            Option("It gives padding a very low score before the softmax", "Its "
                   "exponential is 0, and the shares of the real tokens add up to 1."),
        ),
        "Masks: what must not be seen",
    ),
    Question(
        "You shuffle the words of a sentence and run attention without position embeddings. What "
        "happens to the vector of “bank”?",
        "b",
        (
            Option("It changes, because its neighbours are different", "Attention has no idea of "
                   "neighbours: it sees a set of tokens."),
            Option("It stays the same", "Queries, keys and values don't know where a token is, so "
                   "the weighted mean is the same."),
            Option("It becomes the mean of the sentence", "That needs equal weights, and the "
                   "weights don't change."),
            Option("It depends on the head", "This is true of every head: none of them knows the "
                   "order."),
        ),
        "What attention cannot see: order",
    ),
)  # fmt: skip
