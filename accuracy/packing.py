# SPDX-License-Identifier: MIT
"""Pre-training batches: sequences filled to the brim, whole words masked, and every second one's latter part
from somewhere else.

A batch follows from seed and step alone, so that a run that resumes, and another model with the same seed, see
the same tokens.
"""
import pathlib

import numpy
import torch

from .text import documents
from .tokenizer import SPECIAL

MASKED = 0.15
HELD_OUT = 50


class Corpus:
    """Token ids one after the other; where each sentence begins, and where its document begins and ends."""

    def __init__(self, ids, sentence, first, last):
        self.ids, self.sentence, self.first, self.last = ids, sentence, first, last

    @classmethod
    def read(cls, folders, files, tokenizer, cache):
        """From the cache, a file, where that is there; else from the folders, and into it."""
        cache = pathlib.Path(cache)
        if len(tokenizer) > numpy.iinfo(numpy.uint16).max:
            raise SystemExit("a vocabulary of more than 65535 tokens is too large")
        if not cache.exists():
            cls.build(folders, files, tokenizer, cache)
        with numpy.load(cache) as held:
            return cls(*(held[name] for name in ("ids", "sentence", "first", "last")))

    @staticmethod
    def build(folders, files, tokenizer, cache):
        ids, sentence, first, last = [], [], [], []
        total = 0
        for document in documents(folders, files):
            begin, starts = total, []
            for text in document:
                tokens = tokenizer.encode(text)
                starts.append(total)
                ids.append(numpy.array(tokens, dtype=numpy.uint16))
                total += len(tokens)
            sentence += starts
            first += [begin] * len(starts)
            last += [total] * len(starts)
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(".part.npz")
        numpy.savez(partial, ids=numpy.concatenate(ids), sentence=numpy.array(sentence), first=numpy.array(first),
                    last=numpy.array(last))
        partial.replace(cache)

    def parts(self):
        """What to train on, and every HELD_OUTth document, to measure on; of few documents the last."""
        document = numpy.unique(self.first, return_inverse=True)[1]
        count = document.max() + 1
        if count < 2:
            raise SystemExit("the text has fewer than two documents: there is nothing to hold out")
        apart = min(HELD_OUT, count)
        kept = document % apart == apart - 1
        return (Corpus(self.ids, self.sentence[which], self.first[which], self.last[which]) for which in (~kept, kept))

    def place(self, draw, room):
        """A sentence's first token, so that its document goes on for `room` tokens if it is that long."""
        i = int(draw.integers(len(self.sentence)))
        latest = max(int(self.last[i]) - room, int(self.first[i]))
        if self.sentence[i] > latest:
            i = int(numpy.searchsorted(self.sentence, latest, "right")) - 1
        return int(self.sentence[i]), int(self.last[i])

    def cut(self, draw, start, end):
        """A sentence's beginning between them, or the middle where there is none."""
        low, high = numpy.searchsorted(self.sentence, (start + 1, end))
        if low < high:
            return int(self.sentence[draw.integers(low, high)])
        return start + max(1, (end - start) // 2)


class Packer:
    """Makes the batches of a corpus."""

    def __init__(self, corpus, tokenizer, length, sequences, seed, next_sentence=True):
        self.corpus, self.tokenizer, self.length, self.sequences = corpus, tokenizer, length, sequences
        self.seed, self.next_sentence = seed, next_sentence
        self.continues = numpy.array([token.startswith("##") for token in tokenizer.tokens])
        self.ordinary = numpy.array([i for i, token in enumerate(tokenizer.tokens) if token not in SPECIAL])

    def sequence(self, draw):
        """Ids of one sequence, where its second part begins, and whether that is from elsewhere."""
        corpus, tokens = self.corpus, self.tokenizer
        room = self.length - (3 if self.next_sentence else 2)
        start, last = corpus.place(draw, room)
        end = min(start + room, last)
        if not self.next_sentence:
            return [tokens.cls, *corpus.ids[start:end], tokens.sep], end - start + 2, 0
        middle = corpus.cut(draw, start, end)
        other = bool(draw.random() < 0.5)
        second = corpus.ids[middle:end]
        if other:
            need = room - (middle - start)
            begin, limit = corpus.place(draw, need)
            second = corpus.ids[begin:min(begin + need, limit)]
        return [tokens.cls, *corpus.ids[start:middle], tokens.sep, *second, tokens.sep], middle - start + 2, int(other)

    def batch(self, step):
        draw = numpy.random.default_rng((self.seed, step))
        ids = numpy.full((self.sequences, self.length), self.tokenizer.pad, dtype=numpy.int64)
        types = numpy.zeros_like(ids)
        real = numpy.zeros(ids.shape, dtype=bool)
        elsewhere = numpy.zeros(self.sequences, dtype=numpy.int64)
        for row in range(self.sequences):
            tokens, second, elsewhere[row] = self.sequence(draw)
            ids[row, :len(tokens)] = tokens
            types[row, second:len(tokens)] = 1
            real[row, :len(tokens)] = True
        masked, labels = self.mask(draw, ids, real)
        return {"ids": torch.from_numpy(masked), "types": torch.from_numpy(types),
                "mask": None if real.all() else torch.from_numpy(real), "elsewhere": torch.from_numpy(elsewhere),
                "labels": torch.from_numpy(labels)}

    def mask(self, draw, ids, real):
        """Whole words, 15 in 100 of them: 80 % [MASK], 10 % any token, 10 % left alone.  Labels: -100 elsewhere."""
        special = ~real | (ids == self.tokenizer.cls) | (ids == self.tokenizer.sep)
        starts = ~self.continues[ids] | special
        word = starts.cumsum(1) - 1
        chosen = numpy.take_along_axis(draw.random(ids.shape) < MASKED, word, 1) & ~special
        labels = numpy.where(chosen, ids, -100)
        kind = draw.random(ids.shape)
        masked = numpy.where(chosen & (kind < 0.8), self.tokenizer.mask, ids)
        anything = self.ordinary[draw.integers(len(self.ordinary), size=ids.shape)]
        return numpy.where(chosen & (kind >= 0.9), anything, masked), labels
