#!/bin/bash
# SPDX-License-Identifier: MIT
#
# collectives.sh -- all-gather and all-reduce of DeTransformer, Open MPI (TCP) and gloo in the same shaped namespaces, in
# the same run, beside a plain TCP stream of the bytes that the busiest port has to carry.
#
#     bench/peers/collectives.sh [--devices N] [--mbit RATE] [--transport NAME] [--json FILE] [BYTES...]
#     bench/peers/collectives.sh --local [--devices N] [--transport NAME] [--json FILE] [BYTES...]
#
# --local: on this machine as it is, over its loopback; Open MPI by its own shared memory beside the transport shm.
# Needs root or user namespaces, Open MPI with mpicc, and a Python with torch ($PYTHON, default /usr/bin/python3).  What is
# missing is left out.  Takes turns, ROUNDS=3 times, and compares the medians of the rounds; a round is the mean of
# REPEATS=20 after WARMUP=3.  "chosen" is the algorithm that a plan takes by a profile measured at the beginning.
# CORES=auto binds our devices and Open MPI's to cores; CONGESTION=cubic sets the congestion control of the namespaces.
set -eu
cd "$(dirname "$0")/../.."
top=$PWD
export PYTHON=${PYTHON:-/usr/bin/python3} ROUNDS=${ROUNDS:-3} REPEATS=${REPEATS:-20} WARMUP=${WARMUP:-3} CORES=${CORES:-any}
export CONGESTION=${CONGESTION:-}

fail() {
    echo "collectives.sh: $*" >&2
    exit 2
}

# --- on device 0 ------------------------------------------------------------------------------------------------------

# on DEVICE COMMAND... -- here, where there is no testbed.
on() {
    if [ -n "$DTR_TESTBED" ]; then
        "$DTR_TESTBED" on "$@"
    else
        "${@:2}"
    fi
}

# detransformer ARGUMENT... -- by workers on the testbed, where there is one.
detransformer() {
    local how=./detransformer
    [ -z "$DTR_TESTBED" ] || how=bench/testbed/experiment.sh
    $how "$@"
}

ours() {
    detransformer bench transport "$work/exp.ini" --collectives all-gather,all-reduce --algorithms direct,$ALGORITHMS \
        --sizes "$(IFS=,; echo "${SIZES[*]}")" --repeats "$REPEATS" --warmup "$WARMUP" \
        --set "planner.profile=$work/profile.ini" --json "$work/ours.json" >&2
    python3 - "$work/ours.json" <<'END'
import json, sys
for figure in json.load(open(sys.argv[1]))["figures"]:
    for who in [figure["algorithm"]] + ["chosen"] * figure["chosen"]:
        print("ours-" + who, figure["collective"], figure["bytes"], "%.1f" % figure["mean_us"])
END
}

mpi() {
    local how=(--mca btl tcp,self --mca btl_tcp_if_include "$interface")
    [ "$TRANSPORT" != shm ] || how=(--mca btl vader,self)
    if [ -n "$DTR_TESTBED" ]; then
        how+=(--mca plm_rsh_agent "$work/agent" --mca oob_tcp_if_include eth0 --host "$hosts")
    else
        how+=(--oversubscribe)
    fi
    [ "$CORES" = any ] || how+=(--bind-to core:overload-allowed)
    mpirun --allow-run-as-root "${how[@]}" --mca mpi_yield_when_idle 1 -n "$DTR_TESTBED_DEVICES" \
        "$work/mpi_collectives" "$REPEATS" "$WARMUP" "${SIZES[@]}" | sed 's/^/openmpi /'
}

gloo() {
    local port=$((20000 + RANDOM % 20000)) device
    for ((device = DTR_TESTBED_DEVICES - 1; device >= 0; device--)); do
        on "$device" env MASTER_ADDR="$DTR_TESTBED_ADDRESS" MASTER_PORT=$port RANK=$device \
            WORLD_SIZE="$DTR_TESTBED_DEVICES" GLOO_SOCKET_IFNAME=$interface \
            "$PYTHON" bench/peers/gloo_collectives.py "$REPEATS" "$WARMUP" "${SIZES[@]}" &
    done | sed 's/^/gloo /'
    wait
}

# Of a result of that size a port carries (N - 1) / N in an all-gather, twice that in an all-reduce.
stream() {
    local port=$((20000 + RANDOM % 20000)) size bytes=()
    for size in "${SIZES[@]}"; do
        bytes+=($((size / DTR_TESTBED_DEVICES * (DTR_TESTBED_DEVICES - 1))))
        bytes+=($((size / DTR_TESTBED_DEVICES * (DTR_TESTBED_DEVICES - 1) * 2)))
    done
    on 1 python3 bench/peers/stream.py $port &
    python3 bench/peers/stream.py $port "$neighbour" "$REPEATS" "${bytes[@]}" >"$work/stream.out"
    wait
    for size in "${SIZES[@]}"; do
        printf 'limit all-gather %s ' "$size"
        awk -v bytes=$((size / DTR_TESTBED_DEVICES * (DTR_TESTBED_DEVICES - 1))) '$1 == bytes { print $2; exit }' "$work/stream.out"
        printf 'limit all-reduce %s ' "$size"
        awk -v bytes=$((size / DTR_TESTBED_DEVICES * (DTR_TESTBED_DEVICES - 1) * 2)) '$1 == bytes { print $2; exit }' \
            "$work/stream.out"
    done
}

