#!/bin/sh
# SPDX-License-Identifier: MIT
#
# paper-figure.sh -- the paper's figure, measured on four emulated devices: every strategy's latency as a fraction of
# one device's, in one sweep.  An interrupted sweep goes on.  Options go to the sweep:
#
#     bench/paper-figure.sh --set experiment.requests=3
set -eu
cd "$(dirname "$0")/.."
results=results/paper-figure
mkdir -p results
./detransformer sweep examples/paper-figure.ini --set "experiment.results=$results" "$@" >"$results.txt" || {
    cat "$results.txt"
    exit 1
}
cat "$results.txt"
echo
awk -F, '
    NR > 1 {
        n = split($2, path, "/")
        model = path[n]
        sub(/\.json$/, "", model)
        if ($1 == "one_device")
            single[model "," $3] = $4
        else if ($4 != "") {
            rows[++count] = model "," $3 "," $1
            median[count] = $4
            note[count] = $11 == "yes" ? "" : "  (ran late)"
        }
    }
    END {
        printf "%-24s %8s  %-8s %10s  of one device\n", "model", "Mbit/s", "strategy", "median ms"
        for (i = 1; i <= count; i++) {
            split(rows[i], place, ",")
            printf "%-24s %8s  %-8s %10.1f  %.3f%s\n", place[1], place[2], place[3], median[i],
                median[i] / single[place[1] "," place[2]], note[i]
        }
    }' "$results/sweep.csv"
