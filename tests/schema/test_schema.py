#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed JSON schema of definitions says what the parser says.

Both judge the same definitions: the examples that there are, some with faults of which each has
its own, and, made by walking the schema, every key at and beyond its bounds.
"""

import argparse
import copy
import json
import pathlib
import re
import subprocess
import sys
import unittest

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed (scripts/setup installs it)")
    sys.exit(77)

parser = argparse.ArgumentParser()
parser.add_argument("--judge", type=pathlib.Path, required=True)
parser.add_argument("--source", type=pathlib.Path, required=True)
arguments, unittest_arguments = parser.parse_known_args()

SCHEMA = json.loads((arguments.source / "packaging/schema/vmms-vm.schema.json").read_text())
CORPUS = arguments.source / "tests/fuzz/corpus/definition"
UUID = "f8615163-df3e-46c5-913f-f2d2f965ed0e"

# One with every object in it, for keys to be added to and changed.
WHOLE = {"name": "a", "processors": {}, "memory": {"dynamic": {}}, "hyper_v": {}, "boot": {"kernel": "/k"},
         "disks": [{"path": "/d"}],
         "network_adapters": [{"switch": "lan", "vlan": {"access": 1}, "bandwidth": {}}],
         "video": {}, "services": {}, "actions": {}, "automatic_start": {}, "automatic_stop": {},
         "resources": {}}

# What cannot be without something else at the same time.
WITH = {
    ("generation",): (("boot",),),
    ("network_adapters", 0, "tap"): (("network_adapters", 0, "switch"),),
    ("network_adapters", 0, "forward"): (("network_adapters", 0, "switch"),
                                         ("network_adapters", 0, "vlan")),
    ("network_adapters", 0, "vlan", "trunk"): (("network_adapters", 0, "vlan", "access"),),
    ("memory", "pages"): (("memory", "dynamic"),),
}

# The size with which a bound of it can have any value.
SIZES = {("memory", "dynamic", "minimum"): "8T", ("memory", "dynamic", "maximum"): "16M"}


def vm(**members):
    return {"name": "a", "boot": {"kernel": "/k"}, **members}


GOOD = [
    vm(), vm(owner="alice"), vm(owner="_a.b-c@d$"), vm(version=1), vm(version=2), vm(uuid=UUID), vm(tags=["a", "b:c/d.e_f-g"]),
    vm(memory={"size": "1GiB"}), vm(memory={"dynamic": {}}),
    vm(memory={"size": "1G", "dynamic": {"minimum": "256M", "maximum": "2G", "buffer": 0, "automatic": False}}),
    vm(memory={"size": 16 << 20}), vm(processors={"count": 240}),
    vm(processors={"model": "baseline", "without": ["avx", "amx_tile"]}),
    vm(resources={"cpus": "0-3,1023", "pinning": [{"vps": "0", "cpus": "1-2"}]}), vm(resources={"cpus": 8, "pinning": []}),
    vm(resources={"cpu_group": "gold-1.x_y"}),
    vm(numa=[]), vm(numa=[{}]), vm(numa=[{"processors": "0", "memory": "256M", "host_node": 1023, "distances": [10, 11]},
                                         {"processors": "", "distances": [254, 10]}]),
    {"name": "a", "generation": 2, "boot_order": ["dvd", "disk"]}, {"name": "a", "generation": 1, "boot_order": []},
    {"name": "a", "generation": 1}, {"name": "a", "generation": 2}, {"name": "a", "generation": 1, "disks": [{"path": "/d"}]},
    vm(disks=[{"type": "dvd"}, {"type": "dvd", "lun": 1, "path": "/d", "read_only": True}]),
    vm(network_adapters=[{}, {"tap": "t"}, {"tap": "/dev/null"}, {"switch": "none"},
                         {"switch": "x", "vlan": {"trunk": [1], "native": 2}},
                         {"switch": "x", "vlan": {"access": 1, "trunk": []}},
                         {"switch": "default", "forward": ["1:2", "udp:3:4", "*:5:6", "tcp:[::1]:7:8", "192.0.2.1:9:9"], "host_loopback": True},
                         {"switch": "x", "forward": []}]),
]

BAD = [
    [], {}, {"name": "a"}, vm(generation=1), {"name": "a", "generation": 0}, {"name": "a", "generation": 3},
    vm(boot_order=["disk"]), {"name": "a", "generation": 1, "boot_order": ["disk", "disk"]},
    {"name": "a", "generation": 1, "boot_order": "disk"}, {"name": "a", "generation": 1, "boot_order": ["network"]},
    {"name": "a", "generation": "1"}, {"name": "a", "generation": 1, "boot": {}}, {"boot": {"kernel": "/k"}}, vm(version=3), vm(version=0),
    vm(version="2"), vm(colour=1), vm(name="-a"), vm(name=""), vm(name="a/b"),
    vm(owner=""), vm(owner="1000"), vm(owner="-a"), vm(owner="a b"), vm(owner="a" * 33), vm(owner=1),
    vm(uuid="x"), vm(uuid=UUID + "0"), vm(notes="a\0b"), vm(tags=["a", "a"]), vm(tags=[""]),
    vm(tags=["a b"]), vm(tags=["-"]), vm(tags=["t%d" % i for i in range(33)]),
    vm(memory={"dynamic": True}), vm(memory={"dynamic": {"buffer": 2001}}),
    vm(memory={"dynamic": {"minimum": (16 << 20) + 1}}), vm(memory={"dynamic": {"weight": 1}}),
    vm(memory={"size": "2Q"}), vm(memory={"size": ""}), vm(memory={"size": (16 << 20) + 1}),
    vm(processors={"model": "qemu64"}), vm(processors={"without": ["AVX"]}), vm(processors={"without": ["avx", "avx"]}),
    vm(processors={"without": [1]}), vm(processors={"without": [""]}),
    vm(numa={}), vm(numa=[1]), vm(numa=[{"processors": [0]}]), vm(numa=[{"processors": "0-"}]),
    vm(numa=[{"processors": "a"}]), vm(numa=[{"memory": "x"}]), vm(numa=[{"host_node": 1024}]), vm(numa=[{"host_node": -1}]),
    vm(numa=[{"distances": [9]}]), vm(numa=[{"distances": ["10"]}]), vm(numa=[{"distances": 10}]), vm(numa=[{"node": 0}]),
    vm(boot={"kernel": "k"}), vm(boot={"kernel": "/"}), vm(boot={"kernel": "/a\nb"}),
    vm(boot={"kernel": "/k", "command_line": "a\nb"}), vm(boot={}), vm(boot=None),
    vm(disks={}), vm(disks=[1]), vm(disks=[{}]), vm(disks=[{"path": "/d", "sector_size": 2048}]),
    vm(disks=[{"type": "dvd", "read_only": False}]), vm(disks=[{"type": "dvd", "sector_size": 512}]),
    vm(disks=[{"path": "/d", "format": "qcow"}]), vm(disks=[{"path": "/d", "serial": "a b"}]),
    vm(network_adapters=[{}] * 9), vm(network_adapters=[{"mac": "ff:ff:ff:ff:ff:ff"}]),
    vm(network_adapters=[{"mac": "00:00:00:00:00:00"}]),
    vm(network_adapters=[{"mac": "02:56-4d:00:00:01"}]),
    vm(network_adapters=[{"tap": "t", "switch": "x"}]), vm(network_adapters=[{"tap": ".."}]),
    vm(network_adapters=[{"tap": "a/b"}]), vm(network_adapters=[{"tap": "/dev/nul"}]),
    vm(network_adapters=[{"tap": "t", "forward": ["1:2"]}]),
    vm(network_adapters=[{"switch": "x", "forward": ["1:2"]}]),
    vm(network_adapters=[{"switch": "x", "host_loopback": True}]),
    vm(network_adapters=[{"addresses": ["192.0.2.1"]}]), vm(network_adapters=[{"port_isolation": True}]),
    vm(network_adapters=[{"switch": "x", "addresses": ["192.0.2.1"], "mac_spoofing": True}]),
    vm(network_adapters=[{"switch": "x", "addresses": ["x"]}]),
    vm(network_adapters=[{"forward": ["host:1:2"]}]), vm(network_adapters=[{"forward": ["::1:1:2"]}]),
    vm(network_adapters=[{"forward": ["x"]}]), vm(network_adapters=[{"vlan": {"access": 1}}]),
    vm(network_adapters=[{"switch": "x", "vlan": {}}]),
    vm(network_adapters=[{"switch": "x", "vlan": {"trunk": []}}]),
    vm(network_adapters=[{"switch": "x", "vlan": {"access": 1, "trunk": [2]}}]),
    vm(network_adapters=[{"switch": "x", "vlan": {"access": 1, "native": 2}}]),
    vm(network_adapters=[{"switch": "x", "vlan": {"trunk": [1, 1]}}]),
    vm(automatic_start=True), vm(automatic_start={"action": "always"}),
    vm(automatic_stop={"action": "suspend"}), vm(actions={"crash": "panic"}),
    vm(resources={"cpu_weight": "100"}), vm(resources={"memory_max": "1Q"}),
    vm(resources={"cpu_group": ""}), vm(resources={"cpu_group": "-a"}), vm(resources={"cpu_group": "a b"}),
    vm(resources={"cpu_group": 1}), vm(resources={"cpu_group": "a" * 33}),
    vm(resources={"cpus": ""}), vm(resources={"cpus": "0-"}), vm(resources={"cpus": [0]}), vm(resources={"cpus": 1024}),
    vm(resources={"pinning": {}}), vm(resources={"pinning": [{"vps": "0"}]}), vm(resources={"pinning": [{"cpus": "0"}]}),
    vm(resources={"pinning": [{"vps": 0, "cpus": 0, "core": 0}]}), vm(resources={"pinning": [{"vps": "a", "cpus": 0}]}),
]

# What no schema can say: the parser alone refuses.
PARSER_ALONE = [
    vm(memory={"dynamic": {"minimum": "1G"}}), vm(memory={"dynamic": {"maximum": "256M"}}),
    vm(memory={"dynamic": {"maximum": "3G", "minimum": "17M"}}),
    vm(memory={"pages": "hugetlb", "dynamic": {}}),
    vm(memory={"size": "1M"}), vm(memory={"size": "9T"}), vm(memory={"size": "17M"}),
    vm(resources={"memory_max": "1M"}), vm(resources={"io_read_bandwidth": "1K"}),
    vm(processors={"count": 3, "threads": 2}), vm(processors={"sockets": 240, "cores": 2}),
    vm(processors={"without": ["avx3"]}), vm(processors={"without": ["fpu"]}),
    vm(numa=[{}, {}]), vm(numa=[{"processors": "0,0-1"}]), vm(numa=[{"memory": "1G"}]), vm(numa=[{"processors": "240"}]),
    vm(numa=[{"distances": [20]}]), vm(numa=[{"distances": [10, 20]}]), vm(numa=[{}], memory={"dynamic": {}}),
    vm(processors={"count": 65}, resources={"tasks_max": 128}),
    vm(resources={"cpus": "3-2"}), vm(resources={"cpus": "1024"}), vm(resources={"cpus": "0", "pinning": [{"vps": 0, "cpus": 1}]}),
    vm(resources={"pinning": [{"vps": 1, "cpus": 0}]}), vm(resources={"pinning": [{"vps": 0, "cpus": 0}] * 2}),
    vm(disks=[{"path": "/a"}, {"path": "/b"}]), vm(notes="é" * 2049),
    vm(network_adapters=[{"name": "a"}, {"name": "a"}]),
    vm(network_adapters=[{"forward": ["0:1"]}]), vm(network_adapters=[{"forward": ["1:65536"]}]),
]


def resolve(schema):
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def walk(schema, path=()):
    """Every key below, as (path, its schema)."""
    schema = resolve(schema)
    for name, inner in schema.get("properties", {}).items():
        yield path + (name,), resolve(inner)
        yield from walk(inner, path + (name,))
    if isinstance(schema.get("items"), dict):
        yield from walk(schema["items"], path + (0,))


def at(definition, path):
    for step in path:
        definition = definition[step]
    return definition


def changed(path, value):
    definition = copy.deepcopy(WHOLE)
    for other in WITH.get(path, ()):
        del at(definition, other[:-1])[other[-1]]
    if path in SIZES:
        definition["memory"]["size"] = SIZES[path]
    if path[:1] == ("disks",) and path[2:] == ("sector_size",) and value == 2048:
        definition["disks"][0]["type"] = "dvd"
    if path[0] == "numa":  # which are not with dynamic memory, and make up the VM
        definition["numa"] = [{}, {"processors": "0"}] if path[2:] == ("processors",) else [{}]
        definition["memory"] = {"size": value} if path[2:] == ("memory",) else {}
    if path[:2] == ("resources", "pinning"):
        definition["resources"] = {"pinning": [{"vps": "0", "cpus": "0"}]}
        if path[3:] == ("vps",):  # of which all can be named
            definition.update({"processors": {"count": 240}, "numa": []})
    at(definition, path[:-1])[path[-1]] = value
    return definition


def values(schema):
    """Values within and beyond what a key's schema allows; every type is among them."""
    yield from (True, 0, 1, -1, 1.5, "", "a", [], {}, None)
    yield from schema.get("enum", ())
    for one in [schema, *schema.get("oneOf", ())]:
        for bound in "minimum", "maximum":
            if bound in one:
                step = one.get("multipleOf", 1)
                yield from (one[bound] - step, one[bound], one[bound] + step)
        if "maxLength" in one:
            yield from ("a" * one["maxLength"], "a" * (one["maxLength"] + 1))
            yield from ("/" + "a" * (one["maxLength"] - 1), "/" + "a" * one["maxLength"])


