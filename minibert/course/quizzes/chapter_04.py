"""The quiz of chapter 4, the encoder."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "In “The bank of the river was muddy.” you replace the vector of “river” on its way into a "
        "block. Which steps of the block can change “bank”?",
        "b",
        (
            Option("every step, because all of them work on the whole matrix of vectors",
                   "The program does handle all rows together, but the feed-forward and LayerNorm "
                   "compute each row from that row alone."),
            Option("attention alone", "Only attention mixes rows. All other steps, the sums "
                   "included, compute a token's vector from that token's own vectors."),
            Option("attention and LayerNorm", "LayerNorm takes the mean over the D numbers of "
                   "one token. It never looks at a neighbour."),
            Option("the feed-forward, because it has the most parameters", "Its parameters are "
                   "the same for every token, and it sees one token at a time."),
        ),
        "The feed-forward: every token alone",
    ),
    Question(
        "A colleague deletes the activation from every feed-forward. What is lost?",
        "d",
        (
            Option("A little speed, and nothing else", "Activations cost little time. What's lost "
                   "is what the block can compute."),
            Option("Nothing, because attention has a softmax", "The softmax decides where a token "
                   "looks. What the token takes is still a weighted mean of values."),
            Option("The wide vector has fewer than F numbers", "The matrices keep their shapes."),
            Option("Each pair of matrices now does no more than one matrix",
                   "Two linear layers in a row are one linear layer."),
        ),
        "Where the non-linearity sits",
    ),
    Question(
        "Which line is BERT's?",
        "a",
        (
            Option("`x = norm(x + sublayer(x))`", "BERT is post-LN: first the sum, "
                   "then LayerNorm."),
            Option("`x = x + sublayer(norm(x))`", "That is pre-LN, which GPT-2 uses. "
                   "BERT's weights give other numbers in it."),
            Option("`x = x + norm(sublayer(x))`", "Here nothing normalises the sum, so "
                   "vectors grow from block to block."),
            Option("`x = norm(sublayer(x))`", "The residual sum is missing. Without it, the tokens "
                   "of a sentence soon become one vector."),
        ),
        "The block",
    ),
    Question(
        "You take the residual sums out of a fresh stack of twelve blocks and keep LayerNorm. What "
        "reaches the top?",
        "c",
        (
            Option("Vectors of enormous length, since nothing holds them back",
                   "LayerNorm fixes the length of every vector, with or without the sums."),
            Option("The embeddings, hardly changed", "That would need a sum: without it, no path "
                   "leads past the blocks."),
            Option("Nearly the same vector for every token", "In a fresh model attention looks "
                   "everywhere about equally, so every token becomes the mean of all."),
            Option("Zeros", "LayerNorm divides by the spread, so it doesn't let a vector shrink to "
                   "zero."),
        ),
        "Experiment: take a part out",
    ),
    Question(
        "You double D in BERT and keep F = 4 D. What happens to the parameters of one block?",
        "b",
        (
            Option("They double", "Every matrix grows in both of its dimensions."),
            Option("They grow about fourfold, in attention and the feed-forward alike",
                   "Attention has four matrices of D × D, the feed-forward has two of "
                   "D × 4D, and all of them grow with D²."),
            Option("They grow about fourfold, and attention overtakes the feed-forward",
                   "Both grow with D², so their proportion stays."),
            Option("They grow eightfold, because F grows as well", "F grows with D, so D × F grows "
                   "fourfold."),
        ),
        "Where 110 million parameters sit",
    ),
)  # fmt: skip