lead() {
    work=$1
    shift
    SIZES=("$@")
    local device
    hosts=device0 interface=eth0 neighbour=device1
    [ -n "$DTR_TESTBED" ] || interface=lo neighbour=127.0.0.1
    for ((device = 1; device < DTR_TESTBED_DEVICES; device++)); do hosts+=,device$device; done
    for ((device = 0; device < DTR_TESTBED_DEVICES && ${#CONGESTION}; device++)); do
        on "$device" sysctl -qw "net.ipv4.tcp_congestion_control=$CONGESTION"
    done
    detransformer profile "$work/exp.ini" -o "$work/profile.ini" >&2
    for ((round = 0; round < ROUNDS; round++)); do
        stream
        ours
        [ ! -x "$work/mpi_collectives" ] || mpi
        [ -z "$GLOO" ] || gloo
    done >"$work/figures"
}

# --- outside ----------------------------------------------------------------------------------------------------------

table() {
    python3 - "$1" "$2" <<'END'
import json, statistics, sys
figures = {}
for line in open(sys.argv[1] + "/figures"):
    who, what, size, us = line.split()
    figures.setdefault((what, int(size)), {}).setdefault(who, []).append(float(us))
names = []
for row in figures.values():
    names += [who for who in row if who not in names]
print("%-11s %8s" % ("", "bytes") + "".join("%15s" % who for who in names) + "   best/limit  best/peers  chosen/peers")
out = []
for (what, size), row in sorted(figures.items()):
    us = {who: statistics.median(values) for who, values in row.items()}
    ours = min(value for who, value in us.items() if who.startswith("ours"))
    chosen = us.get("ours-chosen")
    peers = [value for who, value in us.items() if who in ("openmpi", "gloo")]
    print("%-11s %8d" % (what, size) + "".join("%12.1f us" % us[who] if who in us else "%15s" % "-" for who in names)
          + "%11.3f" % (ours / us["limit"] if us.get("limit") else float("nan")) + ("%12.3f" % (ours / min(peers)) if peers else "")
          + ("%14.3f" % (chosen / min(peers)) if peers and chosen else ""))
    out.append({"collective": what, "bytes": size, "us": us})
if sys.argv[2]:
    json.dump(out, open(sys.argv[2], "w"), indent=1)
END
}

if [ "${1:-}" = lead ]; then
    shift
    lead "$@"
    exit
fi
devices=4 mbit=100 json='' transport=tcp local=''
while [ $# -gt 0 ]; do
    case $1 in
    --devices | --mbit | --json | --transport) [ $# -ge 2 ] || fail "$1 wants a value"; declare "${1#--}=$2"; shift 2 ;;
    --local) local=yes; shift ;;
    [0-9]*) break ;;
    *) fail "unknown word '$1'" ;;
    esac
done
[ -z "$local" ] || [ -z "$CONGESTION" ] || fail "CONGESTION is of namespaces"
[ $# -gt 0 ] || set -- 1024 4096 16384 65536 262144 1048576 4194304
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v mpicc >/dev/null && mpicc -O2 -o "$work/mpi_collectives" bench/peers/mpi_collectives.c
export GLOO= TRANSPORT=$transport ALGORITHMS=${ALGORITHMS:-ring,doubling,bruck,star,one-shot}
"$PYTHON" -c 'import torch.distributed as d; assert d.is_gloo_available()' 2>/dev/null && GLOO=yes
cat >"$work/agent" <<'END'
#!/bin/bash
device=${1#device}
shift
exec "$DTR_TESTBED" on "$device" /bin/sh -c "$*"
END
chmod +x "$work/agent"
cat >"$work/exp.ini" <<END
[model]
config = $top/examples/bert-base-decoupled.json
weights = random
[input]
random = yes
[cluster]
devices = $devices
[device]
cores = $CORES
[transport]
plugin = $transport
END
if [ -n "$local" ]; then
    export DTR_TESTBED= DTR_TESTBED_DEVICES=$devices DTR_TESTBED_ADDRESS=127.0.0.1
    bench/peers/collectives.sh lead "$work" "$@"
else
    bench/testbed/testbed.sh --devices "$devices" --mbit "$mbit" lead bench/peers/collectives.sh lead "$work" "$@"
fi
table "$work" "$json"
