# SPDX-License-Identifier: MIT
"""Plain text as it is published: documents of sentences out of a folder.

Known forms: WikiExtractor's (`<doc ...>` to `</doc>`, a paragraph a line), and plain text files, whose
paragraphs are lines, or hard-wrapped lines between empty ones.
"""
import pathlib
import re

SENTENCE_END = re.compile(r"(?<=[.!?])(?:[\"'”’)]*)\s+(?=[\"'“‘(]?[A-Z0-9])")
SHORTEST = 3  # words; a document's title and the like are not sentences


def files(folders, most):
    """The text files of each folder, the first `most` of each; 0: all."""
    for folder in folders:
        found = sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file() and not p.name.startswith("README"))
        if not found:
            raise SystemExit(f"{folder}: no text file")
        yield from found[:most or None]


def paragraphs(lines):
    """Lines joined up to an empty one."""
    held = []
    for line in lines:
        line = line.strip()
        if line:
            held.append(line)
        elif held:
            yield " ".join(held)
            held = []
    if held:
        yield " ".join(held)


def documents(folders, most=0):
    """Lists of sentences."""
    for path in files(folders, most):
        text = path.read_text(encoding="utf-8-sig", errors="replace").replace("\r", "")
        if "<doc " in text[:2000]:
            for document in text.split("</doc>"):
                yield sentences(line for line in document.split("\n") if not line.startswith("<doc "))
        else:
            yield sentences(paragraphs(text.split("\n")))


def sentences(lines):
    return [s for line in lines for s in SENTENCE_END.split(line) if s.count(" ") >= SHORTEST - 1]
