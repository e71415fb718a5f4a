# SPDX-License-Identifier: MIT
"""What every training run needs: optimisers, the schedule, checkpoints that resume, a progress bar, a CSV file."""
import csv
import math
import os
import pathlib
import sys
import time

import torch


def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def numbers_of(where, name):
    """autocast for `bf16`, nothing for `f32`."""
    return torch.autocast(where.type, dtype=torch.bfloat16, enabled=name == "bf16")


class Lamb(torch.optim.Optimizer):
    """You et al. 2019, as BERT in 76 minutes used it: Adam's step, rescaled to the weight's own norm."""

    def __init__(self, params, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.update(weight, group)

    def update(self, weight, group):
        state = self.state[weight]
        if not state:
            state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        slow, slower = group["betas"]
        state["mean"].lerp_(weight.grad, 1 - slow)
        state["square"].mul_(slower).addcmul_(weight.grad, weight.grad, value=1 - slower)
        mean = state["mean"] / (1 - slow ** state["step"])
        square = state["square"] / (1 - slower ** state["step"])
        step = mean / (square.sqrt() + group["eps"]) + group["weight_decay"] * weight
        size, change = weight.norm(), step.norm()
        trust = torch.where((size > 0) & (change > 0), size / change, torch.ones_like(size))
        weight.sub_(step * trust * group["lr"])


def make_optimiser(model, kind, rate, decay=0.01):
    """Biases and LayerNorms do not decay."""
    named = list(model.named_parameters())
    plain = [p for name, p in named if name.endswith("bias") or "norm" in name]
    rest = [p for name, p in named if not (name.endswith("bias") or "norm" in name)]
    groups = [{"params": rest, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
    return (Lamb if kind == "lamb" else torch.optim.AdamW)(groups, lr=rate)


def rate_at(step, steps, warm_up, rate):
    """Linear up, linear down to nothing."""
    if step < warm_up:
        return rate * (step + 1) / warm_up
    return rate * (steps - step) / max(1, steps - warm_up)


class Run:
    """A training run in a folder: metrics.csv and checkpoint.pt, from which it goes on where it stopped."""

    def __init__(self, folder, model, optimiser, options, save_seconds=300):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model, self.optimiser, self.options = model, optimiser, options
        self.save_seconds = save_seconds
        self.step, self.saved_at, self.seconds, self.begun = 0, time.monotonic(), 0.0, time.monotonic()
        self.restore()

    @property
    def checkpoint(self):
        return self.folder / "checkpoint.pt"

    def restore(self):
        if not self.checkpoint.exists():
            return
        held = torch.load(self.checkpoint, map_location="cpu")
        if held["options"] != self.options:
            changed = [k for k in self.options if held["options"].get(k) != self.options[k]]
            raise SystemExit(f"{self.folder} holds a run with another {', '.join(changed)}; give it a folder of its own")
        self.model.load_state_dict(held["model"])
        self.optimiser.load_state_dict(held["optimiser"])
        torch.set_rng_state(held["random"])
        if held.get("random_gpu") and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(held["random_gpu"])
        self.step, self.seconds = held["step"], held["seconds"]
        self.forget_later_rows()

    def forget_later_rows(self):
        """Rows written after the checkpoint that is resumed would otherwise be there twice."""
        path = self.folder / "metrics.csv"
        if not path.exists():
            return
        header, *rows = path.read_text().splitlines()
        kept = [row for row in rows if int(row.split(",")[0]) <= self.step]
        path.write_text("\n".join([header, *kept]) + "\n")

    def elapsed(self):
        return self.seconds + time.monotonic() - self.begun

    def save(self):
        partial = self.checkpoint.with_suffix(".part")
        torch.save({"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step,
                    "options": self.options, "random": torch.get_rng_state(),
                    "random_gpu": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
                    "seconds": self.elapsed()}, partial)
        os.replace(partial, self.checkpoint)
        self.saved_at = time.monotonic()

    def maybe_save(self):
        if time.monotonic() - self.saved_at > self.save_seconds:
            self.save()

    def record(self, **values):
        path = self.folder / "metrics.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            if fresh:
                writer.writerow(["step", *values, "seconds"])
            writer.writerow([self.step, *(shown(v) for v in values.values()), f"{self.elapsed():.1f}"])


def shown(value):
    return f"{value:.6g}" if isinstance(value, float) else value


def append_row(path, row):
    """A row of a CSV file that several runs write to."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with path.open("a", newline="") as out:
        writer = csv.DictWriter(out, list(row), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow({k: shown(v) for k, v in row.items()})


class Progress:
    """A bar on standard error: redrawn on a terminal, a line every tenth otherwise."""

    def __init__(self, label, total):
        self.label, self.total, self.tenth, self.begun, self.first = label, total, -1, time.monotonic(), None
        self.live = sys.stderr.isatty()

    def show(self, done, text):
        if self.first is None:
            self.first = done
        tenth = done * 10 // self.total
        if not self.live and tenth == self.tenth:
            return
        self.tenth = tenth
        spent = time.monotonic() - self.begun
        left = spent / max(1, done - self.first) * (self.total - done)
        bar = "#" * (done * 20 // self.total)
        line = f"{self.label} [{bar:20}] {done}/{self.total} {text}, {clock(left)} left"
        print(f"\r{line}\x1b[K" if self.live else line, end="" if self.live else "\n", file=sys.stderr, flush=True)

    def done(self):
        if self.live:
            print(file=sys.stderr)


def clock(seconds):
    minutes, seconds = divmod(math.ceil(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
