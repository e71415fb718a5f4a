#!/bin/bash
# SPDX-License-Identifier: MIT
#
# testbed.sh -- a small cluster in one computer: devices with a network of their own each, on a switch whose ports carry
# what they are told to.  `testbed --help` says how.
#
# Everything is inside one private set of namespaces, whose first process dies with this script: when that is gone,
# for whatever reason, so are the commands, the switch and the cables.
set -eu

usage() {
    cat <<'END'
Usage: testbed [OPTION]... each COMMAND...    run the command on every device
       testbed [OPTION]... lead COMMAND...    run the command on device 0
       testbed on DEVICE COMMAND...           from within: run the command on another device

  --devices N    how many (default 4)
  --mbit RATE    what each port carries, both ways (default 1000; 0: no limit)
  --queue BYTES  what each port of the switch keeps at most (default 1000000)

Every device has eth0 with 10.77.0.(1 + DEVICE) and fd77::(1 + DEVICE), a host name (device0, ...), and in the environment
  DTR_TESTBED_DEVICE DTR_TESTBED_DEVICES DTR_TESTBED_ADDRESS DTR_TESTBED_ADDRESSES (of all, separated by blanks)
  DTR_TESTBED (this script).
`each` ends when all have ended, or with the first that fails, whose exit status it has.
Needs Linux, iproute2, util-linux, and root or user namespaces.
END
}

fail() {
    echo "testbed: $*" >&2
    exit 2
}

address() {
    echo "10.77.0.$(($1 + 1))"
}

# --- outside: one process that takes everything with it ---------------------------------------------------------------

enter() {
    local flags=(--fork --pid --kill-child --mount --mount-proc --net --uts)
    [ "$(id -u)" = 0 ] || flags+=(--map-root-user)
    setpriv --pdeathsig KILL unshare "${flags[@]}" "$BASH" "$self" inside "$devices" "$mbit" "$queue" "$@" <&0 &
    child=$!
    trap 'kill -KILL "$child" 2>/dev/null; wait "$child" 2>/dev/null || true; exit 130' INT
    trap 'kill -KILL "$child" 2>/dev/null; wait "$child" 2>/dev/null || true; exit 143' TERM HUP
    local status=0
    wait "$child" || status=$?
    exit "$status"
}

# --- inside: the switch and the devices -------------------------------------------------------------------------------

# A bucket of half a millisecond, but not less than ten packets, keeps the rate honest for small messages too.
shape() { # NAMESPACE INTERFACE
    local burst=$((mbit * 125 / 2))
    [ "$mbit" != 0 ] || return 0
    [ $burst -ge 15140 ] || burst=15140
    "${@:3}" tc qdisc add dev "$2" root tbf rate "${mbit}mbit" burst "$burst" limit "$queue"
}

add_device() {
    local name=device$1 port=port$1
    ip netns add "$name"
    ip link add "$port" type veth peer name eth0 netns "$name"
    ip link set "$port" master switch up
    ip -n "$name" address add "$(address "$1")/24" dev eth0
    ip -n "$name" address add "fd77::$(($1 + 1))/64" dev eth0 nodad
    ip -n "$name" link set lo up
    ip -n "$name" link set eth0 up
    [ "$mbit" = 0 ] && return
    # No super-packet longer than half the bucket, or small rates would be met in jerks only.
    local half=$((mbit * 125 / 4))
    [ $half -ge 7570 ] || half=7570
    [ $half -le 65536 ] || half=65536
    ip link set "$port" gso_max_size "$half"
    ip -n "$name" link set eth0 gso_max_size "$half"
    shape "$name" eth0 ip netns exec "$name"
    shape switch "$port"
}

build() {
    mkdir -p /run/netns
    mount -t tmpfs testbed /run/netns
    {
        echo "127.0.0.1 localhost"
        for ((i = 0; i < devices; i++)); do echo "$(address "$i") device$i"; done
    } >/run/netns/hosts
    mount --bind /run/netns/hosts /etc/hosts
    ip link set lo up
    ip link add switch type bridge
    ip link set switch up
    for ((i = 0; i < devices; i++)); do add_device "$i"; done
}

# The environment tells the command where it is.
on() { # DEVICE COMMAND...
    local device=$1 addresses=
    shift
    for ((i = 0; i < devices; i++)); do addresses+=" $(address "$i")"; done
    exec nsenter --net="/run/netns/device$device" unshare --uts env DTR_TESTBED="$self" \
        DTR_TESTBED_DEVICE="$device" DTR_TESTBED_DEVICES="$devices" DTR_TESTBED_ADDRESS="$(address "$device")" \
        DTR_TESTBED_ADDRESSES="${addresses# }" "$BASH" -c 'hostname "device$DTR_TESTBED_DEVICE" && exec "$@"' on "$@"
}

each() {
    local status=0
    for ((i = 0; i < devices; i++)); do (on "$i" "$@") & done
    for ((i = 0; i < devices; i++)); do wait -n || { status=$?; break; }; done
    exit "$status"
}

# --- the command line -------------------------------------------------------------------------------------------------

self=$(readlink -f "$0")
devices=4 mbit=1000 queue=1000000

if [ "${1:-}" = inside ]; then
    devices=$2 mbit=$3 queue=$4
    build
    mode=$5
    shift 5
    case $mode in
    each) each "$@" ;;
    lead) (on 0 "$@") || exit ;;
    esac
    exit
fi
if [ "${1:-}" = on ]; then
    devices=${DTR_TESTBED_DEVICES:-0}
    [ $# -ge 3 ] || { usage >&2; exit 2; }
    [[ $2 =~ ^[0-9]{1,3}$ && $2 -lt $devices ]] || fail "'$2' is none of the testbed's $devices devices"
    shift
    on "$@"
fi
while [ $# -gt 0 ]; do
    case $1 in
    --devices | --mbit | --queue)
        [[ ${2:-} =~ ^[0-9]{1,9}$ ]] || fail "$1 wants a number"
        declare "${1#--}=$((10#$2))"
        shift 2
        ;;
    --help) usage; exit ;;
    each | lead)
        [ $# -ge 2 ] || fail "$1 what?"
        [[ $devices -ge 1 && $devices -le 200 ]] || fail "--devices is 1 to 200"
        enter "$@"
        ;;
    *) fail "unknown word '$1'; testbed --help" ;;
    esac
done
usage >&2
exit 2
