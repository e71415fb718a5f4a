# SPDX-License-Identifier: MIT
"""The metrics of GLUE and SQuAD v1.1, as their own scorers compute them."""
import collections
import math
import re
import string

ARTICLES = re.compile(r"\b(a|an|the)\b")


def accuracy(got, wanted):
    return sum(g == w for g, w in zip(got, wanted)) / len(wanted)


def confusion(got, wanted):
    """True and false positives, false and true negatives, of class 1."""
    pairs = collections.Counter((bool(g), bool(w)) for g, w in zip(got, wanted))
    return pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False]


def f1(got, wanted):
    hit, false, missed, _ = confusion(got, wanted)
    return 2 * hit / (2 * hit + false + missed) if hit else 0.0


def matthews(got, wanted):
    tp, fp, fn, tn = confusion(got, wanted)
    bottom = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(bottom) if bottom else 0.0


def pearson(got, wanted):
    n = len(got)
    mean_got, mean_wanted = math.fsum(got) / n, math.fsum(wanted) / n
    both = math.fsum((g - mean_got) * (w - mean_wanted) for g, w in zip(got, wanted))
    spread = math.fsum((g - mean_got) ** 2 for g in got) * math.fsum((w - mean_wanted) ** 2 for w in wanted)
    return both / math.sqrt(spread) if spread > 0 else 0.0


def ranks(values):
    """Equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    out, i = [0.0] * len(values), 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            out[order[k]] = (i + j) / 2
        i = j + 1
    return out


def spearman(got, wanted):
    return pearson(ranks(got), ranks(wanted))


def normalise(answer):
    """Lower case, no punctuation, no articles, single blanks."""
    kept = "".join(c for c in answer.lower() if c not in string.punctuation)
    return " ".join(ARTICLES.sub(" ", kept).split())


def overlap_f1(got, wanted):
    got, wanted = normalise(got).split(), normalise(wanted).split()
    common = sum((collections.Counter(got) & collections.Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(got), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def squad(answers, questions):
    """answers {id: text}; questions [(id, [answer])]; an id that is absent counts as wrong."""
    exact = total = 0.0
    for key, golds in questions:
        if key in answers:
            exact += max(normalise(answers[key]) == normalise(gold) for gold in golds)
            total += max(overlap_f1(answers[key], gold) for gold in golds)
    return {"exact_match": 100 * exact / len(questions), "f1": 100 * total / len(questions)}
