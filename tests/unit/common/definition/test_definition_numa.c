/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NUMA nodes in VM definitions: what is given, what is left open, refusals, writing again. */
#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

static struct json_error last;

/* Of a VM with 8 vps, 2 threads a core, and 1 GiB. */
static struct definition *parse(const char *numa, const char *more)
{
	struct definition *definition = NULL;
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"name\": \"a\", \"boot\": {\"kernel\": \"/k\"}, \"processors\": {\"count\": 8, "
		 "\"threads\": 2}, \"memory\": {\"size\": \"1G\"%s},\n\"numa\": %s}",
		 more, numa);
	last = (struct json_error){ 0 };
	if (definition_parse(text, strlen(text), &definition, &last) < 0)
		assert_null(definition);
	return definition;
}

static void all_is_left_open(void **state)
{
	for (unsigned count = 1; count <= 4; count++) {
		CLEANUP(definition_freep) struct definition *definition = NULL;
		unsigned last_node = 0;
		uint64_t sum = 0;
		char numa[64] = "[{}";

		for (unsigned i = 1; i < count; i++)
			strcat(numa, ", {}");
		definition = parse(strcat(numa, "]"), "");
		assert_non_null(definition);
		assert_int_equal(definition->numa.count, count);
		for (unsigned vp = 0; vp < 8; vp++) {
			unsigned node = definition_numa_node_of(&definition->numa,
								&definition->processors, vp);

			assert_true(node == last_node || (node == last_node + 1 && vp % 2 == 0));
			last_node = node;
		}
		assert_int_equal(last_node, count - 1);
		for (unsigned i = 0; i < count; i++) {
			uint64_t memory =
				definition_numa_memory(&definition->numa, &definition->memory, i);

			assert_int_equal(memory % DEFINITION_MEMORY_UNIT, 0);
			assert_true(memory >= 1024 * MIB / count - DEFINITION_MEMORY_UNIT);
			sum += memory;
		}
		assert_int_equal(sum, 1024 * MIB);
	}
}

static void all_is_given(void **state)
{
	static const char text[] =
		"[{\"processors\": \"0-1,6-7\", \"memory\": \"768M\", \"host_node\": 1,\n"
		"  \"distances\": [10, 17, 30]},\n"
		" {\"processors\": \"2-5\", \"memory\": \"128M\"},\n"
		" {\"processors\": \"\", \"memory\": \"128M\", \"distances\": [30, 31, 10]}]";
	CLEANUP(definition_freep) struct definition *definition = parse(text, "");
	CLEANUP(definition_freep) struct definition *copy = NULL;
	static const unsigned nodes[] = { 0, 0, 1, 1, 1, 1, 0, 0 };
	static const unsigned distances[3][3] = { { 10, 17, 30 }, { 20, 10, 20 }, { 30, 31, 10 } };
	const struct definition_numa *numa;

	assert_non_null(definition);
	assert_int_equal(definition_copy(definition, &copy), 0);
	numa = &copy->numa;
	assert_int_equal(numa->count, 3);
	for (unsigned vp = 0; vp < 8; vp++)
		assert_int_equal(definition_numa_node_of(numa, &copy->processors, vp), nodes[vp]);
	assert_int_equal(definition_numa_memory(numa, &copy->memory, 0), 768 * MIB);
	assert_int_equal(definition_numa_memory(numa, &copy->memory, 2), 128 * MIB);
	assert_int_equal(numa->nodes[0].host_node, 1);
	assert_int_equal(numa->nodes[1].host_node, DEFINITION_NUMA_HOST_NODE_ANYWHERE);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < 3; j++)
			assert_int_equal(definition_numa_distance(numa, i, j), distances[i][j]);
}

static void memory_is_left_open_by_some(void **state)
{
	CLEANUP(definition_freep)
	struct definition *definition = parse("[{}, {\"memory\": \"510M\"}, {}]", "");

	assert_non_null(definition);
	assert_int_equal(definition_numa_memory(&definition->numa, &definition->memory, 0),
			 258 * MIB);
	assert_int_equal(definition_numa_memory(&definition->numa, &definition->memory, 1),
			 510 * MIB);
	assert_int_equal(definition_numa_memory(&definition->numa, &definition->memory, 2),
			 256 * MIB);
}

