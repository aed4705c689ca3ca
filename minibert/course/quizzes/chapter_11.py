"""The quiz of chapter 11, a real BERT."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "A program loads a published BERT with strict=False and raises no error. What do you know "
        "about its weights?",
        "d",
        (
            Option("They are all loaded, because every matrix has the right shape",
                   "A shape is only compared if the name fits. A tensor with another name is "
                   "passed over."),
            Option("The body is loaded, and only the heads may be missing",
                   "That's what people hope. If all names have a prefix too many, the body is "
                   "random, too."),
            Option("They are loaded, but perhaps in the wrong order",
                   "Tensors are loaded by their names, so the order in the file doesn't matter."),
            Option("Nothing: it may be random from top to bottom",
                   "strict=False skips what doesn't fit, and a random model runs as well as a "
                   "trained one."),
        ),
        "Mistakes people make here",
    ),
    Question(
        "You compare your model with Hugging Face's. The embeddings agree within a millionth, and "
        "so do the states after layers 0 to 2. After layer 3 the states differ by 0.4. Where do "
        "you look?",
        "b",
        (
            Option("In LayerNorm's eps, which is in every layer",
                   "It would show in the embeddings, whose LayerNorm has an eps as well."),
            Option("In layer 3",
                   "All that goes into layer 3 is right, and what comes out isn't. So the mistake "
                   "is in between, perhaps in that layer's weights."),
            Option("Nowhere, because rounding errors add up",
                   "Rounding grows gradually and stays far below 0.0001. A jump to 0.4 isn't "
                   "rounding."),
            Option("In the tokenizer, whose ids must be wrong",
                   "With other ids, the embeddings would already differ."),
        ),
        "Layer by layer",
    ),
    Question(
        "In a search with sentence vectors, long vectors come first whatever you ask. What went "
        "wrong?",
        "a",
        (
            Option("The vectors weren't divided by their lengths",
                   "A dot product grows with the lengths of both vectors. A cosine compares their "
                   "directions alone."),
            Option("Padding was averaged in",
                   "That changes the vectors of short texts in a batch with long ones. It doesn't "
                   "favour long vectors as such."),
            Option("The question has no words in common with the texts",
                   "The model doesn't need common words. The same would happen with them."),
            Option("The texts were cut after 128 tokens",
                   "Then the end of a text isn't in its vector, but that doesn't make vectors "
                   "longer."),
        ),
        "Sentence vectors",
    ),
    Question(
        "You train a sentence-vector model further, on masked words of your own texts. Then you "
        "use its vectors to search in the same texts. What should you expect?",
        "c",
        (
            Option("A better search, because it knows these texts now",
                   "It learned to name words at blanks. Nothing in that loss asks for a good mean "
                   "of the states."),
            Option("The same search, because the head is new and the body is old",
                   "Training changed the body as well, and the vectors come from the body."),
            Option("A worse search, because new training overwrites old",
                   "The new loss moves the same weights. In this chapter, 100 steps cost half of "
                   "what the search had found."),
            Option("No search is possible, because the vectors have another size",
                   "The size stays D. It's the content that changes."),
        ),
        "Pass it on",
    ),
    Question(
        "A model has 22.7 million weights, and 10.6 million of them are in its layers. About how "
        "many operations per token do its layers take to train, apart from attention's own "
        "products?",
        "b",
        (
            Option("6 × 22.7 million",
                   "Half of the weights are the token matrix. At the input, its rows are looked up "
                   "and not multiplied."),
            Option("6 × 10.6 million",
                   "Each weight takes a multiplication and an addition forward, and the backward "
                   "pass takes twice as many."),
            Option("2 × 10.6 million",
                   "That's the forward pass. Training also goes backward, which costs twice as "
                   "much."),
            Option("16 × 22.7 million",
                   "16 is the number of bytes per weight that training keeps in memory."),
        ),
        "What it would cost",
    ),
)  # fmt: skip
