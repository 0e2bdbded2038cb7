# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of the lab's tests: scenarios, and the engines, vps and kernels they run with.

A row is named SCENARIO:ENGINE:VPS:KERNEL, with @KERNEL behind it if the host has another kernel than
its usual one. The default plan runs every scenario once, those that test
what an engine does once with each, and deals the combinations out so that every pair of engine, vps
and kernel meets; the full plan boots every combination, and runs every other scenario on both
engines with every number of vps, the kernels dealt out so that it meets each on both engines; what
repeats a scenario at length runs once with each engine, in the full plan alone.
"""

import itertools

import scenarios

ENGINES = ("in-kernel", "user-space")
VPS = (1, 2, 4)
KERNELS = ("6.1-cloud", "6.1-amd64", "6.12-cloud")

# Nine combinations in which every pair of values of two columns stands: a Latin square of vps and
# kernels, with the engine alternating down the rows and completed by the tenth to eighteenth.
SQUARE = [(vps, KERNELS[(row + column) % 3]) for row in range(3)
          for column, vps in enumerate(VPS)]
PAIRWISE = [(ENGINES[(index % 9 + index // 9) % 2], vps, kernel)
            for index, (vps, kernel) in enumerate(SQUARE * 2)]


def row_name(scenario, combination):
    return ":".join([scenario.__name__.replace("_", "-"), *map(str, combination)])


NEWER_HOST = "6.12-cloud"


def newer_host_rows():
    for scenario in scenarios.OF_NEWER_HOSTS:
        yield row_name(scenario, ("in-kernel", 2, "6.12-cloud")) + "@" + NEWER_HOST


def default_plan():
    """The boots take a row of the square, the other scenarios one combination each, in turn."""
    for combination in PAIRWISE[:len(VPS)]:
        yield row_name(scenarios.boot, combination)
    combinations = itertools.cycle(PAIRWISE[9:] + PAIRWISE[:9])
    for scenario in scenarios.ALL:
        if scenario is scenarios.boot:
            continue
        combination = next(combinations)
        yield row_name(scenario, combination)
        if scenario in scenarios.OF_THE_ENGINE:
            other = ENGINES[1 - ENGINES.index(combination[0])]
            yield row_name(scenario, (other, *combination[1:]))
    yield from newer_host_rows()


def full_plan():
    for combination in itertools.product(ENGINES, VPS, KERNELS):
        yield row_name(scenarios.boot, combination)
    for scenario in scenarios.ALL:
        if scenario is not scenarios.boot:
            for row, engine in enumerate(ENGINES):
                for column, vps in enumerate(VPS):
                    yield row_name(scenario, (engine, vps, KERNELS[(row + column) % 3]))
    yield from newer_host_rows()
    for number, scenario in enumerate(scenarios.AT_LENGTH):
        for row, engine in enumerate(ENGINES):
            yield row_name(scenario, (engine, VPS[1 + (number + row) % 2], KERNELS[(number + row) % 3]))


def parse(name):
    scenario, engine, vps, kernel = name.partition("@")[0].split(":")
    function = {s.__name__.replace("_", "-"): s for s in scenarios.ALL + scenarios.AT_LENGTH}[scenario]
    return function, engine, int(vps), kernel
