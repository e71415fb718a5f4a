# SPDX-License-Identifier: MIT
"""Trains a WordPiece vocabulary: pairs of pieces are joined, the most frequent first, until it is full."""
import collections
import heapq

from .text import documents
from .tokenizer import SPECIAL, basic_tokens

RAREST_WORD = 3
LONGEST_WORD = 30


def count_words(folders, most):
    chunks = collections.Counter()
    for document in documents(folders, most):
        for sentence in document:
            chunks.update(sentence.split())
    words = collections.Counter()
    for chunk, count in chunks.items():
        for word in basic_tokens(chunk):
            words[word] += count
    return {word: n for word, n in words.items() if n >= RAREST_WORD and len(word) <= LONGEST_WORD}


def alphabet_of(words, most):
    letters = collections.Counter()
    for word, count in words.items():
        for letter in word:
            letters[letter] += count
    return {letter for letter, _ in letters.most_common(most)}


class Merger:
    """The words as lists of pieces, and how often each pair of neighbours occurs in which of them."""

    def __init__(self, words):
        self.words = [[word[0], *("##" + c for c in word[1:])] for word in words]
        self.counts = list(words.values())
        self.pairs = collections.Counter()
        self.where = collections.defaultdict(set)
        for i in range(len(self.words)):
            self.add(i, 1)
        self.heap = [(-n, pair) for pair, n in self.pairs.items()]
        heapq.heapify(self.heap)

    def add(self, i, sign):
        word = self.words[i]
        for pair in zip(word, word[1:]):
            self.pairs[pair] += sign * self.counts[i]
            if sign > 0:
                self.where[pair].add(i)

    def best(self):
        """The most frequent pair; entries whose count has changed since are put back with the new one."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            if self.pairs[pair] == -count:
                return pair if count < 0 else None
            if self.pairs[pair] > 0:
                heapq.heappush(self.heap, (-self.pairs[pair], pair))
        return None

    def merge(self, pair, piece):
        touched = self.where.pop(pair)
        changed = set()
        for i in touched:
            self.add(i, -1)
            word, out = self.words[i], []
            for part in word:
                if out and (out[-1], part) == pair:
                    out[-1] = piece
                else:
                    out.append(part)
            self.words[i] = out
            self.add(i, 1)
            changed.update(zip(out, out[1:]))
        for each in changed:
            heapq.heappush(self.heap, (-self.pairs[each], each))


def train(folders, size, letters=150, files=0):
    """The tokens of a vocabulary of that size, the special ones first; of the first `files` files of each folder."""
    words = count_words(folders, files)
    alphabet = alphabet_of(words, letters)
    merger = Merger({word: n for word, n in words.items() if alphabet.issuperset(word)})
    tokens = [*SPECIAL, *sorted(alphabet), *("##" + letter for letter in sorted(alphabet))]
    known = set(tokens)
    while len(tokens) < size:
        pair = merger.best()
        if pair is None:
            break
        piece = pair[0] + pair[1][2:]
        merger.merge(pair, piece)
        if piece not in known:
            known.add(piece)
            tokens.append(piece)
    return tokens