def parser_says(definitions):
    text = "".join(json.dumps(definition) + "\n" for definition in definitions)
    result = subprocess.run([arguments.judge], input=text, capture_output=True, text=True,
                            check=True, timeout=60)
    said = result.stdout.splitlines()
    assert len(said) == len(definitions), (len(said), len(definitions), result.stderr)
    return said


class Schema(unittest.TestCase):
    def setUp(self):
        jsonschema.Draft202012Validator.check_schema(SCHEMA)
        self.validator = jsonschema.Draft202012Validator(SCHEMA)

    def judge(self, definitions, schema_accepts, parser_accepts):
        for definition, said in zip(definitions, parser_says(definitions)):
            errors = [error.message for error in self.validator.iter_errors(definition)]
            with self.subTest(definition=definition, parser=said, schema=errors):
                self.assertEqual((not errors, said == "ok"), (schema_accepts, parser_accepts))

    def test_good(self):
        examples = [json.loads((CORPUS / name).read_text())
                    for name in ("full.json", "network.json", "numa.json", "pinning.json", "small.json")]
        self.judge([*GOOD, WHOLE, *examples], True, True)

    def test_bad(self):
        self.judge(BAD, False, False)

    def test_what_the_parser_alone_refuses(self):
        self.judge(PARSER_ALONE, True, False)

    def test_every_key_at_and_beyond_its_bounds(self):
        keys = list(walk(SCHEMA))
        self.assertGreater(len(keys), 60)
        cases = [changed(path, value) for path, schema in keys for value in values(schema)]
        for definition, said in zip(cases, parser_says(cases)):
            accepted = self.validator.is_valid(definition)
            with self.subTest(definition=definition, parser=said):
                self.assertEqual(accepted, said == "ok")

    def test_the_same_keys(self):
        objects = {(): SCHEMA}
        for path, schema in walk(SCHEMA):
            if schema.get("type") == "object":
                objects[path] = schema
            elif schema.get("type") == "array" and "properties" in resolve(schema["items"]):
                objects[path + (0,)] = resolve(schema["items"])
        said = parser_says([changed(path + ("nonsense",), 1) for path in objects])
        for (path, schema), text in zip(objects.items(), said):
            with self.subTest(path=path):
                self.assertFalse(schema["additionalProperties"])
                keys = re.search(r"the keys here are (.*)", text).group(1).split(", ")
                self.assertEqual(set(keys), set(schema["properties"]))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *unittest_arguments])
