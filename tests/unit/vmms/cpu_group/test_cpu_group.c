/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPU groups: their definitions, and the names of their slices. */
#include "vmms/cpu_group/cpu_group.h"
#include "vmms/units/slice_name.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct json_error last;

static struct cpu_group_definition *parse(const char *text)
{
	struct cpu_group_definition *definition = NULL;

	last = (struct json_error){ 0 };
	if (cpu_group_definition_parse(text, strlen(text), &definition, &last) < 0)
		assert_null(definition);
	return definition;
}

static void assert_text(const struct cpu_group_definition *definition, const char *expected)
{
	AUTO_JSON struct json_object *tree = cpu_group_definition_to_json(definition);

	assert_string_equal(json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN), expected);
}

static void all_is_given(void **state)
{
	static const char text[] = "{\"version\":1,\"name\":\"g-1.x_y\",\"notes\":\"n\","
				   "\"cpu_weight\":10000,\"cpu_quota\":1000000,\"cpus\":\"0-3,8\"}";
	CLEANUP(cpu_group_definition_freep) struct cpu_group_definition *definition = parse(text);

	assert_non_null(definition);
	assert_int_equal(definition->cpu_weight, 10000);
	assert_int_equal(definition->cpu_quota, 1000000);
	assert_text(definition, text);
}

static void a_name_alone(void **state)
{
	CLEANUP(cpu_group_definition_freep)
	struct cpu_group_definition *definition =
		parse("{\"name\": \"12345678901234567890123456789012\"}");

	assert_non_null(definition);
	assert_text(definition, "{\"version\":1,\"name\":\"12345678901234567890123456789012\","
				"\"notes\":\"\"}");
}

static void refused(void **state)
{
	static const struct {
		const char *text, *key;
	} cases[] = {
		{ "{}", "name" },
		{ "{\"name\": \"\"}", "name" },
		{ "{\"name\": \"-a\"}", "name" },
		{ "{\"name\": \"a b\"}", "name" },
		{ "{\"name\": \"a\\u0000b\"}", "name" },
		{ "{\"name\": \"123456789012345678901234567890123\"}", "name" },
		{ "{\"name\": \"a\", \"version\": 2}", "version" },
		{ "{\"name\": \"a\", \"cpu_weight\": 0}", "cpu_weight" },
		{ "{\"name\": \"a\", \"cpu_weight\": 10001}", "cpu_weight" },
		{ "{\"name\": \"a\", \"cpu_quota\": 0}", "cpu_quota" },
		{ "{\"name\": \"a\", \"cpu_quota\": 1000001}", "cpu_quota" },
		{ "{\"name\": \"a\", \"cpus\": \"\"}", "cpus" },
		{ "{\"name\": \"a\", \"memory\": 1}", "memory" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (parse(cases[i].text))
			fail_msg("accepted: %s", cases[i].text);
		if (strcmp(last.key, cases[i].key) != 0 || last.message[0] == '\0')
			fail_msg("%s: key '%s': %s", cases[i].text, last.key, last.message);
	}
}

/* Each '-' of a slice's name leads to another slice; the longest name still fits. */
static void names_of_slices(void **state)
{
	char slice[SLICE_NAME_SIZE], dashes[DEFINITION_CPU_GROUP_NAME_MAX + 1];

	slice_name_of_cpu_group("gold.1_x", slice);
	assert_string_equal(slice, "vmms-gold.1_x.slice");
	slice_name_of_cpu_group("a-b", slice);
	assert_string_equal(slice, "vmms-a\\x2db.slice");
	memset(dashes, '-', sizeof(dashes) - 1);
	dashes[sizeof(dashes) - 1] = '\0';
	slice_name_of_cpu_group(dashes, slice);
	assert_int_equal(strlen(slice), strlen("vmms-.slice") + 4 * strlen(dashes));
	assert_string_equal(slice + strlen(slice) - 10, "\\x2d.slice");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_given),
		cmocka_unit_test(a_name_alone),
		cmocka_unit_test(refused),
		cmocka_unit_test(names_of_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
