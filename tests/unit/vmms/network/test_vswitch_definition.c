/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions of virtual switches: what is taken, and what is refused where. */
#include "tests/unit/unit.h"
#include "vmms/network/vswitch_definition.h"

#include <errno.h>
#include <string.h>

static struct vswitch_definition *parse(const char *text)
{
	struct vswitch_definition *definition;
	struct json_error error;

	if (vswitch_definition_parse(text, strlen(text), &definition, &error) < 0) {
		print_message("%d: %s %s\n", error.line, error.key, error.message);
		fail();
	}
	return definition;
}

static void assert_refused(const char *text, int line, const char *key, const char *message)
{
	struct vswitch_definition *definition;
	struct json_error error;

	assert_int_equal(vswitch_definition_parse(text, strlen(text), &definition, &error),
			 -EINVAL);
	assert_int_equal(error.line, line);
	assert_string_equal(error.key, key);
	assert_non_null(strstr(error.message, message));
}

static void test_least(void **state)
{
	struct vswitch_definition *definition = parse("{\"name\": \"lan\", \"type\": \"private\"}");

	assert_string_equal(definition->name, "lan");
	assert_int_equal(definition->type, VSWITCH_PRIVATE);
	assert_true(guid_is_null(&definition->uuid));
	assert_string_equal(definition->notes, "");
	vswitch_definition_free(definition);
}

static void test_there_and_back(void **state)
{
	static const char *const texts[] = {
		"{\"version\":1,\"name\":\"a\",\"uuid\":\"f8615163-df3e-46c5-913f-f2d2f965ed0e\","
		"\"notes\":\"x\",\"type\":\"internal\",\"addresses\":[\"192.0.2.1/24\","
		"\"2001:db8::1/64\"],\"mtu\":9000}",
		"{\"version\":1,\"name\":\"b\",\"notes\":\"\",\"type\":\"external\","
		"\"bridge\":\"br0\"}",
		"{\"version\":1,\"name\":\"c\",\"notes\":\"\",\"type\":\"external\","
		"\"interface\":\"eth0\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct vswitch_definition *definition = parse(texts[i]);
		AUTO_JSON struct json_object *tree = vswitch_definition_to_json(definition);

		assert_string_equal(
			json_object_to_json_string_ext(
				tree, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			texts[i]);
		vswitch_definition_free(definition);
	}
}

static void test_refusals(void **state)
{
	assert_refused("{\"type\": \"private\"}", 1, "name", "");
	assert_refused("{\"name\": \"a\"}", 1, "type", "");
	assert_refused("{\"name\": \"default\",\n\"type\": \"private\"}", 1, "name", "default");
	assert_refused("{\"name\": \"a b\",\n\"type\": \"private\"}", 1, "name", "letters");
	assert_refused("{\"name\": \"a\",\n\"type\": \"public\"}", 2, "type", "");
	assert_refused("{\"name\": \"a\", \"type\": \"private\",\n\n\"colour\": 1}", 3, "colour",
		       "");
	assert_refused("{\"name\": \"a\", \"type\": \"private\",\n\"bridge\": \"br0\"}", 2,
		       "bridge", "external");
	assert_refused("{\"name\": \"a\", \"type\": \"private\",\n\"addresses\": []}", 2,
		       "addresses", "internal");
	assert_refused("{\"name\": \"a\", \"type\": \"external\"}", 1, "", "either");
	assert_refused("{\"name\": \"a\", \"type\": \"external\", \"bridge\": \"b\", "
		       "\"interface\": \"c\"}",
		       1, "", "either");
	assert_refused("{\"name\": \"a\", \"type\": \"external\",\n\"interface\": \"a/b\"}", 2,
		       "interface", "interface");
	assert_refused("{\"name\": \"a\", \"type\": \"external\",\n\"interface\": "
		       "\"0123456789abcdef\"}",
		       2, "interface", "");
	assert_refused("{\"name\": \"a\", \"type\": \"internal\",\n\"addresses\": "
		       "[\"10.0.0.1/8\",\n\"10.0.0.1\"]}",
		       3, "addresses[1]", "prefix");
	assert_refused("{\"name\": \"a\", \"type\": \"internal\",\n\"addresses\": "
		       "[\"10.0.0.1/8\",\n\"10.0.0.1/8\"]}",
		       3, "addresses[1]", "already");
	assert_refused("{\"name\": \"a\", \"type\": \"internal\", \"mtu\": 100}", 1, "mtu", "");
	assert_refused("{\"version\": 2, \"name\": \"a\", \"type\": \"private\"}", 1, "version",
		       "1");
	assert_refused("[]", 1, "", "");
	assert_refused("", 1, "", "");
}

static void test_too_large(void **state)
{
	struct vswitch_definition *definition;
	struct json_error error;
	static char text[VSWITCH_SIZE_MAX + 1];

	memset(text, ' ', sizeof(text));
	assert_int_equal(vswitch_definition_parse(text, sizeof(text), &definition, &error),
			 -EINVAL);
	assert_non_null(strstr(error.message, "larger"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
