#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# timeline.py -- what a trace says of overlap: for each device the time in which collectives were under way, and the part
# of it in which the device computed; and, with a second file, a picture of the trace (by gnuplot).
#
#     detransformer run EXP.ini --trace trace.json && bench/timeline.py trace.json [timeline.png]
import json
import subprocess
import sys


def merge(spans):
    merged = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    return merged


def common(a, b):
    return sum(max(0, min(x[1], y[1]) - max(x[0], y[0])) for x in a for y in b)


def span(event):
    return event["ts"] / 1e3, (event["ts"] + event["dur"]) / 1e3


def spans(events, device, category):
    return merge(span(e) for e in events if e["pid"] == device and e["cat"] == category)


def rows(events, device, category, height):
    """Boxes as gnuplot's boxxyerror takes them: middle, then from and to."""
    lines = []
    for event in events:
        if event["pid"] == device and event["cat"] == category:
            begin, end = span(event)
            low = -device + height
            lines.append("%f %f %f %f %f %f" % ((begin + end) / 2, low + 0.16, begin, end, low, low + 0.32))
    return lines or ["0 0 0 0 0 0"]


def draw(events, devices, path):
    data, plots = [], []
    kinds = ("compute", 0.0, "#4c78a8"), ("communicate", 0.0, "#cccccc"), ("flight", -0.4, "#f58518")
    names = {"compute": "computes", "communicate": "waits", "flight": "collectives under way"}
    for kind, height, colour in kinds:
        lines = [line for device in devices for line in rows(events, device, kind, height)]
        data.append("$%s << end\n%s\nend\n" % (kind, "\n".join(lines)))
        plots.append("$%s with boxxyerror fs solid 1 noborder lc rgb '%s' title '%s'" % (kind, colour, names[kind]))
    tics = ", ".join("'device %d' %d" % (device, -device) for device in devices)
    script = "".join(data) + (
        "set terminal pngcairo size 1400,500\nset output '%s'\nset key outside top horizontal\nset xlabel 'ms'\n"
        "set yrange [%f:0.5]\nset ytics (%s)\nplot %s\n" % (path, -len(devices) + 0.4, tics, ", ".join(plots)))
    subprocess.run(["gnuplot"], input=script.encode(), check=True)


events = [e for e in json.load(open(sys.argv[1]))["traceEvents"] if e["ph"] == "X"]
devices = sorted({e["pid"] for e in events})
for device in devices:
    flights, compute = spans(events, device, "flight"), spans(events, device, "compute")
    under_way, hidden = sum(end - begin for begin, end in flights), common(flights, compute)
    if under_way:
        print("device %d: collectives under way for %.2f ms, %.2f ms of it hidden, %.0f%%"
              % (device, under_way, hidden, 100 * hidden / under_way))
if len(sys.argv) > 2:
    draw(events, devices, sys.argv[2])
