#!/bin/sh
# SPDX-License-Identifier: MIT
#
# scale.sh -- how long planning and simulating take, in seconds: 24 layers on 64 unequal devices by
# each planner, and one request over 1024 devices under every strategy.  Nothing is run: the devices
# are described.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# describe DEVICES -- a profile of boards of ten kinds on ports of four.
describe() {
    awk -v n="$1" 'BEGIN {
        printf "[profile]\ndevices = %d\n", n
        split("1.25e8 1.25e8 3e7 1.25e7", rate)
        for (i = 0; i < n; i++)
            printf "[device.%d]\ngflops = %d\ngbyte_s = 4\nlink = 0.0002 %s\n", i, 10 + 5 * (i * 7 % 10),
                rate[1 + i * 3 % 4]
    }' >"$folder/$1.profile"
}

experiment() { # DEVICES
    cat <<INI
[model]
config = $PWD/examples/bert-large-decoupled.json
weights = random
[input]
random = yes
sequence_length = 512
[cluster]
devices = $1
[device]
threads = 1
[planner]
profile = $folder/$1.profile
INI
}

# seconds WHAT COMMAND... -- the line of one figure.
seconds() {
    what=$1
    shift
    begin=$(date +%s.%N)
    "$@" >"$folder/output"
    echo "$begin $(date +%s.%N)" | awk -v what="$what" '{ printf "%-44s %7.2f s\n", what, $2 - $1 }'
}

describe 64
experiment 64 >"$folder/64.ini"
for planner in static adaptive; do
    seconds "$planner: 24 layers on 64 devices" ./detransformer plan "$folder/64.ini" \
        --set "planner.plugin=$planner"
    sed -n 's/^.* on \([0-9]* of 64 devices, .* predicted\).*/    \1/p' "$folder/output"
done
describe 1024
for strategy in ${*:-single tp sp hmp pp bp+ag bp+tp bp+sp bp+root}; do
    {
        experiment 1024
        printf 'plugin = fixed\n[planner.fixed]\nstrategy = %s\n[sweep]\ninput.batch = 1\n' "$strategy"
    } >"$folder/1024.ini"
    rm -rf "$folder/sweep"
    seconds "$strategy: one request over 1024 devices" ./detransformer sweep "$folder/1024.ini" --predict \
        --set "experiment.results=$folder/sweep"
    awk -F, 'NR == 2 { printf "    %s ms predicted\n", $7 }' "$folder/sweep/sweep.csv"
done
