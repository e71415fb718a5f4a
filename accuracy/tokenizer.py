# SPDX-License-Identifier: MIT
"""BERT's uncased tokenizer: basic tokens, then WordPiece, greedy from the left.

What a chunk between blanks becomes is remembered: text repeats itself, and that is what makes it quick.
"""
import pathlib
import re
import unicodedata

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST_WORD = 100  # characters; what is longer is [UNK]
ASCII_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
       (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def is_punctuation(char):
    return (char.isascii() and not char.isalnum() and char.isprintable() and char != " ") or \
        unicodedata.category(char).startswith("P")


def is_alone(char):
    """A token of its own wherever it stands."""
    return is_punctuation(char) or any(least <= ord(char) <= most for least, most in CJK)


def is_control(char):
    return char in "\0\ufffd" or unicodedata.category(char).startswith("C")


def is_blank(char):
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def basic_tokens(chunk):
    """Lower-case words and punctuation marks of a text."""
    if chunk.isascii() and chunk.isprintable():
        return ASCII_WORDS.findall(chunk.lower())
    kept = "".join(" " if is_blank(c) else "" if is_control(c) else c for c in chunk)
    spaced = "".join(f" {c} " if is_alone(c) and not is_punctuation(c) else c for c in kept)
    plain = (c for c in unicodedata.normalize("NFD", spaced.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if is_punctuation(c) else c for c in plain).split()


def located_words(text):
    """(word, where in the text each of its characters is from) of every basic token."""
    word, where = [], []
    for at, original in enumerate(text):
        ends = is_blank(original) or is_alone(original)
        if ends and word:
            yield "".join(word), where
            word, where = [], []
        if is_blank(original) or is_control(original):
            continue
        for char in unicodedata.normalize("NFD", original.lower()):
            if unicodedata.category(char) == "Mn":
                continue
            word.append(char)
            where.append(at)
        if ends and word:
            yield "".join(word), where
            word, where = [], []
    if word:
        yield "".join(word), where


class Tokenizer:
    def __init__(self, path):
        lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")
        self.tokens = lines[:-1] if lines and not lines[-1] else lines
        self.index = {token: i for i, token in enumerate(self.tokens)}
        for token in SPECIAL:
            if token not in self.index:
                raise ValueError(f"{path}: {token} is missing")
        self.pad, self.unknown, self.cls, self.sep, self.mask = (self.index[t] for t in SPECIAL)
        self.known = {}

    def __len__(self):
        return len(self.tokens)

    def pieces(self, word):
        """Ids of a basic token."""
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        out, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self.index.get(("##" if start else "") + word[start:end])
                if piece is not None:
                    break
            else:
                return [self.unknown]
            out.append(piece)
            start = end
        return out

    def located(self, text):
        """Ids, and of each token where in the text it begins and ends."""
        ids, begins, ends = [], [], []
        for word, where in located_words(text):
            pieces, at = self.pieces(word), 0
            for piece in pieces:
                size = len(word) if piece == self.unknown else len(self.tokens[piece].removeprefix("##"))
                ids.append(piece)
                begins.append(where[at])
                ends.append(where[at + size - 1] + 1)
                at += size
        return ids, begins, ends

    def encode(self, text):
        """Ids, without [CLS] and [SEP]."""
        ids = []
        for chunk in text.split():
            found = self.known.get(chunk)
            if found is None:
                found = [i for word in basic_tokens(chunk) for i in self.pieces(word)]
                self.known[chunk] = found
            ids += found
        return ids
