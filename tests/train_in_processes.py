"""One process of many, or the only one: `torchrun tests/train_in_processes.py '{"out": ...}'`.

A small BERT learns from batches whose rows have very different numbers of masked tokens.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from minibert.config import BertConfig
from minibert.model import BertForPreTraining
from minibert.pretraining.objectives import PretrainingObjective
from minibert.pretraining.run import cut
from minibert.training import trainer
from minibert.training.optimizers import adam
from minibert.training.processes import full_state, process_group, rank, shard_weights, world_size
from minibert.training.trainer import Data, Plan, Record, Trainer

ROWS, TOKENS = 8, 12
CONFIG = replace(
    BertConfig.preset("tiny"),
    vocab_size=50,
    hidden_size=16,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=TOKENS,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def batch_of(step):
    """In row r the first r tokens are masked, in the last row all of them: parts are uneven."""
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(5, CONFIG.vocab_size, (ROWS, TOKENS), generator=generator)
    masked = torch.arange(TOKENS) < torch.tensor([*range(ROWS - 1), TOKENS])[:, None]
    labels = torch.where(masked, ids, -100)
    is_random = torch.randint(0, 2, (ROWS,), generator=generator)
    return {"input_ids": ids, "labels": labels, "next_sentence_label": is_random}


def main(
    out,
    steps=20,
    accumulate=1,
    resume=False,
    naive=False,
    sharded=False,
    stop_at=None,
    kill=None,
    lr=0.01,
):
    """`stop_at`: SIGTERM for the last process at this step. `kill`: SIGKILL, likewise."""
    torch.set_num_threads(1)
    with process_group():
        torch.manual_seed(0)
        model = BertForPreTraining(CONFIG)
        if sharded:
            shard_weights(model, model.bert.encoder.layers)
        if naive:  # each process by its own number of masked tokens, and the mean over processes
            trainer.sum_over_ranks = lambda numbers: numbers
            trainer.world_size = lambda: 1

        def batches(step):
            if rank() == world_size() - 1:
                if step == stop_at:
                    os.kill(os.getpid(), signal.SIGTERM)
                if step == kill:
                    os.kill(os.getpid(), signal.SIGKILL)
            parts = cut(batch_of(step), world_size() * accumulate)[rank() :: world_size()]
            with (out / f"seen-{world_size()}.jsonl").open("a") as stream:
                rows = [row for part in parts for row in part["input_ids"].tolist()]
                stream.write(json.dumps([step, rows]) + "\n")
            return parts

        out = Path(out)
        run = Trainer(
            model,
            PretrainingObjective(),
            [adam(model.parameters(), lr)],
            Data(batches, [batch_of(1000)]),
            Plan(steps, save_every=4, log_every=1, evaluate_every=10),
            Record(out),
        )
        if naive:
            run.replica = torch.nn.parallel.DistributedDataParallel(model)
        gradients = {}

        def keep_gradients(*_):
            gradients.update({name: p.grad for name, p in model.named_parameters()})

        run.optimizers[0].register_step_pre_hook(keep_gradients)
        if resume:
            run.resume()
        run.train()
        end = full_state({"weights": model.state_dict(), "gradients": gradients})
        if rank() == 0:
            torch.save(end, out / "end.pt")


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
