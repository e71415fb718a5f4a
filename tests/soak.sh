#!/bin/sh
# SPDX-License-Identifier: MIT
#
# soak.sh REQUESTS PAUSE -- device 0 of a testbed leads the others, in the folder with exp.ini and key,
# while every few seconds (PAUSE at most) one of them is killed, stopped or cut off, and brought back two
# seconds later.  Leaves run.json, deeds (time, how, device), sizes (descriptors and KiB of the leader)
# and err, and prints what became of the leader.
requests=$1 pause=$2

on() {
    device=$1
    shift
    "$DTR_TESTBED" on "$device" "$@"
}

# A worker is a process that listens, with a child a session.
worker() { # DEVICE
    "$DTR_TESTBED" on "$1" "$DTR_PROGRAM" worker --listen "$(address "$1"):7000" --key-file key \
        >"worker.$1.out" 2>>"worker.$1.err" &
    echo $! >"worker.$1.pid"
}

address() { # DEVICE
    printf '%s\n' $DTR_TESTBED_ADDRESSES | sed -n "$(($1 + 1))p"
}

# The process and all below it.
family() { # PROCESS
    echo "$1"
    for child in $(grep -ls "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status | cut -d / -f 3); do
        family "$child"
    done
}

now() {
    date +%s.%N
}

harm() { # HOW DEVICE
    victims=$(family "$(cat "worker.$2.pid")")
    at=$(now)
    case $1 in
    kill) kill -KILL $victims ;;
    stop) kill -STOP $victims ;;
    cut) at=$(on "$2" sh -c 'date +%s.%N && ip link set eth0 down') ;;
    esac
    echo "$at $1 $2" >>deeds
}

heal() { # HOW DEVICE
    case $1 in
    kill) wait "$(cat "worker.$2.pid")" 2>/dev/null; worker "$2" ;;
    stop) kill -CONT $(family "$(cat "worker.$2.pid")") ;;
    cut) on "$2" ip link set eth0 up ;;
    esac
}

is_running() {
    grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$leader/status"
}

: >deeds
: >sizes
workers= addresses=
device=1
while [ $device -lt "$DTR_TESTBED_DEVICES" ]; do
    worker $device
    workers="$workers $device"
    addresses="$addresses $(address $device):7000"
    device=$((device + 1))
done
for device in $workers; do
    until grep -q listening "worker.$device.out"; do sleep 0.05; done
done

"$DTR_PROGRAM" run exp.ini --json run.json --set cluster.launch=remote --set "cluster.addresses=$addresses" \
    --set cluster.key_file=key --set "experiment.requests=$requests" >out 2>err &
leader=$!
until [ -s out ] || ! is_running; do sleep 0.05; done

# Devices and ways in turn, out of step with each other.
count=0
while is_running; do
    device=$((count * 3 % (DTR_TESTBED_DEVICES - 1) + 1))
    how=$(echo kill stop cut | cut -d ' ' -f $((count % 3 + 1)))
    descriptors=$(ls "/proc/$leader/fd" | wc -l)
    memory=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$leader/status")
    [ -z "$memory" ] || echo "$descriptors $memory" >>sizes # or it has just ended
    harm $how $device
    sleep 2
    heal $how $device
    sleep "$((count % pause + 1))"
    count=$((count + 1))
done
wait "$leader"
echo "leader $?"
for device in $workers; do
    kill -TERM "$(cat "worker.$device.pid")" && wait "$(cat "worker.$device.pid")"
    echo "worker $device $?"
done
