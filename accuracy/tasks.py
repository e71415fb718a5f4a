# SPDX-License-Identifier: MIT
"""GLUE's tasks and SQuAD v1.1 as they are published: files in a folder, fields apart by tabs, nothing quoted."""
import dataclasses
import json
import pathlib

from . import metrics


@dataclasses.dataclass
class Example:
    first: str
    second: str = None
    label: float = 0


@dataclasses.dataclass
class Task:
    """Columns of its files, its labels (none: a number is predicted) and its metrics, the first of which decides."""

    folder: str
    first: int
    second: int
    label: int
    labels: tuple
    measure: dict
    header: bool = True
    dev: str = "dev.tsv"


ENTAILMENT = ("entailment", "not_entailment")
INFERENCE = ("contradiction", "entailment", "neutral")
ACCURACY = {"accuracy": metrics.accuracy}
TASKS = {
    "cola": Task("CoLA", 3, None, 1, ("0", "1"), {"matthews": metrics.matthews}, header=False),
    "sst2": Task("SST-2", 0, None, 1, ("0", "1"), ACCURACY),
    "mrpc": Task("MRPC", 3, 4, 0, ("0", "1"), {"accuracy": metrics.accuracy, "f1": metrics.f1}),
    "stsb": Task("STS-B", 7, 8, 9, (), {"pearson": metrics.pearson, "spearman": metrics.spearman}),
    "qnli": Task("QNLI", 1, 2, 3, ENTAILMENT, ACCURACY),
    "rte": Task("RTE", 1, 2, 3, ENTAILMENT, ACCURACY),
    "mnli": Task("MNLI", 8, 9, -1, INFERENCE, ACCURACY, dev="dev_matched.tsv"),
}
# What a model's config.json calls the labels, where 0 and 1 say little.
SPOKEN = {"sst2": ("negative", "positive"), "cola": ("unacceptable", "acceptable"), "mrpc": ("not_equivalent", "equivalent")}


def read_file(task, path):
    lines = pathlib.Path(path).read_text(encoding="utf-8-sig").split("\n")
    for line in lines[1 if task.header else 0:]:
        fields = line.rstrip("\r").split("\t")
        if len(fields) <= max(task.first, task.second or 0, task.label):
            continue
        said = fields[task.label]
        yield Example(fields[task.first], None if task.second is None else fields[task.second],
                      task.labels.index(said) if task.labels else float(said))


def read(name, folder, part):
    """[Example] of `train` or `dev`; the folder is GLUE's or the task's own."""
    task = TASKS[name]
    at = pathlib.Path(folder)
    at = at / task.folder if (at / task.folder).is_dir() else at
    at /= "train.tsv" if part == "train" else task.dev
    if not at.is_file():
        raise SystemExit(f"{at} is not there")
    return list(read_file(task, at))


@dataclasses.dataclass
class Question:
    key: str
    question: str
    context: str
    answers: list  # (start in characters, text)


def read_squad(path):
    data = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["data"]
    for article in data:
        for paragraph in article["paragraphs"]:
            for each in paragraph["qas"]:
                answers = [(a["answer_start"], a["text"]) for a in each["answers"]]
                yield Question(each["id"], each["question"], paragraph["context"], answers)
