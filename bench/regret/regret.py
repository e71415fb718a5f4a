#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# regret.py -- what the planner's choice loses against the best strategy that could be measured, and
# how far the simulator is from what is measured, over a grid of networks, lengths and clusters.
#
#     bench/regret/regret.py points              points.csv: 72 points, drawn by a seed
#     bench/regret/regret.py profile             one profile for each cluster
#     bench/regret/regret.py plan                what the simulator makes of every strategy
#     bench/regret/regret.py measure             the choice, and all predicted within 1.5 of the best
#     bench/regret/regret.py report              regret.csv and the summary
#
# `profile` and `measure` need a machine that does nothing else; with --seconds N they stop after
# that time and go on at the next call.  What was measured is in results/regret/.
import argparse
import concurrent.futures
import csv
import json
import math
import os
import random
import re
import subprocess
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
top = os.path.dirname(os.path.dirname(here))
program = os.environ.get("DETRANSFORMER", os.path.join(top, "detransformer"))
results = os.environ.get("REGRET_RESULTS", os.path.join(top, "results", "regret"))
strategies = "single tp sp hmp pp bp+ag bp+tp bp+sp bp+root".split()
near = 1.5  # times the best prediction: what is measured
late_most = 0.05  # of its time that an emulated device may be late: more is measured again
attempts = 3
wake = 75e-6  # s: what profiles on an idle machine show beyond the latency that is emulated

# GFLOP/s of every device; MiB that each may use, 0: no limit; whose profile serves.
clusters = {
    "two": ([10] * 2, 0, "two"),
    "three": ([10] * 3, 0, "three"),
    "four": ([10] * 4, 0, "four"),
    "five": ([10] * 5, 0, "five"),
    "six": ([10] * 6, 0, "six"),
    "two-unequal": ([12, 6], 0, "two-unequal"),
    "three-unequal": ([8, 16, 4], 0, "three-unequal"),
    "four-unequal": ([14, 10, 8, 4], 0, "four-unequal"),
    "six-unequal": ([14, 14, 10, 10, 5, 5], 0, "six-unequal"),
    "four-24MiB": ([10] * 4, 24, "four"),
    "four-16MiB": ([10] * 4, 16, "four"),
    "four-unequal-24MiB": ([14, 10, 8, 4], 24, "four-unequal"),
}
lengths = [16, 24, 48, 64, 96, 128, 128, 192, 256, 384, 512, 128]


