# SPDX-License-Identifier: MIT
"""The experiment: every cell pre-trained on the same tokens, then fine-tuned on every task, at one of several scales.

Each run is a process and a folder of its own.  What is finished is not done again and what was interrupted goes on,
so the same command, given again, completes the experiment; two machines may share the seeds or the cells.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

from .report import read_csv, report
from .tasks import TASKS
from .training import append_row

# Sizes, and options of `pretrain` and `finetune`; `examples`: of a task's training set.
SCALES = {
    # Minutes on two cores: shows that everything works, not what the models are worth.
    "reduced": {"vocabulary": 3000, "files": 6, "layers": 4, "hidden": 64, "heads": 2, "length": 32, "batch": 32,
                "steps": 150, "warm-up": 20, "rate": 2e-3, "epochs": 1, "task-rate": 1e-3, "task-batch": 32, "examples": 6000,
                "cells": "original d4g2 d2g2 sliced-d4g2", "tasks": "sst2", "seeds": "1"},
    # Hours on two cores.
    "small": {"vocabulary": 8000, "files": 0, "layers": 8, "hidden": 64, "heads": 2, "length": 64, "batch": 32,
              "steps": 200, "warm-up": 40, "rate": 2e-3, "epochs": 1, "task-rate": 1e-3, "task-batch": 64, "examples": 20000,
              "cells": "original d4g2 d4g4 d2g2 sliced-d4g2 d4g1 d2g4 d2g1", "tasks": "sst2 stsb", "seeds": "1 2"},
    # For a GPU.
    "medium": {"vocabulary": 8000, "files": 0, "layers": 8, "hidden": 256, "heads": 8, "length": 128, "batch": 256,
               "steps": 20000, "warm-up": 1000, "rate": 1e-3, "epochs": 3, "task-rate": 1e-4, "task-batch": 32, "examples": 0,
               "cells": "original d4g4 d4g2 d4g1 d2g4 d2g2 d2g1 sliced-d4g2",
               "tasks": "cola sst2 mrpc stsb rte mnli", "seeds": "1 2 3"},
    # The paper's: English Wikipedia, batches of 8192 sequences by accumulation, LAMB; as many sequences as BERT's first
    # 900,000 steps.
    "base": {"vocabulary": 30522, "files": 0, "layers": 12, "hidden": 768, "heads": 12, "length": 128, "batch": 128,
             "accumulate": 64, "optimiser": "lamb", "steps": 28125, "warm-up": 2813, "rate": 6e-3, "epochs": 3,
             "task-rate": 3e-5, "task-batch": 32, "examples": 0, "cells": "original d4g1 d4g2 d4g3 d4g4 d8g4 d2g4 sliced-d4g4",
             "tasks": "cola sst2 mrpc mnli", "seeds": "1 2"},
}
# Of an original checkpoint's training, what a model sliced from it gets.
SLICED_PART = 0.2


def divisions_of(cell):
    """(D, G) of `d4g2` or `sliced-d4g2`; (0, 0) of `original`."""
    if cell == "original":
        return 0, 0
    found = re.fullmatch(r"(?:sliced-)?d(\d+)g(\d+)", cell)
    if not found:
        raise SystemExit(f"cell '{cell}' is neither 'original' nor like 'd4g2' or 'sliced-d4g2'")
    return int(found[1]), int(found[2])


class Experiment:
    def __init__(self, arguments):
        self.arguments, self.scale = arguments, dict(SCALES[arguments.scale])
        for key in "cells", "tasks", "seeds", "steps", "numbers":
            if getattr(arguments, key, None):
                self.scale[key] = getattr(arguments, key)
        self.out = pathlib.Path(arguments.out)
        self.cells, self.tasks = self.scale["cells"].split(), self.scale["tasks"].split()
        self.seeds = self.scale["seeds"].split()
        if not arguments.tasks:
            self.tasks = [task for task in self.tasks if self.has_data(task)]
        for cell in self.cells:
            divisions_of(cell)
        self.out.mkdir(parents=True, exist_ok=True)

    def has_data(self, task):
        """Of the scale's tasks only those are done whose data is there."""
        there = (pathlib.Path(self.arguments.glue) / TASKS[task].folder / "train.tsv").is_file()
        if not there:
            print(f"{self.arguments.glue} has no {TASKS[task].folder}: left out", file=sys.stderr)
        return there

    def command(self, *words):
        """Runs a command of this package; its messages go to the log."""
        with (self.out / "log.txt").open("a") as log:
            print("+", *words, file=log, flush=True)
            status = subprocess.run([sys.executable, "-m", __package__, *map(str, words)], stdout=subprocess.DEVNULL,
                                    stderr=log, check=False, env=self.environment()).returncode
        if status:
            raise SystemExit(f"{' '.join(map(str, words[:2]))} failed: see {self.out / 'log.txt'}")

    @staticmethod
    def environment():
        folder = str(pathlib.Path(__file__).resolve().parent.parent)
        return {**os.environ, "PYTHONPATH": folder + os.pathsep + os.environ.get("PYTHONPATH", "")}

    def prepare(self):
        vocabulary = self.out / "vocab.txt"
        if not vocabulary.exists():
            self.command("vocabulary", *self.arguments.text, "--size", self.scale["vocabulary"], "--files",
                         self.scale["files"], "--out", vocabulary)

    def pretrain(self, cell, seed):
        run = self.out / "pretrain" / f"{cell}-seed{seed}"
        if (run / "model").exists():
            return
        d, g = divisions_of(cell)
        scale, steps, extra = self.scale, int(self.scale["steps"]), []
        if cell.startswith("sliced-"):
            original, sliced = self.out / "pretrain" / f"original-seed{seed}" / "model", run / "sliced"
            if not sliced.exists():
                self.command("slice", original, "--divisions", d, "--groups", g, "--out", sliced)
            steps = max(1, int(steps * SLICED_PART))
            extra = ["--start", sliced, "--teacher", original]
        for key in "layers", "hidden", "heads", "length", "batch", "rate", "files":
            extra += [f"--{key}", scale[key]]
        for key in "accumulate", "optimiser", "numbers":
            extra += [f"--{key}", scale[key]] if key in scale else []
        warm_up = min(scale["warm-up"], max(1, steps // 5))
        self.command("pretrain", *self.arguments.text, "--vocabulary", self.out / "vocab.txt", "--out", run, "--cache",
                     self.out / "corpus.npz", "--positions", 128, "--divisions", d, "--groups", g, "--seed", seed,
                     "--steps", steps, "--warm-up", warm_up, "--dropout", self.arguments.dropout, "--embeddings",
                     self.arguments.embeddings, "--threads", self.arguments.threads, "--log-every",
                     max(1, steps // 40), *extra)

    def finetune(self, cell, seed, task):
        results = self.out / "results.csv"
        done = {(row["cell"], row["seed"], row["task"]) for row in read_csv(results)}
        if (cell, str(seed), task) in done:
            return
        run = self.out / "finetune" / f"{cell}-seed{seed}-{task}"
        numbers = ["--numbers", self.scale["numbers"]] if "numbers" in self.scale else []
        self.command("finetune", self.out / "pretrain" / f"{cell}-seed{seed}" / "model", "--task", task, "--data",
                     self.arguments.glue, "--out", run, "--epochs", self.scale["epochs"], "--batch",
                     self.scale["task-batch"], "--rate", self.scale["task-rate"], "--seed", seed, "--examples",
                     self.scale["examples"],
                     "--threads", self.arguments.threads, *numbers)
        *_, last = read_csv(run / "metrics.csv")
        for metric in [name for name in last if name not in ("step", "loss", "seconds")]:
            append_row(results, {"cell": cell, "seed": seed, "task": task, "metric": metric, "value": float(last[metric])})

    def one(self, cell, seed):
        self.pretrain(cell, seed)
        for task in self.tasks:
            self.finetune(cell, seed, task)
        print(f"{cell}, seed {seed}: done", file=sys.stderr, flush=True)

    def run(self):
        """Originals first, since others may be sliced from them."""
        self.prepare()
        for wave in (lambda c: not c.startswith("sliced-"), lambda c: c.startswith("sliced-")):
            work = [(cell, seed) for seed in self.seeds for cell in self.cells if wave(cell)]
            with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
                for each in [pool.submit(self.one, *item) for item in work]:
                    each.result()
        report(self.out)


def experiment(arguments):
    Experiment(arguments).run()
