#!/bin/bash
# SPDX-License-Identifier: MIT
#
# validate.sh -- the `emulated` transport beside a network that the kernel shapes: the same experiment, four throttled
# devices, once over `emulated` and once over tcp in the testbed, at several rates and by several strategies.
#
#     [RATES="125 250 500"] [STRATEGIES="tp sp bp+ag bp+sp"] [REQUESTS=5] bench/testbed/validate.sh
#
# Collectives go by ring, in which every port has one sender: several into one lose packets of TCP, which `emulated` does
# not imitate.  A shaped port counts headers: of a rate, TCP gets 1448 bytes of every frame of 1514, and `emulated` is given just that.
set -eu
cd "$(dirname "$0")/../.."
rates=${RATES:-125 250 500} strategies=${STRATEGIES:-tp sp bp+ag bp+sp}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n '/^\[model\]/,/^\[transport\]/p' examples/pi4-125mbit.ini |
    sed "s|^config = |&$PWD/examples/|; /^\[cluster\]/a lost_after_ms = 5000" >"$work/exp.ini"
cat >>"$work/exp.ini" <<INI
plugin = tcp
all_gather = ring
all_reduce = ring
[transport.emulated]
over = shm
latency_us = ${LATENCY_US:-50}
[planner]
plugin = fixed
[experiment]
requests = ${REQUESTS:-5}
warmup = 1
INI

# figure KEY FILE
figure() {
    awk -F'[:,]' -v key="\"$1\"" 'index($0, key) { print $2 + 0; exit }' "$2"
}

printf '%-8s %-8s %12s %12s %9s\n' Mbit/s strategy 'emulated ms' 'shaped ms' ratio
for rate in $rates; do
    carried=$(awk -v rate="$rate" 'BEGIN { printf "%.2f", rate * 1448 / 1514 }')
    for strategy in $strategies; do
        ./detransformer run "$work/exp.ini" --set "planner.fixed.strategy=$strategy" --set transport.plugin=emulated \
            --set "transport.emulated.mbit=$carried" --json "$work/emulated.json" >/dev/null
        bench/testbed/testbed.sh --devices 4 --mbit "$rate" lead bench/testbed/experiment.sh run "$work/exp.ini" \
            --set "planner.fixed.strategy=$strategy" --json "$work/shaped.json" >/dev/null
        awk -v rate="$rate" -v strategy="$strategy" -v e="$(figure median "$work/emulated.json")" \
            -v s="$(figure median "$work/shaped.json")" \
            'BEGIN { printf "%-8s %-8s %12.1f %12.1f %9.3f\n", rate, strategy, e, s, e / s }'
    done
done
