#!/bin/bash
# SPDX-License-Identifier: MIT
#
# traffic.sh -- what a request of BP+AllGather (BERT-Base, four devices, D = G = 4, 128 tokens) sends: the payload that
# the accountant counts, and the bytes that leave the interface, frames and all.
#
#     [MBIT=1000] [WIRES="f32 f16 int8"] bench/testbed/traffic.sh
#
# From runs of 25 and of 125 requests: what starts and ends a run is in both, and so are the requests during which the
# kernel widens the receive window of each connection and, as long as it does, acknowledges every second packet.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/exp.ini" <<END
[experiment]
results = $work/results
warmup = 0
[model]
config = $PWD/examples/bert-base-decoupled.json
weights = random
[input]
random = yes
sequence_length = 128
[kernel]
plugin = native
[transport]
plugin = tcp
[planner]
plugin = fixed
[planner.fixed]
strategy = bp+ag
END

run() { # REQUESTS WIRE
    COUNT=$work/count.$1 bench/testbed/testbed.sh --devices 4 --mbit "${MBIT:-1000}" lead bench/testbed/experiment.sh run \
        "$work/exp.ini" --set "experiment.requests=$1" --set "transport.wire=$2" --json "$work/report.json" >"$work/out" 2>&1 || {
        cat "$work/out" >&2
        exit 1
    }
}

printf '%-5s %6s %15s %15s %6s\n' wire device 'payload kB' 'interface kB' more
for wire in ${WIRES:-f32 f16 int8}; do
    run 25 $wire
    run 125 $wire
    python3 - "$work" $wire <<'END'
import json, sys
work, wire = sys.argv[1:]
counts = [dict(map(int, line.split()) for line in open("%s/count.%d" % (work, n))) for n in (25, 125)]
for device, row in enumerate(json.load(open(work + "/report.json"))["devices"]):
    payload, sent = row["bytes_sent"], (counts[1][device] - counts[0][device]) / 100
    print("%-5s %6d %15.1f %15.1f %5.1f%%" % (wire, device, payload / 1e3, sent / 1e3, 100 * (sent / payload - 1)))
END
done
