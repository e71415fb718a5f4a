# SPDX-License-Identifier: MIT
"""Tables and curves out of the CSV files that the runs of an experiment leave."""
import collections
import csv
import pathlib
import shutil
import statistics
import subprocess


def read_csv(path):
    path = pathlib.Path(path)
    if not path.exists():
        return []
    with path.open(newline="") as held:
        return list(csv.DictReader(held))


def spread(values):
    """Mean, and the standard deviation where there are several."""
    mean = f"{100 * statistics.mean(values):.2f}"
    return mean + (f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else "")


def last_losses(folder):
    """{cell: [held-out loss at the end of pre-training of each seed]}."""
    out = collections.defaultdict(list)
    for path in sorted(folder.glob("pretrain/*/metrics.csv")):
        rows = read_csv(path)
        if rows and (path.parent / "model").exists():
            out[cell_of(path.parent.name)].append(float(rows[-1]["held_out_loss"]))
    return out


def cell_of(run):
    """`d4g2-seed1` is a run of cell `d4g2`."""
    return run.rsplit("-seed", 1)[0]


def in_order(cells):
    """Originals, decoupled models, and those that were sliced from an original."""
    return sorted(cells, key=lambda cell: (not cell.startswith("original"), cell.startswith("sliced-"), cell))


def table(folder):
    """A Markdown table: a row a cell, the held-out loss and the metric of each task in per cent."""
    found = collections.defaultdict(lambda: collections.defaultdict(dict))
    columns = []
    for row in read_csv(folder / "results.csv"):
        column = f"{row['task']} {row['metric']}"
        columns += [column] if column not in columns else []
        found[row["cell"]][column][row["seed"]] = float(row["value"])
    losses = last_losses(folder)
    lines = ["| model | seeds | held-out loss | " + " | ".join(columns) + " |", "|---" * (3 + len(columns)) + "|"]
    for cell in in_order({*found, *losses}):
        seeds = max([len(v) for v in found[cell].values()] + [len(losses[cell])])
        loss = f"{statistics.mean(losses[cell]):.3f}" if losses[cell] else ""
        figures = (spread(list(found[cell][column].values())) if found[cell][column] else "" for column in columns)
        lines.append(f"| {cell} | {seeds} | {loss} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


def plot(folder):
    """curves.png: the held-out loss of every run over the tokens it has seen.  Needs gnuplot."""
    runs = [folder / "pretrain" / name / "metrics.csv"
            for name in in_order(path.parent.name for path in folder.glob("pretrain/*/metrics.csv"))]
    if not runs or not shutil.which("gnuplot"):
        return
    curves = ", ".join(f"'{path}' using ($2/1e6):6 every ::1 with lines lw 1.5 title '{path.parent.name}'" for path in runs)
    commands = f"""set terminal pngcairo size 900,560 noenhanced
set output '{folder / "curves.png"}'
set datafile separator ','
set xlabel 'tokens, millions'
set ylabel 'held-out masked-word loss'
set key outside right
set grid
plot {curves}
"""
    (folder / "curves.gnuplot").write_text(commands)
    subprocess.run(["gnuplot", folder / "curves.gnuplot"], check=True)


def report(folder):
    folder = pathlib.Path(folder)
    text = table(folder)
    (folder / "table.md").write_text(text)
    plot(folder)
    print(text, end="")
