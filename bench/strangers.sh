#!/bin/sh
# SPDX-License-Identifier: MIT
#
# strangers.sh [CONNECTIONS [ROUNDS]] -- what strangers at a worker's port cost an experiment that it takes part in: the median
# latency of requests while nobody knocks and while CONNECTIONS (10000) connections with random bytes, a browser's request or
# nothing at all come to one of two workers.  Quiet and noisy runs take turns, ROUNDS (3) times; the medians are compared.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
program=${PROGRAM:-$top/detransformer}
knock=${KNOCK:-$top/tests/tools/knock}
count=${1:-10000} rounds=${2:-3}
folder=$(mktemp -d)
workers=
trap 'kill $workers 2>/dev/null; wait; rm -rf "$folder"' EXIT
cd "$folder"
(umask 077; "$program" key new >key)
for name in a b; do
    "$program" worker --listen 127.0.0.1:0 --key-file key --log error >$name &
    workers="$workers $!"
done
until [ -s a ] && [ -s b ]; do sleep 0.1; done
a=$(sed 's/.* //' a) b=$(sed 's/.* //' b)

# Emulated devices compute in the experiment's time, not in this machine's, which the strangers need too.
cat >exp.ini <<INI
[experiment]
requests = ${REQUESTS:-300}
warmup = 20
results = $folder/results
[model]
config = $top/examples/bert-base-decoupled.json
weights = random
[input]
random = yes
sequence_length = 32
[cluster]
launch = remote
addresses = $a $b
key_file = key
[device]
threads = 1
[kernel]
plugin = throttle
[kernel.throttle]
gflops = ${GFLOPS:-40}
[transport]
plugin = tcp
[planner]
plugin = fixed
[planner.fixed]
strategy = bp+sp
INI

median() { # FILE
    awk -F'[:,]' '/"median"/ { print $2 + 0; exit }' "$1"
}

for round in $(seq "$rounds"); do
    "$program" run exp.ini --json quiet.json >/dev/null
    # As many as there are requests' time for: the noise lasts as long as the run.
    seconds=$(awk -v ms="$(median quiet.json)" -v n="${REQUESTS:-300}" 'BEGIN { print ms * n / 1000 }')
    "$program" run exp.ini --json noisy.json >/dev/null &
    run=$!
    sleep "${LEAD:-3}"
    "$knock" 127.0.0.1 "${a##*:}" "$count" "$(awk -v n="$count" -v s="$seconds" 'BEGIN { print int(n / s) + 1 }')" >heard ||
        cat heard
    wait $run
    echo "round $round: quiet $(median quiet.json) ms, noisy $(median noisy.json) ms; $(cat heard)"
    echo "$(median quiet.json) $(median noisy.json)" >>ratios
done
awk '{ print $2 / $1 }' ratios | sort -n | awk '{ v[NR] = $1 } END { printf "latency with strangers / without: %.3f (median of %d)\n", v[int((NR + 1) / 2)], NR }'