def draw_points():
    """Bandwidth 10..1000 Mbit/s and latency 0.1..20 ms spread evenly over their logarithms."""
    rng = random.Random(4)
    count = 6 * len(clusters)
    bands, lags = list(range(count)), list(range(count))
    rng.shuffle(bands)
    rng.shuffle(lags)
    with open(os.path.join(here, "points.csv"), "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["point", "cluster", "mbit", "latency_ms", "length", "batch"])
        for i in range(count):
            names = list(clusters)
            cluster = names[i % len(names)]
            mbit = 10 * 100 ** ((bands[i] + rng.random()) / count)
            lag = 0.1 * 200 ** ((lags[i] + rng.random()) / count)
            length = rng.choice(lengths)
            batch = 4 if length <= 64 and rng.random() < 0.3 else 1
            out.writerow([i, cluster, f"{mbit:.3g}", f"{lag:.3g}", length, batch])


def read_points():
    with open(os.path.join(here, "points.csv")) as file:
        return list(csv.DictReader(file))


def run(command, settings, *extra):
    """The command's exit status and standard error."""
    line = [program, command, os.path.join(here, "regret.ini"), *extra]
    for key, value in settings.items():
        line += ["--set", f"{key}={value}"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return 1, "", "did not end within 300 s"
    return done.returncode, done.stdout, done.stderr.strip()


def cluster_settings(name):
    speeds, memory, _ = clusters[name]
    settings = {"cluster.devices": len(speeds)}
    for i, speed in enumerate(speeds):
        settings[f"device.{i}.kernel.throttle.gflops"] = speed
    if memory:
        settings["device.memory"] = f"{memory}MiB"
    return settings


def profile_path(cluster):
    return os.path.join(results, "profiles", clusters[cluster][2] + ".ini")


def measure_profiles(deadline):
    os.makedirs(os.path.join(results, "profiles"), exist_ok=True)
    for name in sorted({owner for _, _, owner in clusters.values()}):
        path = profile_path(name)
        if os.path.exists(path):
            continue
        if time.time() > deadline:
            return False
        settings = cluster_settings(name)
        settings["input.sequence_length"] = 512
        status, _, errors = run("profile", settings, "-o", path + ".new")
        if status:
            sys.exit(f"{name}: {errors}")
        os.rename(path + ".new", path)
        print(f"{name}: profiled", flush=True)
    return True


def point_profile(point):
    """The cluster's profile with this point's links: the emulated network is what it says it is,
    and `wake` later whoever waits for a message has woken up."""
    with open(profile_path(point["cluster"])) as file:
        text = file.read()
    lag, rate = float(point["latency_ms"]) * 1e-3, float(point["mbit"]) * 125e3

    def link(match):
        return f"{match[1]} = {lag + wake:.6g} {rate:.6g}"

    text = re.sub(r"^(link_\d+) = (\S+) (\S+)$", link, text, flags=re.M)
    path = os.path.join(results, "points", f"{point['point']}.profile.ini")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def point_settings(point):
    settings = cluster_settings(point["cluster"])
    settings.update({
        "transport.emulated.mbit": point["mbit"],
        "transport.emulated.latency_us": float(point["latency_ms"]) * 1e3,
        "input.sequence_length": point["length"],
        "input.batch": point["batch"],
        "planner.profile": point_profile(point),
    })
    return settings


def load(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def save(path, value):
    with open(path + ".new", "w") as file:
        json.dump(value, file, indent=1)
    os.rename(path + ".new", path)


def identity(plan):
    shares = [device["share"] for device in plan["placement"]]
    used = set(plan["strategy"])
    most = max(shares)
    alone = [i for i, share in enumerate(shares) if share > 0]
    if used == {"single"} or (alone == [0] and "bp+root" not in used):
        return "device 0 alone"
    return json.dumps([plan["strategy"], plan["tiles"], [round(s / most, 3) for s in shares],
                       [device["divisions"] for device in plan["placement"]]])


def plan_point(point):
    """Every strategy at its best, by the simulator, and what is chosen among all of them."""
    settings = point_settings(point)
    settings["planner.plugin"] = "static"

    def plan(name):
        allowed = {} if name == "choice" else {"planner.static.strategies": name}
        status, output, errors = run("plan", settings | allowed, "--json", "-")
        if status:
            return {"error": errors}
        one = next(c for c in json.loads(output) if c["chosen"])
        return {"predicted_ms": one["predicted_ms"], "plan": one["plan"]}

    names = [*strategies, "choice"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(plan, names)))


def plan_points(deadline):
    for point in read_points():
        path = os.path.join(results, "points", f"{point['point']}.plans.json")
        if load(path):
            continue
        if time.time() > deadline:
            return False
        save(path, plan_point(point))
    return True


def wanted(plans):
    """What is to be measured at a point: names of plans, none of them twice."""
    known = {n: p for n, p in plans.items() if "plan" in p}
    best = min(p["predicted_ms"] for p in known.values())
    names, seen = [], set()
    for name, p in sorted(known.items(), key=lambda item: item[0] != "choice"):
        if p["predicted_ms"] <= near * best and identity(p["plan"]) not in seen:
            names.append(name)
            seen.add(identity(p["plan"]))
    return [*names, "adaptive"]


def as_fixed(plan):
    """The settings under which the planner `fixed` makes this plan."""
    settings = {"planner.plugin": "fixed", "planner.fixed.tiles": plan["tiles"],
                "planner.fixed.strategy": " ".join(plan["strategy"])}
    for i, device in enumerate(plan["placement"]):
        settings[f"device.{i}.share"] = device["share"]
        settings[f"device.{i}.divisions"] = " ".join(map(str, device["divisions"]))
    return settings


def measure_plan(point, name, plan):
    settings = point_settings(point)
    settings["experiment.results"] = os.path.join(results, "last")
    if name == "adaptive":
        settings.update({"planner.plugin": "adaptive", "experiment.warmup": 2, "experiment.requests": 3})
    else:
        settings.update(as_fixed(plan))
    report = os.path.join(results, "last.json")
    status, _, errors = run("run", settings, "--json", report)
    if status:
        return {"error": errors}
    one = load(report)
    keys = ["latency_ms", "predicted_ms", "plan", "valid", "replans"]
    return {key: one[key] for key in keys} | {"late": max(d["late"] or 0 for d in one["devices"])}


def measure_points(deadline):
    """All points once; then once more what ran late, for something else was running too."""
    for attempt in range(attempts):
        for point in read_points():
            base = os.path.join(results, "points", point["point"])
            plans, done = load(base + ".plans.json"), load(base + ".measured.json") or {}
            for name in wanted(plans):
                before = done.get(name)
                if before and (before.get("late", 0) <= late_most or before["tries"] > attempt):
                    continue
                if time.time() > deadline:
                    return False
                now = measure_plan(point, name, plans.get(name, {}).get("plan"))
                if not before or now.get("late", 1) < before["late"]:
                    done[name] = now
                done[name]["tries"] = attempt + 1
                save(base + ".measured.json", done)
    return True


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, math.ceil(part * len(values)) - 1)]


