/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPUs and pins in VM definitions: what is given, refusals, writing again. */
#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct json_error last;

/* Of a VM with 4 vps. */
static struct definition *parse(const char *resources)
{
	struct definition *definition = NULL;
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"name\": \"a\", \"boot\": {\"kernel\": \"/k\"}, \"processors\": "
		 "{\"count\": 4},\n\"resources\": %s}",
		 resources);
	last = (struct json_error){ 0 };
	if (definition_parse(text, strlen(text), &definition, &last) < 0)
		assert_null(definition);
	return definition;
}

static void assert_pin(const struct definition *definition, unsigned vp, const char *cpus)
{
	const struct cpu_list *list = definition_pinning_find(&definition->resources.pinning, vp);
	char text[CPU_LIST_TEXT];

	assert_non_null(list);
	cpu_list_format(list, text);
	assert_string_equal(text, cpus);
}

static void given(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	AUTO_JSON struct json_object *tree = NULL;

	definition = parse("{\"cpus\": \"8,0-3\", \"pinning\": [{\"vps\": \"0-1\", \"cpus\": "
			   "\"0,8\"}, {\"vps\": 3, \"cpus\": 2}]}");
	assert_non_null(definition);
	assert_pin(definition, 0, "0,8");
	assert_pin(definition, 1, "0,8");
	assert_null(definition_pinning_find(&definition->resources.pinning, 2));
	assert_pin(definition, 3, "2");
	assert_true(definition_resources_are_limited(&definition->resources));
	tree = definition_resources_to_json(&definition->resources);
	assert_string_equal(json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN),
			    "{\"cpus\":\"0-3,8\",\"pinning\":[{\"vps\":\"0-1\",\"cpus\":\"0,8\"},"
			    "{\"vps\":\"3\",\"cpus\":\"2\"}]}");
}

static void pins_are_no_limits_of_a_control_group(void **state)
{
	CLEANUP(definition_freep)
	struct definition *definition = parse("{\"pinning\": [{\"vps\": \"0\", \"cpus\": \"1\"}]}");

	assert_non_null(definition);
	assert_false(definition_resources_are_limited(&definition->resources));
	definition->resources.io_weight = 1;
	assert_true(definition_resources_are_limited(&definition->resources));
}

static void none(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = parse("{\"pinning\": []}");

	assert_non_null(definition);
	assert_int_equal(definition->resources.pinning.count, 0);
	assert_null(definition_pinning_find(&definition->resources.pinning, 0));
}

static void of_the_first_vps(void **state)
{
	CLEANUP(definition_freep)
	struct definition *definition =
		parse("{\"pinning\": [{\"vps\": \"1-3\", \"cpus\": \"1\"}, {\"vps\": \"0\", "
		      "\"cpus\": \"0\"}]}");
	AUTO_JSON struct json_object *two = NULL, *one = NULL;

	assert_non_null(definition);
	two = definition_pinning_to_json(&definition->resources.pinning, 2);
	assert_string_equal(json_object_to_json_string_ext(two, JSON_C_TO_STRING_PLAIN),
			    "[{\"vps\":\"1\",\"cpus\":\"1\"},{\"vps\":\"0\",\"cpus\":\"0\"}]");
	one = definition_pinning_to_json(&definition->resources.pinning, 1);
	assert_string_equal(json_object_to_json_string_ext(one, JSON_C_TO_STRING_PLAIN),
			    "[{\"vps\":\"0\",\"cpus\":\"0\"}]");
}

