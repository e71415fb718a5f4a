#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes an uncased WordPiece vocabulary from texts, with nothing but Python's standard library.

    examples/make_vocab.py [--lines N] [--bytes N] FILE... >vocab.txt

Beginning with single characters, the two pieces that stand side by side most often become one, again
and again, until the vocabulary has as many lines as asked for.  demo-vocab.txt was made so, with the default
options, from the 93 books of 1839 to 1927 in "100 English Novels", version 1.4, of the Computational
Stylistics Group (github.com/computationalstylistics/100_english_novels); all are in the public domain.
"""
import argparse
import collections
import heapq
import itertools
import pathlib
import unicodedata

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ASCII = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
# A character that is rarer than this is left to [UNK].
RAREST = 20


def words_of(text):
    """Words and punctuation marks as BERT's uncased tokenizer finds them."""
    text = unicodedata.normalize("NFD", text.lower())
    word = ""
    for char in text:
        kind = unicodedata.category(char)
        if kind[0] in "LN":
            word += char
        elif char.isspace() or kind[0] in "PSZ":
            yield from filter(None, (word, char.strip()))
            word = ""
    if word:
        yield word


def sample(path, size):
    """`size` bytes from the middle of a file: what is at its ends may be a title or a licence."""
    data = path.read_bytes()
    begin = max(0, len(data) - size) // 2
    return data[begin:begin + size].decode("utf-8", "ignore")


class Trainer:
    """Words as lists of pieces, and how often each pair of neighbours occurs in them."""

    def __init__(self, counts):
        self.counts = list(counts.values())
        self.words = [[word[0]] + ["##" + char for char in word[1:]] for word in counts]
        self.pairs = collections.Counter()
        self.where = collections.defaultdict(set)
        for index in range(len(self.words)):
            self.add(index)
        self.heap = [(-count, pair) for pair, count in self.pairs.items()]
        heapq.heapify(self.heap)

    def add(self, index):
        for pair in itertools.pairwise(self.words[index]):
            self.pairs[pair] += self.counts[index]
            self.where[pair].add(index)

    def remove(self, index):
        for pair in itertools.pairwise(self.words[index]):
            self.pairs[pair] -= self.counts[index]

    def best(self):
        """The most frequent pair; of several the first in the alphabet, so that it is always the same."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            if self.pairs[pair] == -count:
                return pair if count else None
        return None

    def merge(self, pair):
        joined = pair[0] + pair[1][2:]
        changed = set()
        for index in self.where.pop(pair):
            old = self.words[index]
            self.remove(index)
            new = []
            for piece in old:
                if new and (new[-1], piece) == pair:
                    new[-1] = joined
                else:
                    new.append(piece)
            self.words[index] = new
            self.add(index)
            changed.update(itertools.pairwise(old), itertools.pairwise(new))
        for other in changed:
            heapq.heappush(self.heap, (-self.pairs[other], other))
        return joined


def vocabulary(counts, lines):
    chars = collections.Counter()
    for word, count in counts.items():
        for char in word:
            chars[char] += count
    kept = {char for char, count in chars.items() if count >= RAREST} | set(ASCII)
    trainer = Trainer({word: count for word, count in counts.items() if kept.issuperset(word)})
    inner = {piece for word in trainer.words for piece in word[1:]} | {"##" + char for char in ASCII if char.isalnum()}
    pieces = dict.fromkeys(SPECIAL + sorted(kept) + sorted(inner))
    while len(pieces) < lines:
        pair = trainer.best()
        if not pair:
            break
        pieces[trainer.merge(pair)] = None
    return list(pieces)


def main():
    parser = argparse.ArgumentParser(description="Make an uncased WordPiece vocabulary from texts.")
    parser.add_argument("--lines", type=int, default=8000)
    parser.add_argument("--bytes", type=int, default=65536, help="how much is read of each file")
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    counts = collections.Counter()
    for path in options.files:
        counts.update(words_of(sample(path, options.bytes)))
    print("\n".join(vocabulary(counts, options.lines)))


if __name__ == "__main__":
    main()