static void none_are_written_down(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = parse("[]", "");
	AUTO_JSON struct json_object *tree = NULL;

	assert_non_null(definition);
	tree = definition_to_json(definition);
	assert_false(json_object_object_get_ex(tree, "numa", NULL));
}

static void what_makes_no_sense(void **state)
{
	static const struct {
		const char *numa, *more, *key, *says;
	} cases[] = {
		{ "{}", "", "numa", "list" },
		{ "[{}, {}, {}, {}, {}]", "", "numa", "more nodes than the VM has cores" },
		{ "[{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}]", "",
		  "numa", "at most 16" },
		{ "[{}]", ", \"dynamic\": {}", "numa", "dynamic memory" },
		{ "[{}, {\"processors\": \"0-7\"}]", "", "numa[0].processors", "must be given" },
		{ "[{\"processors\": \"0-5\"}]", "", "numa", "no node for virtual processor 6" },
		{ "[{\"processors\": \"0-8\"}]", "", "numa[0].processors", "more processors" },
		{ "[{\"processors\": \"0-5\"}, {\"processors\": \"4-7\"}]", "",
		  "numa[1].processors", "another node" },
		{ "[{\"processors\": \"0-4\"}, {\"processors\": \"5-7\"}]", "",
		  "numa[1].processors", "all threads of a core" },
		{ "[{\"processors\": \"7-0\"}]", "", "numa[0].processors", "such as" },
		{ "[{\"processors\": \"0-7,\"}]", "", "numa[0].processors", "such as" },
		{ "[{\"processors\": \"0-0000000000000007\"}]", "", "numa[0].processors",
		  "such as" },
		{ "[{\"processors\": \"0-240\"}]", "", "numa[0].processors", "such as" },
		{ "[{\"processors\": 7}]", "", "numa[0].processors", "text" },
		{ "[{\"memory\": \"512M\"}]", "", "numa", "with 512M of memory together" },
		{ "[{\"memory\": \"512M\"}, {\"memory\": \"514M\"}]", "", "numa", "has 1G" },
		{ "[{\"memory\": \"1023M\"}, {}]", "", "numa[0].memory", "multiple of 2M" },
		{ "[{\"memory\": \"1G\"}, {}]", "", "numa", "leaves nothing" },
		{ "[{\"memory\": \"8T\"}, {\"memory\": \"8T\"}, {}]", "", "numa",
		  "leaves nothing" },
		{ "[{\"host_node\": 1024}]", "", "numa[0].host_node", "to 1023" },
		{ "[{\"distances\": [10, 20]}]", "", "numa[0].distances", "each node" },
		{ "[{\"distances\": [11]}]", "", "numa[0].distances", "10 to the node itself" },
		{ "[{}, {\"distances\": [10, 10]}]", "", "numa[1].distances", "more to others" },
		{ "[{\"distances\": [255]}]", "", "numa[0].distances[0]", "to 254" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(definition_freep)
		struct definition *definition = parse(cases[i].numa, cases[i].more);

		if (definition)
			fail_msg("accepted: %s", cases[i].numa);
		if (last.line != 2 || strcmp(last.key, cases[i].key) != 0 ||
		    !strstr(last.message, cases[i].says))
			fail_msg("%s: line %d, key '%s': %s", cases[i].numa, last.line, last.key,
				 last.message);
	}
}

static void sets_of_vps(void **state)
{
	char text[DEFINITION_VPS_TEXT], again[DEFINITION_VPS_TEXT];
	struct definition_vps vps = { 0 }, read;

	/* The longest text there is. */
	for (unsigned vp = 1; vp < DEFINITION_PROCESSORS_MAX; vp += 2)
		definition_vps_add(&vps, vp);
	definition_vps_format(&vps, text);
	assert_int_equal(definition_vps_parse(text, &read), 0);
	assert_memory_equal(&vps, &read, sizeof(vps));
	assert_int_equal(definition_vps_parse("239,0-2,2-5", &read), 0);
	definition_vps_format(&read, again);
	assert_string_equal(again, "0-5,239");
	assert_int_equal(definition_vps_parse("0-239", &read), 0);
	definition_vps_format(&read, again);
	assert_string_equal(again, "0-239");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_left_open),
		cmocka_unit_test(all_is_given),
		cmocka_unit_test(memory_is_left_open_by_some),
		cmocka_unit_test(none_are_written_down),
		cmocka_unit_test(what_makes_no_sense),
		cmocka_unit_test(sets_of_vps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
