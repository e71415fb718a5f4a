# SPDX-License-Identifier: MIT
"""Fine-tuning on a task of GLUE or on SQuAD, and a model's figures on the dev set."""
import dataclasses
import pathlib

import torch
from torch.nn import functional

from . import export, features, squad, tasks
from .tokenizer import Tokenizer
from .training import Progress, Run, append_row, device, make_optimiser, numbers_of, rate_at

# Options that a run may have others of when it goes on.
OUTSIDE = ("run", "out", "data", "model", "threads", "save_seconds", "results", "stored")


@dataclasses.dataclass
class Data:
    """A set as tokens."""

    rows: list
    types: list
    labels: list
    filler: int
    smoothing: float = 0.0

    @classmethod
    def of(cls, examples, tokenizer, length, smoothing=0.0):
        pairs = [features.pair(tokenizer, e.first, e.second, length) for e in examples]
        return cls([ids for ids, _ in pairs], [types for _, types in pairs], [e.label for e in examples],
                   tokenizer.pad, smoothing)

    def batch(self, which, where):
        ids, mask = features.pad([self.rows[i] for i in which], self.filler)
        types, _ = features.pad([self.types[i] for i in which], 0)
        labels = torch.tensor([self.labels[i] for i in which])
        return ids.to(where), types.to(where), None if mask.all() else mask.to(where), labels.to(where)

    def loss(self, model, which, where):
        ids, types, mask, labels = self.batch(which, where)
        return loss_of(model.classify(model.encoder(ids, types, mask)), labels, self.smoothing)


def loss_of(scores, labels, smoothing):
    if scores.shape[1] == 1:
        return functional.mse_loss(scores.squeeze(1).float(), labels.float())
    return functional.cross_entropy(scores.float(), labels, label_smoothing=smoothing)


def predict(model, data, where, batch=64):
    """[examples, labels], in float32."""
    model.eval()
    out = [None] * len(data.rows)
    with torch.no_grad():
        for which in features.by_length([len(row) for row in data.rows], batch):
            ids, types, mask, _ = data.batch(which, where)
            for i, row in zip(which, model.classify(model.encoder(ids, types, mask)).cpu()):
                out[i] = row
    return torch.stack(out)


def measure(name, scores, labels):
    """The metrics of a task, by name."""
    got = scores.squeeze(1).tolist() if scores.shape[1] == 1 else scores.argmax(1).tolist()
    return {metric: compute(got, labels) for metric, compute in tasks.TASKS[name].measure.items()}


def epochs_of(data, arguments):
    """Every batch of every epoch, in order; the same for a run that resumes."""
    lengths = [len(row) for row in data.rows]
    for epoch in range(arguments.epochs):
        yield from features.by_length(lengths, arguments.batch, arguments.seed * 1000 + epoch)


def train(model, data, run, arguments, where, after_epoch):
    batches = list(epochs_of(data, arguments))
    steps, a_epoch = len(batches), len(batches) // arguments.epochs
    bar = Progress(run.folder.name, steps)
    loss_sum = 0.0
    while run.step < steps:
        model.train()
        with numbers_of(where, arguments.numbers):
            loss = data.loss(model, batches[run.step], where)
        run.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in run.optimiser.param_groups:
            group["lr"] = rate_at(run.step, steps, max(1, int(arguments.warm_up * steps)), arguments.rate)
        run.optimiser.step()
        run.step += 1
        loss_sum += loss.item()
        if run.step % a_epoch == 0:
            after_epoch(loss_sum / a_epoch)
            loss_sum = 0.0
        run.maybe_save()
        bar.show(run.step, f"loss {loss.item():.3f}")
    bar.done()


def open_task(arguments, tokenizer):
    """What to train on, the labels, and what gives a model's figures on the dev set."""
    if arguments.task == "squad":
        path, dev = squad.folder_files(arguments.data)
        data = squad.Training(path, tokenizer, arguments.length, arguments.examples)
        return data, (), lambda model: squad.score(model, dev, tokenizer, arguments.length, device())
    examples = tasks.read(arguments.task, arguments.data, "train")[:arguments.examples or None]
    data = Data.of(examples, tokenizer, arguments.length, arguments.smoothing)
    dev = Data.of(tasks.read(arguments.task, arguments.data, "dev"), tokenizer, arguments.length)
    labels = tasks.SPOKEN.get(arguments.task, tasks.TASKS[arguments.task].labels)
    return data, labels, lambda model: measure(arguments.task, predict(model, dev, device()), dev.labels)


def finetune(arguments):
    torch.manual_seed(arguments.seed)
    where, source = device(), pathlib.Path(arguments.model)
    tokenizer = Tokenizer(source / "vocab.txt")
    data, labels, measured = open_task(arguments, tokenizer)
    head = "answer" if arguments.task == "squad" else "classify"
    model = export.load(source, (head,), labels=labels, dropout=arguments.dropout).to(where)
    optimiser = make_optimiser(model, "adamw", arguments.rate)
    run = Run(arguments.out, model, optimiser, {k: v for k, v in vars(arguments).items() if k not in OUTSIDE},
              arguments.save_seconds)
    train(model, data, run, arguments, where, lambda loss: run.record(loss=loss, **measured(model)))
    run.save()
    report(arguments, measured(model))
    export.save(run.folder / "model", model.cpu(), source / "vocab.txt", arguments.stored)


def show(task, figures):
    """A line for each, as `detransformer eval` has it."""
    for metric, value in figures.items():
        print(f"{metric} {value:.{3 if task == 'squad' else 4}f}")


def report(arguments, figures):
    """The figures on standard output, and in the file that many runs share."""
    show(arguments.task, figures)
    if arguments.results:
        for metric, value in figures.items():
            append_row(arguments.results, {"model": arguments.model, "task": arguments.task, "seed": arguments.seed,
                                           "metric": metric, "value": value})


def evaluate(arguments):
    source, where = pathlib.Path(arguments.model), device()
    tokenizer, model = Tokenizer(source / "vocab.txt"), export.load(source).to(where)
    if arguments.task == "squad":
        figures = squad.score(model, squad.dev_file(arguments.data), tokenizer, arguments.length, where)
    else:
        dev = Data.of(tasks.read(arguments.task, arguments.data, "dev"), tokenizer, arguments.length)
        figures = measure(arguments.task, predict(model, dev, where), dev.labels)
    show(arguments.task, figures)
