# SPDX-License-Identifier: MIT
"""Masked-language-model and next-sentence pre-training."""
import pathlib

import torch
from torch.nn import functional

from . import embeddings, export
from .model import Config, Model
from .packing import Corpus, Packer
from .tokenizer import Tokenizer
from .training import Progress, Run, device, make_optimiser, numbers_of, rate_at

# Options that a run may have others of when it goes on.
OUTSIDE = ("run", "out", "text", "cache", "start", "teacher", "threads", "save_seconds", "stop_after")


def distance(model, teacher, batch, outputs):
    """Mean squared difference of the hidden states behind every original layer of the student."""
    with torch.no_grad():
        wanted = teacher.encoder(batch["ids"], batch["types"], batch["mask"], every_layer=True)
    compared = [i for i in range(len(outputs)) if model.config.is_original(i)]
    return sum(functional.mse_loss(outputs[i].float(), wanted[i].float()) for i in compared) / len(compared)


def losses(model, batch, with_next, teacher=None):
    """To learn from; of the masked words; of the next sentence; and how many of the words were right."""
    outputs = model.encoder(batch["ids"], batch["types"], batch["mask"], every_layer=True)
    hidden = outputs[-1]
    labels = batch["labels"].flatten()
    rows = (labels >= 0).nonzero().squeeze(1)
    scores = model.fill(hidden.flatten(0, 1)[rows]).float()
    words = functional.cross_entropy(scores, labels[rows])
    right = (scores.argmax(-1) == labels[rows]).float().mean()
    after = torch.zeros((), device=words.device)
    if with_next:
        after = functional.cross_entropy(model.next_sentence(hidden).float(), batch["elsewhere"])
    loss = words + after if teacher is None else words + after + distance(model, teacher, batch, outputs)
    return loss, words, after, right


def to_device(batch, where):
    return {key: value if value is None else value.to(where) for key, value in batch.items()}


def held_out(model, packer, batches, where, numbers, with_next):
    """Loss and accuracy of the masked words on documents that training does not see."""
    model.eval()
    total = torch.zeros(2)
    with torch.no_grad(), numbers_of(where, numbers):
        for i in range(batches):
            _, words, _, right = losses(model, to_device(packer.batch(i), where), with_next)
            total += torch.stack([words, right]).cpu() / batches
    model.train()
    return total.tolist()


def train_step(model, teacher, packer, run, arguments, where):
    """One step of the optimiser; the mean losses over its parts."""
    run.optimiser.zero_grad(set_to_none=True)
    sums = torch.zeros(3)
    for part in range(arguments.accumulate):
        batch = to_device(packer.batch(run.step * arguments.accumulate + part), where)
        with numbers_of(where, arguments.numbers):
            loss, words, after, right = losses(model, batch, arguments.next_sentence, teacher)
        (loss / arguments.accumulate).backward()
        sums += torch.stack([words, after, right]).detach().cpu() / arguments.accumulate
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in run.optimiser.param_groups:
        group["lr"] = rate_at(run.step, arguments.steps, arguments.warm_up, arguments.rate)
    run.optimiser.step()
    run.step += 1
    return sums.tolist()


def cache_of(arguments):
    return pathlib.Path(arguments.cache or pathlib.Path(arguments.out).parent / "corpus.npz")


def make_model(arguments, tokenizer, corpus):
    if arguments.start:
        return export.load(arguments.start, ("mlm", "nsp"), dropout=arguments.dropout)
    config = Config(len(tokenizer), arguments.layers, arguments.hidden, arguments.heads,
                    arguments.intermediate or 4 * arguments.hidden, arguments.positions, dropout=arguments.dropout,
                    activation=arguments.activation, divisions=arguments.divisions, groups=arguments.groups,
                    attention=arguments.attention)
    model = Model(config, ("mlm", "nsp"))
    if arguments.embeddings == "counts" and not (pathlib.Path(arguments.out) / "checkpoint.pt").exists():
        cache = cache_of(arguments)
        embeddings.start(model.encoder, corpus, cache.with_name(f"{cache.stem}.{config.hidden}.npy"))
    return model


def pretrain(arguments):
    torch.manual_seed(arguments.seed)
    where, out = device(), pathlib.Path(arguments.out)
    tokenizer = Tokenizer(arguments.vocabulary)
    corpus = Corpus.read(arguments.text, arguments.files, tokenizer, cache_of(arguments))
    packer, dev_packer = (Packer(part, tokenizer, arguments.length, arguments.batch, arguments.seed,
                                 arguments.next_sentence) for part in corpus.parts())
    model = make_model(arguments, tokenizer, corpus).to(where)
    teacher = export.load(arguments.teacher).to(where).eval() if arguments.teacher else None
    optimiser = make_optimiser(model, arguments.optimiser, arguments.rate)
    options = {k: v for k, v in vars(arguments).items() if k not in OUTSIDE}
    run = Run(out, model, optimiser, options, arguments.save_seconds)
    bar = Progress(out.name, arguments.steps)
    recent = torch.zeros(3)
    while run.step < arguments.steps:
        recent += torch.tensor(train_step(model, teacher, packer, run, arguments, where)) / arguments.log_every
        bar.show(run.step, f"loss {recent[0] * arguments.log_every / ((run.step - 1) % arguments.log_every + 1):.3f}")
        if run.step % arguments.log_every == 0 or run.step == arguments.steps:
            loss, right = held_out(model, dev_packer, arguments.held_out, where, arguments.numbers, arguments.next_sentence)
            run.record(tokens=run.step * arguments.accumulate * arguments.batch * arguments.length,
                       mlm_loss=recent[0].item(), nsp_loss=recent[1].item(), mlm_accuracy=recent[2].item(),
                       held_out_loss=loss, held_out_accuracy=right)
            recent.zero_()
        run.maybe_save()
        if run.step == arguments.stop_after:
            run.save()
            return
    bar.done()
    run.save()
    export.save(out / "model", model.cpu(), arguments.vocabulary)
