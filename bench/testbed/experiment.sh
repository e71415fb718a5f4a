#!/bin/bash
# SPDX-License-Identifier: MIT
#
# experiment.sh -- runs an experiment with one device in each namespace of the testbed:
#
#     bench/testbed/testbed.sh --devices 4 --mbit 100 lead bench/testbed/experiment.sh run EXP.ini [OPTION]...
#
# Any command that takes an experiment will do.  Workers listen on devices 1, 2, ..., the leader runs on device 0.  With
# COUNT=FILE the bytes that each device's interface sent meanwhile, frames and all, go there, a line a device.
set -eu
: "${DTR_TESTBED:?runs in the testbed: bench/testbed/testbed.sh lead bench/testbed/experiment.sh ...}"
program=${DTR_PROGRAM:-$(dirname "$0")/../../detransformer}
work=$(mktemp -d)
workers=()
trap '[ ${#workers[@]} = 0 ] || kill "${workers[@]}" 2>/dev/null; rm -rf "$work"' EXIT

# sent DEVICE -- bytes since its interface is up.
sent() {
    "$DTR_TESTBED" on "$1" awk '$1 == "eth0:" { print $10 }' /proc/net/dev
}

(umask 077 && "$program" key new >"$work/key")
addresses=()
for ((device = 1; device < DTR_TESTBED_DEVICES; device++)); do
    "$DTR_TESTBED" on "$device" "$program" worker --listen "10.77.0.$((device + 1)):0" --key-file "$work/key" \
        >"$work/$device" &
    workers+=($!)
done
for ((device = 1; device < DTR_TESTBED_DEVICES; device++)); do
    for ((try = 0; try < 200; try++)); do
        address=$(sed -n 's/^listening at //p' "$work/$device")
        [ -z "$address" ] || break
        sleep 0.1
    done
    [ -n "$address" ] || { echo "experiment.sh: the worker on device $device does not listen" >&2; exit 1; }
    addresses+=("$address")
done
for ((device = 0; device < DTR_TESTBED_DEVICES; device++)); do
    # Or several frames would be counted as one, with one header.
    [ -z "${COUNT:-}" ] || "$DTR_TESTBED" on "$device" ip link set eth0 gso_max_segs 1
    before[device]=$(sent "$device")
done
status=0
"$program" "$@" --set "cluster.devices=$DTR_TESTBED_DEVICES" --set cluster.launch=remote \
    --set "cluster.addresses=${addresses[*]}" --set "cluster.key_file=$work/key" || status=$?
if [ -n "${COUNT:-}" ]; then
    for ((device = 0; device < DTR_TESTBED_DEVICES; device++)); do
        echo "$device $(($(sent "$device") - before[device]))"
    done >"$COUNT"
fi
exit $status
