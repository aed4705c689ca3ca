"""The quiz of chapter 6, pretraining."""

from minibert.course.quizzes import Option, Question

QUESTIONS = (
    Question(
        "You start to pretrain a BERT with 8192 tokens. The MLM loss of the first step is 46. What "
        "does that tell you?",
        "c",
        (
            Option("Nothing yet, because every model starts badly", "A model that knows nothing "
                   "has a loss of log 8192 = 9. This one is confident and wrong."),
            Option("The learning rate is too high", "The first loss is computed before the first "
                   "step, so the learning rate has had no effect."),
            Option("Its weights start too large",
                   "Large weights make large logits, so the untrained model is confident in random "
                   "answers. BERT starts with small weights, and with a loss of about 9."),
            Option("The text is too hard", "An untrained model doesn't read the text yet. Its loss "
                   "is log V on any text."),
        ),
        "The loss, by hand",
    ),
    Question(
        "A sequence has 64 tokens, and 10 are hidden. Where does BERT need logits in training?",
        "a",
        (
            Option("At the 10 hidden tokens", "The loss is computed only there. Logits "
                   "elsewhere cost time and memory, and change neither loss nor gradient."),
            Option("At all 64 tokens", "You can compute them, but the label -100 throws 54 of them "
                   "away."),
            Option("At the 10 hidden tokens and `[CLS]`", "`[CLS]` goes to the pooler, whose head "
                   "has two outputs. It gets no scores over the vocabulary."),
            Option("At the 54 visible tokens, which are the context", "The context acts through "
                   "attention, below the head. The loss doesn't ask about visible tokens."),
        ),
        "Only at the hidden tokens",
    ),
    Question(
        "BERT's own Adam has no bias correction. What does a warm-up do for it?",
        "b",
        (
            Option("Its first steps are too short, and the warm-up makes them longer", "Both "
                   "averages are too small, but the square root of `v` is too small by more. A "
                   "warm-up can only shorten steps."),
            Option("Its first steps are too long, and the warm-up makes them shorter",
                   "`v` is too small for about 1000 steps, and the step divides by its root. A low "
                   "learning rate at the start makes up for that."),
            Option("The first gradients are too long, and the warm-up clips them",
                   "Clipping limits gradients. A warm-up changes the learning rate."),
            Option("The first batches are the hardest, and the warm-up softens them",
                   "Batches come in random order."),
        ),
        "Adam, and its first steps",
    ),
    Question(
        "A BERT's loss has stayed at the unigram entropy for 1000 steps. You shuffle the visible "
        "words of the test text. What do you expect of its loss?",
        "b",
        (
            Option("It rises, because word order matters", "It matters to a trained BERT. This one "
                   "doesn't use the words around a blank."),
            Option("It stays the same", "At the unigram entropy, a model most likely knows how "
                   "often each token occurs, and guesses the same whatever is around the blank."),
            Option("It falls, because shuffling makes the task easier", "Shuffling takes "
                   "information away, so it doesn't help."),
            Option("It goes back to log V", "The model keeps its frequencies. They don't depend "
                   "on the words around."),
        ),
        "Experiment: what is the plateau, and what ends it?",
    ),
    Question(
        "Your BERT gets 42 % of the chosen tokens right on training batches (80/10/10). Counting "
        "neighbours gets 33 % on held-out text. Is BERT better?",
        "d",
        (
            Option("Yes, by 9 points", "The two numbers differ in text and in masking, so their "
                   "difference means little."),
            Option("No, because counting saw less text", "Both saw the training text. The "
                   "trouble is where and how they were tested."),
            Option("Yes, because 80/10/10 is harder", "A tenth of the chosen tokens are visible, "
                   "so it's easier."),
            Option("You can't tell: test both on the same held-out blanks", "A fair test has "
                   "the same text, blanks and visible words. Training batches are known text and "
                   "leave a tenth of the answers visible."),
        ),
        "Mistakes people make here",
    ),
)  # fmt: skip
