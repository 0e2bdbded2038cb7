/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the fake worker says of itself when it is asked: numbers that grow, and what makes no sense. */
#include "tests/fake/fake_worker.h"

#include <string.h>

/* Every counter is the same number, which grows from answer to answer. */
static struct json_object *make_group(const char *const *names, uint64_t number)
{
	struct json_object *group = json_object_new_object();

	for (; *names; names++)
		json_add(&group, *names, json_object_new_uint64(number));
	return group;
}

static struct json_object *make_latency(uint64_t number)
{
	struct json_object *buckets = json_object_new_array();

	for (int i = 0; i < CONTROL_LATENCY_BUCKETS; i++)
		json_append(&buckets, json_object_new_uint64(i == 5 ? number : 0));
	return buckets;
}

struct json_object *make_statistics(uint64_t number)
{
	static const char *const exits[] = { "io-port", "msr-read", "kick", NULL };
	static const char *const vmbus[] = { "interrupts", "messages", "timers", NULL };
	static const char *const disk[] = { "reads",         "writes",          "bytes_read",
					    "bytes_written", "read_latency_ns", NULL };
	static const char *const network[] = { "sent_frames", "received_bytes", NULL };
	struct json_object *disks = make_group(disk, number);

	json_add(&disks, "read_latency", make_latency(number));
	return json_make("exits", make_group(exits, number), "vmbus", make_group(vmbus, number),
			 "disk", disks, "network", make_group(network, number), NULL);
}

/* Numbers that are none, too many, or beyond what there can be; and what nobody asked for. */
struct json_object *make_hostile_statistics(void)
{
	static const char text[] =
		"{\"exits\": {\"io-port\": -5, \"mmio\": \"many\", \"msr-read\": [], "
		"\"halt\": 9223372036854775807, \"strange\": 7, \"kick\": 1.5}, "
		"\"vmbus\": [1, 2], \"disk\": {\"reads\": {}, \"read_latency\": "
		"[1, -1, \"x\", [], 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, "
		"2, "
		"2, 2], \"write_latency\": 7}, \"network\": \"\\u202e\"}";

	return json_tokener_parse(text);
}

struct json_object *make_processors(bool hostile)
{
	static const char text[] = "{\"removed\": [\"pcid\", \"avx512f\"], \"enlightenments\": "
				   "{\"reference_tsc\": \"on\", \"ipi\": \"not-offered\", "
				   "\"apic_msrs\": \"off\"}}";
	static const char hostile_text[] =
		"{\"removed\": [\"pcid\", \"\\u001b[31m\", \"pcid\", \"avx3\"], "
		"\"count\": 7, \"strange\": {}, \"enlightenments\": "
		"{\"reset\": \"on\", \"magic\": \"on\"}}";

	return json_tokener_parse(hostile ? hostile_text : text);
}

struct json_object *make_disks(bool hostile)
{
	static const char text[] = "{\"disks\": [{\"controller\": 0, \"lun\": 0, "
				   "\"health\": \"errors\", \"size\": "
				   "4096, \"held\": 3, \"errors\": 2}]}";
	static const char hostile_text[] =
		"{\"disks\": [7, {}, {\"controller\": 0, \"lun\": 0, \"size\": \"\\u001b[31m\", "
		"\"path\": \"\\u001b[31m\", \"errors\": {}}, {\"controller\": 9}]}";

	return json_tokener_parse(hostile ? hostile_text : text);
}

static struct json_object *make_part(bool is_list)
{
	struct json_object *part = json_make("engine", json_object_new_string("user-space"), "note",
					     json_object_new_string("\x1b[31m"), NULL);
	struct json_object *list;

	if (!is_list)
		return part;
	list = json_object_new_array();
	json_append(&list, part);
	return list;
}

/* Vps come one at a time, and there are three. */
struct json_object *make_inspection(enum control_part part, int64_t first)
{
	struct json_object *report, *vps, *vp;

	if (part != CONTROL_PART_VPS)
		return json_make(control_part_names[part],
				 make_part(part == CONTROL_PART_CHANNELS ||
					   part == CONTROL_PART_GPADLS ||
					   part == CONTROL_PART_SOCKETS),
				 NULL);
	vps = json_object_new_array();
	vp = json_make("vp", json_object_new_int64(first), NULL);
	if (first == 0)
		json_add(&vp, "segments",
			 json_make("cs",
				   json_make("selector", json_object_new_string("0x8"), "base",
					     json_object_new_string("\x1b"), NULL),
				   NULL));
	json_append(&vps, vp);
	report = json_make("vps", vps, NULL);
	if (first < 2)
		json_add(&report, "next", json_object_new_int64(first + 1));
	return report;
}

/* A part that is not what it is said to be; of vps there is always one more. */
struct json_object *make_hostile_inspection(const char *part, int64_t first)
{
	struct json_object *hostile = json_object_new_string("\x1b[2J");

	if (strcmp(part, "vps") != 0)
		return json_make(part, hostile, NULL);
	return json_make(part, json_object_new_array(), "next", json_object_new_int64(first + 1),
			 "strange", hostile, NULL);
}

struct json_object *make_values(void)
{
	struct json_object *values = json_object_new_array(), *pair = json_object_new_array();

	json_append(&pair, json_object_new_string("color"));
	json_append(&pair, json_object_new_string("blue \x1b[31m"));
	json_append(&values, pair);
	return values;
}