def describe(strategy):
    return strategy[0] if len(set(strategy)) == 1 else " ".join(strategy)


def compare_plans(most):
    """A row for each point and the errors of all plans; what ran later than `most` is left out."""
    rows, errors, late = [], [], 0
    for point in read_points():
        base = os.path.join(results, "points", point["point"])
        done = load(base + ".measured.json")
        if not done or "adaptive" not in done:
            continue
        good = {n: m for n, m in done.items() if m.get("late", math.nan) <= most}
        if "choice" not in good or "adaptive" not in good:
            late += 1
            continue
        for name, m in good.items():
            m["ms"] = m["latency_ms"]["median"]
            m["error"] = m["predicted_ms"] / m["ms"] - 1
            if name != "adaptive":
                errors.append(m["error"])
        best = min(good, key=lambda n: good[n]["ms"])
        choice = good["choice"]
        rows.append({
            **point,
            "best": describe(good[best]["plan"]["strategy"]), "best_ms": good[best]["ms"],
            "static": describe(choice["plan"]["strategy"]), "static_ms": choice["ms"],
            "static_regret": choice["ms"] / good[best]["ms"] - 1,
            "adaptive": describe(good["adaptive"]["plan"]["strategy"]),
            "adaptive_ms": good["adaptive"]["ms"],
            "adaptive_regret": good["adaptive"]["ms"] / good[best]["ms"] - 1,
            "choice_predicted_ms": choice["predicted_ms"], "choice_error": choice["error"],
            "worst_error": max((m["error"] for n, m in good.items() if n != "adaptive"), key=abs),
            "measured": len(good) - 1, "late": max(m["late"] for m in good.values()),
        })
    return rows, errors, late


def save_rows(rows):
    with open(os.path.join(here, "regret.csv"), "w", newline="") as file:
        out = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        out.writeheader()
        for row in rows:
            out.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})


def summarise(rows, errors, late):
    print(f"{len(rows)} points, {len(errors)} plans measured"
          + (f"; without {late} points where a device was more than "
             f"{100 * late_most:.0f} % late" if late else ""))
    for who in "static", "adaptive":
        regrets = [row[f"{who}_regret"] for row in rows]
        print(f"{who}: regret {100 * sum(regrets) / len(regrets):.2f} % mean, "
              f"{100 * quantile(regrets, 0.9):.2f} % in 90 % of the points, "
              f"{100 * max(regrets):.2f} % worst")
    for what, values in (("the choice", [row["choice_error"] for row in rows]),
                         ("every plan", errors)):
        sizes = [abs(e) for e in values]
        print(f"simulator, {what}: {100 * sum(values) / len(values):+.2f} % mean, "
              f"{100 * quantile(sizes, 0.5):.2f} % median size, "
              f"{100 * quantile(sizes, 0.9):.2f} % in 90 %, {100 * max(sizes):.2f} % worst")


def report_points():
    for most in math.inf, late_most:
        rows, errors, late = compare_plans(most)
        if most == math.inf:
            save_rows(rows)
        summarise(rows, errors, late)


parser = argparse.ArgumentParser(description="the planner's regret, and the simulator's error")
parser.add_argument("stage", choices=["points", "profile", "plan", "measure", "report"])
parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so long")
arguments = parser.parse_args()
end = time.time() + arguments.seconds
os.makedirs(results, exist_ok=True)
if arguments.stage == "points":
    draw_points()
elif arguments.stage == "report":
    report_points()
else:
    stage = {"profile": measure_profiles, "plan": plan_points, "measure": measure_points}
    print("complete" if stage[arguments.stage](end) else "to be continued")
