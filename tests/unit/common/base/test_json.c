/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON: strict parsing with lines, reading by tables, making. */
#include "common/base/cc.h"
#include "common/base/json.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json_error last;

static struct json_object *parse(const char *text)
{
	struct json_object *object = NULL;

	last = (struct json_error){ 0 };
	if (json_parse(text, strlen(text), &object, &last) < 0)
		assert_null(object);
	return object;
}

static void test_accepts(void **state)
{
	static const char *const texts[] = {
		"{}",
		" \t\r\n{ } \n",
		"{\"a\": -0.5e+3, \"b\": [1, [2], {}], \"c\": \"\\\"\\u00e9\\\\\", \"d\": false}",
		"{\"a\":{\"x\":1},\"b\":{\"x\":2}}",
		"{\"a\":[{\"x\":1},{\"x\":2}]}",
		"{\"a\":\"\\\"\"}",
		"{\"a\":9223372036854775807}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		AUTO_JSON struct json_object *object = parse(texts[i]);

		if (!object)
			fail_msg("%s: %s", texts[i], last.message);
	}
}

static void test_refuses(void **state)
{
	static const struct {
		const char *text;
		int line;
		const char *key;
	} cases[] = {
		{ "", 1, "" },
		{ "\n\n", 3, "" },
		{ "[]", 1, "" },
		{ "1", 1, "" },
		{ "null", 1, "" },
		{ "{\n\"a\": 1,\n}", 3, "" },
		{ "{\"a\": 1}\n{", 2, "" },
		{ "{\"a\": 1} x", 1, "" },
		{ "{\n\"a\": 'x'}", 2, "" },
		{ "{\"a\": 1 // comment\n}", 1, "" },
		{ "{\"a\": /* comment */ 1}", 1, "" },
		{ "{\"a\": nul}", 1, "" },
		{ "{\"a\": TRUE}", 1, "" },
		{ "{\"a\": \"\xff\"}", 1, "" },
		{ "{\"a\": \"\xc0\x80\"}", 1, "" },
		{ "{\n\"a\":\n\n null}", 4, "a" },
		{ "{\"a\": NaN}", 1, "a" },
		{ "{\"a\": -Infinity}", 1, "a" },
		{ "{\"a\": Infinity}", 1, "a" },
		{ "{\"a\": \"\\u0000\"}", 1, "a" },
		{ "{\"a\": \"x\\\\\\u0000\"}", 1, "a" },
		{ "{\"a\": \"tab\there\"}", 1, "a" },
		{ "{\"a\": \"\\ud800\"}", 1, "a" },
		{ "{\"a\":\n\"x\\uDBFF\\n\"}", 2, "a" },
		{ "{\"a\": \"\\udc00\"}", 1, "a" },
		{ "{\"a\": \"\\uD83D\\uD83D\\uDE00\"}", 1, "a" },
		{ "{\"a\": \"\\uD83D\\uDE00\\uDE00\"}", 1, "a" },
		{ "{\"a\": [1, \"\\ud83d\\\\ude00\"]}", 1, "a[1]" },
		{ "{\"\\ud800\": 1}", 1, "" },
		{ "{\"a\\u0000b\": 1}", 1, "" },
		{ "{\"\\u0061\": 1}", 1, "" },
		{ "{\"a\": 1,\n\"b\": 2,\n\"a\": 3}", 3, "a" },
		{ "{\"a\": {\"x\": 1},\n\"a\": 3}", 2, "a" },
		{ "{\"a\": 1,\n\"a\": {\"x\": 1}}", 2, "a" },
		{ "{\"o\": [{}, {\"a\": 1,\n\"a\": 3}]}", 2, "o[1].a" },
		{ "{\"a\": [1, null]}", 1, "a[1]" },
		{ "{\"a\": 01}", 1, "" },
		{ "{\"a\": +1}", 1, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON struct json_object *object = parse(cases[i].text);

		if (object)
			fail_msg("accepted: %s", cases[i].text);
		if (last.line != cases[i].line ||
		    (cases[i].key[0] != '\0' && strcmp(last.key, cases[i].key) != 0))
			fail_msg("%s: refused at line %d, key '%s': %s", cases[i].text, last.line,
				 last.key, last.message);
		assert_true(last.message[0] != '\0');
	}
}

static void test_errors_of_files(void **state)
{
	char text[64], little[8];

	json_error_describe("/a.json", 3, "disks[2].lun", "is taken", text, sizeof(text));
	assert_string_equal(text, "/a.json:3: disks[2].lun is taken");
	json_error_describe("/a.json", 0, "uuid", "is missing", text, sizeof(text));
	assert_string_equal(text, "/a.json: uuid is missing");
	json_error_describe("/a.json", 1, "", "not JSON", text, sizeof(text));
	assert_string_equal(text, "/a.json:1: not JSON");
	json_error_describe("/a.json", 1, "", "not JSON", little, sizeof(little));
	assert_string_equal(little, "/a.json");
}

static void test_refuses_nul_byte(void **state)
{
	static const char text[] = "{\n\"a\": 1}\0{}";
	struct json_object *object = NULL;

	assert_int_equal(json_parse(text, sizeof(text) - 1, &object, &last), -EINVAL);
	assert_int_equal(last.line, 2);
}

static void test_refuses_depth(void **state)
{
	char text[256] = "{\"a\":";

	memset(text + strlen(text), '[', JSON_DEPTH_MAX);
	assert_null(parse(text));
	assert_string_equal(last.message, "not JSON: nesting too deep");
}

/* {"a":[7,7,…]}, with so many values. */
static char *many_values(size_t count)
{
	static const char head[] = "{\"a\":[", tail[] = "]}";
	size_t numbers = count - 2;
	char *text = malloc(sizeof(head) + 2 * numbers + sizeof(tail));
	char *at = text;

	assert_non_null(text);
	at += sprintf(at, "%s", head);
	for (size_t i = 0; i < numbers; i++)
		at += sprintf(at, "%s7", i > 0 ? "," : "");
	strcpy(at, tail);
	return text;
}

static void test_values_are_bounded(void **state)
{
	AUTO_FREE char *most = many_values(JSON_VALUES_MAX - 1);
	AUTO_FREE char *more = many_values(JSON_VALUES_MAX + 2);
	AUTO_JSON struct json_object *object = parse(most);

	assert_non_null(object);
	assert_null(parse(more));
	assert_string_equal(last.message, "not JSON: there are more than 32768 values");
}

static void test_signs_in_texts_are_no_values(void **state)
{
	const struct json_bounds bounds = { .size = 1000, .values = 4 };
	const char *text = "{\"a\": \"[{,\\\",,,\", \"b\": \",,,,,,\"}";
	AUTO_JSON struct json_object *object = NULL;

	assert_int_equal(json_parse_bounded(text, strlen(text), &bounds, &object, &last), 0);
}

static void test_size_is_bounded(void **state)
{
	AUTO_FREE char *text = malloc(JSON_SIZE_MAX + 2);
	const struct json_bounds bounds = { .size = 3, .values = 10 };
	struct json_object *object = NULL;

	assert_non_null(text);
	memset(text, ' ', JSON_SIZE_MAX + 1);
	text[JSON_SIZE_MAX + 1] = '\0';
	memcpy(text, "{}", 2);
	assert_null(parse(text));
	assert_string_equal(last.message, "not JSON: the text has more than 1048576 bytes");
	text[JSON_SIZE_MAX] = '\0';
	object = parse(text);
	assert_non_null(object);
	json_object_put(object);
	assert_int_equal(json_parse_bounded("{  }", 4, &bounds, &object, &last), -EINVAL);
}

static void test_refuses_long_key(void **state)
{
	char text[512] = "{\"";

	memset(text + 2, 'k', 300);
	strcpy(text + 302, "\": 1}");
	assert_null(parse(text));
}

static void test_texts_that_are_cut(void **state)
{
	static const struct {
		const char *text;
		size_t most;
		const char *kept;
	} cases[] = {
		{ "plain", 7, "plain" }, { "plain", 6, "plai" }, { "\x1b\x1b\x1b", 14, "\x1b\x1b" },
		{ "a\xc3\xa9", 4, "a" }, { "\"/\\", 7, "\"/" },  { "", 2, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON struct json_object *text = json_make_text(cases[i].text, cases[i].most);

		assert_string_equal(json_object_get_string(text), cases[i].kept);
		assert_true(strlen(json_object_to_json_string_ext(text, JSON_C_TO_STRING_PLAIN)) <=
			    cases[i].most);
	}
}

static void test_lines(void **state)
{
	AUTO_JSON struct json_object *object = parse("{\n\"a\": [1,\n2,\n{\"b\":\n\"x\"}]}");
	struct json_object *a, *b;

	assert_non_null(object);
	assert_true(json_object_object_get_ex(object, "a", &a));
	assert_int_equal(json_line(object), 1);
	assert_int_equal(json_line(a), 2);
	assert_int_equal(json_line(json_object_array_get_idx(a, 0)), 2);
	assert_int_equal(json_line(json_object_array_get_idx(a, 1)), 3);
	assert_int_equal(json_line(json_object_array_get_idx(a, 2)), 4);
	assert_true(json_object_object_get_ex(json_object_array_get_idx(a, 2), "b", &b));
	assert_int_equal(json_line(b), 5);
	assert_int_equal(json_line(NULL), 0);
}

static void test_fractions_can_be_written_again(void **state)
{
	AUTO_JSON struct json_object *object = parse("{\"a\": 0.25}");

	assert_non_null(object);
	assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
			    "{\"a\":0.25}");
}

struct target {
	bool flag;
	unsigned number;
	uint64_t size;
	char *text;
	unsigned choice;
	unsigned inner;
	struct json_object *value;
};

static const char *const choices[] = { "red", "green", "blue", NULL };
static const struct json_key inner_keys[] = {
	{ .name = "inner",
	  .read = json_read_unsigned,
	  .offset = offsetof(struct target, inner),
	  .maximum = UINT32_MAX },
};
static const struct json_key_table inner_table = { inner_keys, ARRAY_SIZE(inner_keys) };
static const struct json_key keys[] = {
	{ .name = "flag", .read = json_read_bool, .offset = offsetof(struct target, flag) },
	{ .name = "number",
	  .read = json_read_unsigned,
	  .offset = offsetof(struct target, number),
	  .minimum = 2,
	  .maximum = 7,
	  .required = true },
	{ .name = "size",
	  .read = json_read_size,
	  .offset = offsetof(struct target, size),
	  .minimum = 4096,
	  .maximum = 1 << 30 },
	{ .name = "text",
	  .read = json_read_string,
	  .offset = offsetof(struct target, text),
	  .minimum = 1,
	  .maximum = 4 },
	{ .name = "choice",
	  .read = json_read_enum,
	  .offset = offsetof(struct target, choice),
	  .detail = choices },
	{ .name = "members", .read = json_read_members, .detail = &inner_table },
	{ .name = "value",
	  .read = json_read_value,
	  .offset = offsetof(struct target, value),
	  .minimum = json_type_object },
};

static int read_target(const char *text, struct target *target)
{
	AUTO_JSON struct json_object *object = parse(text);
	struct json_reader reader = JSON_READER(&last);

	assert_non_null(object);
	return json_read(&reader, object, keys, ARRAY_SIZE(keys), target);
}

static void target_deinit(struct target *target)
{
	free(target->text);
	json_object_put(target->value);
}

static void test_reads_every_type(void **state)
{
	struct target target = { .inner = 9 };

	assert_int_equal(read_target("{\"flag\": true, \"number\": 7, \"size\": \"4K\", \"text\": "
				     "\"abcd\", \"choice\": \"blue\", \"members\": {\"inner\": "
				     "4294967295}, \"value\": {\"x\": 1}}",
				     &target),
			 0);
	assert_true(target.flag);
	assert_int_equal(target.number, 7);
	assert_int_equal(target.size, 4096);
	assert_string_equal(target.text, "abcd");
	assert_int_equal(target.choice, 2);
	assert_int_equal(target.inner, UINT32_MAX);
	assert_true(json_object_is_type(target.value, json_type_object));
	target_deinit(&target);
}

static void test_missing_keys_leave_members(void **state)
{
	struct target target = { .flag = true, .size = 5, .choice = 1 };

	assert_int_equal(read_target("{\"number\": 2}", &target), 0);
	assert_true(target.flag);
	assert_int_equal(target.size, 5);
	assert_int_equal(target.choice, 1);
	assert_null(target.text);
}

static void test_read_refuses(void **state)
{
	static const struct {
		const char *text, *key, *message;
	} cases[] = {
		{ "{}", "number", "is missing and has no default" },
		{ "{\"number\": 1}", "number", "must be from 2 to 7, not 1" },
		{ "{\"number\": 8}", "number", "must be from 2 to 7, not 8" },
		{ "{\"number\": -3}", "number", "must be from 2 to 7, not -3" },
		{ "{\"number\": 99999999999999999999}", "number", NULL },
		{ "{\"number\": 4294967298}", "number", NULL },
		{ "{\"number\": 2.5}", "number", "must be a whole number, not a fraction" },
		{ "{\"number\": \"2\"}", "number", "must be a whole number, not a string" },
		{ "{\"number\": 2, \"flag\": 1}", "flag",
		  "must be true or false, not a whole number" },
		{ "{\"number\": 2, \"size\": 4095}", "size", "must be from 4K to 1G" },
		{ "{\"number\": 2, \"size\": -1}", "size", "must be from 4K to 1G" },
		{ "{\"number\": 2, \"size\": \"2G\"}", "size", "must be from 4K to 1G" },
		{ "{\"number\": 2, \"size\": \"much\"}", "size", NULL },
		{ "{\"number\": 2, \"size\": []}", "size", NULL },
		{ "{\"number\": 2, \"text\": \"\"}", "text", "must be 1 to 4 bytes long, not 0" },
		{ "{\"number\": 2, \"text\": \"abcde\"}", "text", NULL },
		{ "{\"number\": 2, \"text\": {}}", "text", "must be a string, not an object" },
		{ "{\"number\": 2, \"choice\": \"yellow\"}", "choice",
		  "must be \"red\", \"green\" or \"blue\"" },
		{ "{\"number\": 2, \"choice\": 1}", "choice", NULL },
		{ "{\"number\": 2, \"members\": {\"inner\": \"x\"}}", "members.inner", NULL },
		{ "{\"number\": 2, \"members\": 3}", "members",
		  "must be an object, not a whole number" },
		{ "{\"number\": 2, \"members\": {\"outer\": 1}}", "members.outer",
		  "is not a known key; the keys here are inner" },
		{ "{\"number\": 2, \"value\": []}", "value", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct target target = { 0 };

		assert_int_equal(read_target(cases[i].text, &target), -EINVAL);
		if (strcmp(last.key, cases[i].key) != 0 || last.line != 1 ||
		    (cases[i].message && strcmp(last.message, cases[i].message) != 0))
			fail_msg("%s: '%s' line %d: %s", cases[i].text, last.key, last.line,
				 last.message);
		target_deinit(&target);
	}
}

static void test_make(void **state)
{
	struct json_object *array = json_object_new_array();
	AUTO_JSON struct json_object *object = NULL;

	json_append(&array, json_object_new_int64(1));
	object = json_make("a", array, "b", json_object_new_string("x"), NULL);
	json_add(&object, "c", json_object_new_boolean(true));
	assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
			    "{\"a\":[1],\"b\":\"x\",\"c\":true}");
}

static void test_make_without_memory(void **state)
{
	struct json_object *object;

	object = json_make("a", json_object_new_int64(1), "b", NULL, "c", json_object_new_int64(1),
			   NULL);
	assert_null(object);
	json_add(&object, "d", json_object_new_int64(1));
	assert_null(object);
}

static void test_equal(void **state)
{
	assert_true(json_equal(parse("{\"a\": 1, \"b\": [2]}"), parse("{\"b\": [2], \"a\": 1}")));
	assert_false(json_equal(parse("{\"a\": 1}"), parse("{\"a\": 2}")));
	assert_false(json_equal(parse("{\"a\": 1}"), NULL));
	assert_false(json_equal(NULL, parse("{}")));
	assert_false(json_equal(NULL, NULL));
}

static struct json_object *parse_text(const char *text)
{
	struct json_object *tree;
	struct json_error error;

	assert_int_equal(json_parse(text, strlen(text), &tree, &error), 0);
	return tree;
}

static void test_differing_keys(void **state)
{
	static const struct {
		const char *a, *b, *keys;
	} cases[] = {
		{ "{}", "{}", "[]" },
		{ "{\"a\":1,\"b\":[1]}", "{\"b\":[1],\"a\":1}", "[]" },
		{ "{\"a\":1,\"b\":2}", "{\"a\":2,\"c\":3}", "[\"a\",\"b\",\"c\"]" },
		{ "{\"a\":{\"b\":1,\"c\":{\"d\":1}}}", "{\"a\":{\"b\":1,\"c\":{\"d\":2}}}",
		  "[\"a.c\"]" },
		{ "{\"a\":{\"b\":1}}", "{\"a\":1}", "[\"a\"]" },
		{ "{\"a\":[{\"b\":1}]}", "{\"a\":[{\"b\":2}]}", "[\"a\"]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON struct json_object *a = parse_text(cases[i].a);
		AUTO_JSON struct json_object *b = parse_text(cases[i].b);
		AUTO_JSON struct json_object *differing = json_differing_keys(a, b);

		assert_string_equal(
			json_object_to_json_string_ext(differing, JSON_C_TO_STRING_PLAIN),
			cases[i].keys);
	}
	assert_null(json_differing_keys(NULL, NULL));
}

static void test_looking_into_any_tree(void **state)
{
	AUTO_JSON struct json_object *tree =
		json_make("text", json_object_new_string("a"), "number", json_object_new_int(1),
			  "list", json_object_new_array(), NULL);
	struct json_object *list = json_object_object_get(tree, "list");

	json_append_format(&list, "%d and %s", 2, "three");
	assert_string_equal(json_object_get_string(json_object_array_get_idx(list, 0)),
			    "2 and three");
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(json_array_size(tree), 0);
	assert_int_equal(json_array_size(NULL), 0);
	assert_string_equal(json_member_text(tree, "text"), "a");
	assert_string_equal(json_member_text(tree, "number"), "");
	assert_string_equal(json_member_text(tree, "none"), "");
	assert_string_equal(json_member_text(list, "text"), "");
	assert_string_equal(json_member_text(NULL, "text"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_looking_into_any_tree),
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_errors_of_files),
		cmocka_unit_test(test_refuses_nul_byte),
		cmocka_unit_test(test_refuses_depth),
		cmocka_unit_test(test_texts_that_are_cut),
		cmocka_unit_test(test_values_are_bounded),
		cmocka_unit_test(test_signs_in_texts_are_no_values),
		cmocka_unit_test(test_size_is_bounded),
		cmocka_unit_test(test_refuses_long_key),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_fractions_can_be_written_again),
		cmocka_unit_test(test_reads_every_type),
		cmocka_unit_test(test_missing_keys_leave_members),
		cmocka_unit_test(test_read_refuses),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_make_without_memory),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_differing_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
