"""A trainer of a toy model, for tests of the training loop."""

import torch

from minibert.training.trainer import Data, Plan, Record, Trainer


class Toy(torch.nn.Module):
    """No BERT: the trainer must not care. Dropout, so that random numbers matter."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(6, 8), torch.nn.Dropout(0.2), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        )

    def forward(self, x):
        return self.layers(x)


class Squares:
    """Mean squared error over rows; how many rows are off by more than one."""

    def counts(self, batch):
        return {"tokens": len(batch["x"]), "square_loss": len(batch["x"]), "far": len(batch["x"])}

    def sums(self, model, batch):
        error = model(batch["x"])[:, 0] - batch["y"]
        return {"square_loss": (error**2).sum(), "far": (error.abs() > 1).sum()}


def toy_batch(step, rows=8):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(rows, 6, generator=generator)
    return {"x": x, "y": x.sum(1) + 0.1 * torch.randn(rows, generator=generator)}


def toy(out, steps=40, seed=0, batches=None, objective=None, settings=None, watch=None, **plan):
    torch.manual_seed(seed)
    model = Toy()
    plan = {"log_every": 7, "evaluate_every": 10, "save_every": 5, **plan}
    out.mkdir(exist_ok=True, parents=True)
    return Trainer(
        model,
        objective or Squares(),
        [torch.optim.AdamW(model.parameters(), lr=0.01), torch.optim.SGD([torch.zeros(1)], lr=0.1)],
        Data(batches or (lambda step: [toy_batch(step)]), [toy_batch(10_000)]),
        Plan(steps, schedule=lambda done: 1 - done, seed=seed, **plan),
        Record(out, {"seed": seed, "steps": steps} if settings is None else settings, watch),
    )