static void refused(void **state)
{
	static const struct {
		const char *resources, *key, *says;
	} cases[] = {
		{ "{\"cpus\": \"\"}", "resources.cpus", "such as \"0-3,8\"" },
		{ "{\"cpus\": \"0-\"}", "resources.cpus", "such as \"0-3,8\"" },
		{ "{\"cpus\": -1}", "resources.cpus", "such as \"0-3,8\"" },
		{ "{\"cpus\": [0]}", "resources.cpus", "must be text such as" },
		{ "{\"cpus\": 1.5}", "resources.cpus", "must be text such as" },
		{ "{\"cpus\": \"1024\"}", "resources.cpus", "beyond 1023" },
		{ "{\"pinning\": {}}", "resources.pinning", "must be a list of pins" },
		{ "{\"pinning\": [1]}", "resources.pinning[0]", "" },
		{ "{\"pinning\": [{\"vps\": \"0\"}]}", "resources.pinning[0].cpus", "" },
		{ "{\"pinning\": [{\"cpus\": \"0\"}]}", "resources.pinning[0].vps", "" },
		{ "{\"pinning\": [{\"vps\": \"\", \"cpus\": \"0\"}]}", "resources.pinning[0].vps",
		  "numbers of virtual processors" },
		{ "{\"pinning\": [{\"vps\": \"240\", \"cpus\": \"0\"}]}",
		  "resources.pinning[0].vps", "numbers of virtual processors" },
		{ "{\"pinning\": [{\"vps\": [0], \"cpus\": \"0\"}]}", "resources.pinning[0].vps",
		  "must be text" },
		{ "{\"pinning\": [{\"vps\": \"0\", \"cpus\": \"x\"}]}", "resources.pinning[0].cpus",
		  "numbers of the host's CPUs" },
		{ "{\"pinning\": [{\"vps\": \"0\", \"cpus\": \"0\", \"core\": 1}]}",
		  "resources.pinning[0].core", "" },
		{ "{\"pinning\": [{\"vps\": \"3-4\", \"cpus\": \"0\"}]}",
		  "resources.pinning[0].vps", "that the VM does not have" },
		{ "{\"pinning\": [{\"vps\": \"0-2\", \"cpus\": \"0\"}, {\"vps\": \"2\", "
		  "\"cpus\": \"0\"}]}",
		  "resources.pinning[1].vps", "another pin names" },
		{ "{\"cpus\": \"0-1\", \"pinning\": [{\"vps\": \"0\", \"cpus\": \"1-2\"}]}",
		  "resources.pinning[0].cpus", "by resources.cpus" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (parse(cases[i].resources))
			fail_msg("accepted: %s", cases[i].resources);
		if (last.line != 2 || strcmp(last.key, cases[i].key) != 0 ||
		    !strstr(last.message, cases[i].says))
			fail_msg("%s: line %d, key '%s': %s", cases[i].resources, last.line,
				 last.key, last.message);
	}
}

static void too_many(void **state)
{
	struct json_object *array = json_object_new_array();
	struct definition_pinning pinning = { 0 };

	for (int i = 0; i <= DEFINITION_PROCESSORS_MAX; i++)
		json_append(&array, json_object_new_object());
	assert_int_equal(definition_pinning_from_json(array, 4, &pinning, &last), -EINVAL);
	assert_non_null(strstr(last.message, "at most 240"));
	json_object_put(array);
}

/* As a worker is told it later. */
static void changed(void **state)
{
	CLEANUP(definition_freep)
	struct definition *definition = parse("{\"pinning\": [{\"vps\": \"0\", \"cpus\": \"1\"}]}");
	AUTO_JSON struct json_object *good = json_tokener_parse("[{\"vps\": 1, \"cpus\": \"5\"}]");
	AUTO_JSON struct json_object *bad =
		json_tokener_parse("[{\"vps\": 1, \"cpus\": \"5\"}, 7]");
	AUTO_JSON struct json_object *empty = json_tokener_parse("[]");
	struct definition_pinning *pinning;

	assert_non_null(definition);
	pinning = &definition->resources.pinning;
	assert_int_equal(definition_pinning_from_json(bad, 4, pinning, &last), -EINVAL);
	assert_string_equal(last.key, "pinning[1]");
	assert_pin(definition, 0, "1");
	assert_int_equal(definition_pinning_from_json(good, 1, pinning, &last), -EINVAL);
	assert_int_equal(definition_pinning_from_json(good, 4, pinning, &last), 0);
	assert_pin(definition, 1, "5");
	assert_null(definition_pinning_find(pinning, 0));
	assert_int_equal(definition_pinning_from_json(empty, 4, pinning, &last), 0);
	assert_null(definition_pinning_find(pinning, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(given),   cmocka_unit_test(pins_are_no_limits_of_a_control_group),
		cmocka_unit_test(none),    cmocka_unit_test(of_the_first_vps),
		cmocka_unit_test(refused), cmocka_unit_test(too_many),
		cmocka_unit_test(changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
