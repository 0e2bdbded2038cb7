# SPDX-License-Identifier: LGPL-2.1-or-later
"""Samples of what was measured, tables of them for people, and rows of comparison for programs."""

import json
import statistics
import time

BEGUN = time.monotonic()

# What a unit is, and whether more of it is better.
MORE_IS_BETTER = {"IOPS": True, "MB/s": True, "packets/s": True, "transactions/s": True}


def say(text):
    """What is going on, for whoever waits."""
    print(f"{time.monotonic() - BEGUN:5.0f} s  {text}", flush=True)


class Samples:
    """By what was measured, and with which contender: the samples. Both in order of appearance."""

    def __init__(self):
        self.values, self.units, self.alone = {}, {}, set()

    def add(self, name, unit, contender, value, compared=True):
        self.units[name] = unit
        if not compared:
            self.alone.add(name)
        self.values.setdefault(name, {}).setdefault(contender, []).append(value)

    def medians(self, name):
        return {contender: statistics.median(values)
                for contender, values in self.values[name].items()}

    def contenders(self):
        return list(dict.fromkeys(contender for values in self.values.values()
                                  for contender in values))

    def rows(self, ours, every=False):
        """For each measurement, each of ours against the best of the others, or every one."""
        for name, unit in self.units.items():
            medians = self.medians(name)
            peers = {contender: value for contender, value in medians.items()
                     if contender not in ours}
            if not peers or name in self.alone:
                continue
            best = (max if MORE_IS_BETTER.get(unit) else min)(peers, key=peers.get)
            for contender in ours:
                for peer in peers if every else [best]:
                    if contender in medians:
                        yield row(f"{name}, {contender}", medians[contender], peers[peer], peer,
                                  unit)


def row(name, ours, peer, peer_name, unit):
    """One comparison; ratio above 1: ours is better. Of two zeros none is; zero beats the rest."""
    better, worse = (ours, peer) if MORE_IS_BETTER.get(unit) else (peer, ours)
    least = 1e-3  # as good as nothing, for any unit here
    ratio = max(better, least) / max(worse, least)
    return {"name": name, "ours": round(ours, 4), "peer": round(peer, 4), "peer_name": peer_name,
            "unit": unit, "ratio": round(ratio, 2)}


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def aligned(lines):
    """Columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        yield "  ".join([line[0].ljust(widths[0]),
                         *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])


def print_medians(samples):
    """Every contender's medians, with the spread of the samples as a part of them."""
    contenders = samples.contenders()
    lines = [["", "unit", *contenders]]
    for name, unit in samples.units.items():
        cells = []
        for contender in contenders:
            values = samples.values[name].get(contender)
            cells.append(median_cell(values) if values else "")
        lines.append([name, unit, *cells])
    print("\n".join(aligned(lines)), flush=True)


def median_cell(values):
    median = statistics.median(values)
    if len(values) < 2 or not median:
        return number(median)
    return f"{number(median)} ±{50 * (max(values) - min(values)) / abs(median):.0f}%"


def print_rows(rows):
    lines = [["", "ours", "peer", "unit", "ratio", "which peer"]]
    lines += [[row["name"], number(row["ours"]), number(row["peer"]), row["unit"],
               f"{row['ratio']:.2f}{'' if row['ratio'] >= 1 else ' <'}", row["peer_name"]]
              for row in rows]
    print("\n".join(aligned(lines)), flush=True)


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": list(rows)}, indent=1) + "\n")


def write_samples(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: {"unit": samples.units[name], "samples": values}
                                for name, values in samples.values.items()}, indent=1) + "\n")
