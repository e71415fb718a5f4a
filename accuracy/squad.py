# SPDX-License-Identifier: MIT
"""SQuAD v1.1: long paragraphs go through the model in windows, as with BERT; the answer is a run of its tokens."""
import dataclasses
import pathlib

import torch
from torch.nn import functional

from . import features, metrics, tasks

STRIDE, QUESTION_TOKENS, ANSWER_TOKENS, CANDIDATES = 128, 64, 30, 20


@dataclasses.dataclass
class Window:
    """Part of a paragraph behind a question."""

    question: int
    ids: list
    second: int  # where the paragraph's tokens begin
    start: int  # which token of the paragraph that is
    count: int
    answer: tuple = (0, 0)  # first and last token of the sequence; [CLS] where the answer is elsewhere


class Paragraphs:
    """Tokens of each paragraph, once for all of its questions."""

    def __init__(self, tokenizer):
        self.tokenizer, self.known = tokenizer, {}

    def of(self, context):
        if context not in self.known:
            self.known[context] = self.tokenizer.located(context)
        return self.known[context]


def answer_tokens(question, begins, ends):
    """First and last token that the first of the right answers covers; None where it covers none."""
    start, text = question.answers[0]
    inside = [i for i, (begin, end) in enumerate(zip(begins, ends)) if end > start and begin < start + len(text)]
    return (inside[0], inside[-1]) if inside else None


def windows_of(number, question, paragraphs, length, training):
    tokenizer = paragraphs.tokenizer
    asked = tokenizer.encode(question.question)[:QUESTION_TOKENS]
    ids, begins, ends = paragraphs.of(question.context)
    room = length - len(asked) - 3
    wanted = answer_tokens(question, begins, ends) if training else None
    start = 0
    while True:
        part = ids[start:start + room]
        window = Window(number, [tokenizer.cls, *asked, tokenizer.sep, *part, tokenizer.sep], len(asked) + 2, start, len(part))
        if wanted and start <= wanted[0] and wanted[1] < start + len(part):
            window.answer = tuple(window.second + token - start for token in wanted)
        yield window
        if start + room >= len(ids):
            return
        start += min(room, STRIDE)


def batch_of(windows, filler, where):
    ids, mask = features.pad([w.ids for w in windows], filler)
    types, _ = features.pad([[0] * w.second + [1] * (len(w.ids) - w.second) for w in windows], 0)
    answers = torch.tensor([w.answer for w in windows])
    return ids.to(where), types.to(where), mask.to(where), answers.to(where)


def loss_of(scores, mask, answers):
    scores = scores.float().masked_fill(~mask[..., None], -1e9)
    return (functional.cross_entropy(scores[..., 0], answers[:, 0]) + functional.cross_entropy(scores[..., 1], answers[:, 1])) / 2


def context_of(window, token):
    """How much a window shows around a token, and a little for how much it shows at all."""
    if not window.start <= token < window.start + window.count:
        return -1.0
    return min(token - window.start, window.start + window.count - 1 - token) + 0.01 * window.count


def best_in(window, others, scores):
    """(score, first, last) in tokens of the paragraph; an answer begins where this window shows the most around it."""
    firsts, lasts = (torch.sort(scores[:len(window.ids), side], descending=True, stable=True)[1][:CANDIDATES].tolist()
                     for side in (0, 1))
    best = None
    for first in firsts:
        token = window.start + first - window.second
        if not window.second <= first < len(window.ids) - 1:
            continue
        if max(others, key=lambda other: context_of(other, token)) is not window:
            continue
        for last in lasts:
            if not first <= last < min(len(window.ids) - 1, first + ANSWER_TOKENS):
                continue
            score = (scores[first, 0].double() + scores[last, 1].double()).item()
            if best is None or score > best[0]:
                best = (score, token, window.start + last - window.second)
    return best


def answers(model, questions, tokenizer, length, where, batch=32):
    """{question id: text}."""
    paragraphs = Paragraphs(tokenizer)
    windows = [list(windows_of(i, q, paragraphs, length, False)) for i, q in enumerate(questions)]
    flat = [window for each in windows for window in each]
    found = [None] * len(questions)
    model.eval()
    with torch.no_grad():
        for which in features.by_length([len(w.ids) for w in flat], batch):
            ids, types, mask, _ = batch_of([flat[i] for i in which], tokenizer.pad, where)
            for i, scores in zip(which, model.answer(model.encoder(ids, types, mask)).cpu()):
                window = flat[i]
                best = best_in(window, windows[window.question], scores)
                if best and (found[window.question] is None or best[0] > found[window.question][0]):
                    found[window.question] = best
    return {q.key: text_of(q, paragraphs, best) for q, best in zip(questions, found)}


def text_of(question, paragraphs, best):
    if best is None:
        return ""
    _, begins, ends = paragraphs.of(question.context)
    return question.context[begins[best[1]]:ends[best[2]]]


def score(model, path, tokenizer, length, where, examples=0):
    questions = list(tasks.read_squad(path))[:examples or None]
    got = answers(model, questions, tokenizer, length, where)
    return metrics.squad(got, [(q.key, [text for _, text in q.answers]) for q in questions])


class Training:
    """The windows to train on, in the form that fine-tuning takes."""

    def __init__(self, path, tokenizer, length, examples=0):
        paragraphs = Paragraphs(tokenizer)
        questions = list(tasks.read_squad(path))[:examples or None]
        self.windows = [w for i, q in enumerate(questions) for w in windows_of(i, q, paragraphs, length, True)]
        self.rows = [window.ids for window in self.windows]
        self.filler = tokenizer.pad

    def loss(self, model, which, where):
        ids, types, mask, wanted = batch_of([self.windows[i] for i in which], self.filler, where)
        return loss_of(model.answer(model.encoder(ids, types, mask)), mask, wanted)


def dev_file(folder):
    path = pathlib.Path(folder) / "dev-v1.1.json"
    if not path.is_file():
        raise SystemExit(f"{path} is not there")
    return path


def folder_files(folder):
    """The training file, which may be a part of the published one, and the dev file."""
    found = sorted(pathlib.Path(folder).glob("train-v1.1*.json"))
    if not found:
        raise SystemExit(f"{folder}/train-v1.1.json is not there")
    return found[0], dev_file(folder)
