/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The contract between the daemon and a worker: what it takes, what it refuses, and with what words. */
#include "common/control_contract.h"
#include "common/definition/definition.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void decode(const char *text, struct control_message *message)
{
	assert_int_equal(control_decode(text, strlen(text), message), 0);
}

static void assert_refused(const char *call, size_t fds, bool has_machine, const char *code,
			   const char *text)
{
	const struct control_method *method;
	struct control_arguments arguments;
	struct control_refusal refusal;
	struct control_message message;
	char request[512];

	snprintf(request, sizeof(request), "{\"id\": 1, %s}", call);
	decode(request, &message);
	message.fd_count = fds;
	assert_int_equal(control_request_read(&message, has_machine, &method, &arguments, &refusal),
			 CONTROL_E_REFUSED);
	assert_string_equal(refusal.code, code);
	assert_string_equal(refusal.text, text);
	message.fd_count = 0;
	control_message_deinit(&message);
}

static void refused_requests(void **state)
{
	static const struct {
		const char *call;
		size_t fds;
		const char *text;
	} rows[] = {
		{ "\"method\": \"startle\"", 0, "There is no such method." },
		{ "\"method\": \"\"", 0, "There is no such method." },
		{ "\"method\": \"start\"", 1, "0 descriptors are to come with this, not 1." },
		{ "\"method\": \"reconnect\"", 2,
		  "0 to 1 descriptors are to come with this, not 2." },
		{ "\"method\": \"start\", \"arguments\": {\"x\": 1}", 0,
		  "x: is not a known key; the keys here are setup" },
		{ "\"method\": \"pin\", \"arguments\": {}", 0,
		  "pinning: is missing and has no default" },
		{ "\"method\": \"pin\", \"arguments\": {\"pinning\": {}}", 0,
		  "pinning: must not be an object" },
		{ "\"method\": \"detach\", \"arguments\": {\"controller\": 4, \"lun\": 0}", 0,
		  "controller: must be from 0 to 3, not 4" },
		{ "\"method\": \"detach\", \"arguments\": {\"controller\": \"0\", \"lun\": 0}", 0,
		  "controller: must be a whole number, not a string" },
		{ "\"method\": \"freeze\", \"arguments\": {\"limit\": 0}", 0,
		  "limit: must be from 1 to 86400, not 0" },
		{ "\"method\": \"shutdown\", \"arguments\": {\"force\": 1}", 0,
		  "force: must be true or false, not a whole number" },
		{ "\"method\": \"descriptors\", \"arguments\": {\"names\": [\"kvm\", 7]}", 2,
		  "names[1]: must be a string, not a whole number" },
		{ "\"method\": \"connect_adapter\", \"arguments\": {\"name\": \"a\", \"backend\": "
		  "\"x\"}",
		  0, "backend: must be \"none\", \"tap\" or \"socket\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_refused(rows[i].call, rows[i].fds, true, CONTROL_ERROR_INVALID,
			       rows[i].text);
}

/* That comes before what is wrong with the arguments. */
static void without_a_machine(void **state)
{
	for (int id = 0; id < CONTROL_METHOD_COUNT; id++) {
		const struct control_method *method = control_method(id);
		char call[128];

		assert_ptr_equal(control_method_find(method->name), method);
		snprintf(call, sizeof(call), "\"method\": \"%s\", \"arguments\": {\"x\": 1}",
			 method->name);
		if (method->needs_machine)
			assert_refused(call, 0, false, CONTROL_ERROR_INVALID_STATE,
				       "The worker has no definition yet.");
	}
}

static void arguments_are_read(void **state)
{
	static const char text[] =
		"{\"id\": 1, \"method\": \"set_value\", \"arguments\": {\"pool\": \"guest\", "
		"\"key\": \"k\", \"value\": \"v\"}}";
	const struct control_method *method;
	struct control_arguments arguments;
	struct control_refusal refusal;
	struct control_message message;

	decode(text, &message);
	assert_int_equal(control_request_read(&message, true, &method, &arguments, &refusal), 0);
	assert_int_equal(method->id, CONTROL_METHOD_set_value);
	assert_string_equal(control_pool_names[arguments.pool], "guest");
	assert_string_equal(arguments.key, "k");
	assert_string_equal(arguments.value, "v");
	control_arguments_deinit(&arguments);
	control_message_deinit(&message);
}

/* error: "": it fits. */
static void assert_result(enum control_method_id id, const char *result, bool ignores_unknown,
			  const char *error)
{
	AUTO_JSON struct json_object *tree = json_tokener_parse(result);
	struct json_error found = { 0 };
	struct json_reader reader = { .error = &found, .ignores_unknown = ignores_unknown };
	char text[512] = "";
	int r;

	assert_non_null(tree);
	r = control_result_check(control_method(id), tree, &reader);
	if (r < 0)
		snprintf(text, sizeof(text), "%s: %s", found.key, found.message);
	assert_string_equal(text, error);
}

#define ASSERT_RESULT(method, result, error) \
	assert_result(CONTROL_METHOD_##method, result, true, error)

static void results(void **state)
{
	ASSERT_RESULT(start, "{}", "");
	ASSERT_RESULT(start, "{\"strange\": []}", "");
	assert_result(CONTROL_METHOD_start, "{\"strange\": []}", false,
		      "strange: is not a known key; there are none here");
	ASSERT_RESULT(get_value, "{}", "value: is missing and has no default");
	ASSERT_RESULT(get_value, "{\"value\": 7}", "value: must be a string, not a whole number");
	ASSERT_RESULT(list_values, "{\"truncated\": false, \"values\": [[\"a\", \"b\"]]}", "");
	ASSERT_RESULT(list_values, "{\"truncated\": false, \"values\": [[\"a\"]]}",
		      "values[0]: must have two elements");
	ASSERT_RESULT(list_values, "{\"truncated\": false, \"values\": [[\"a\", 1]]}",
		      "values[0][1]: must be a string, not a whole number");
	ASSERT_RESULT(list_values, "{\"truncated\": false, \"values\": [7]}",
		      "values[0]: must be an array, not a whole number");
	ASSERT_RESULT(disks, "{\"disks\": [{\"controller\": 9}]}",
		      "disks[0].controller: must be from 0 to 3, not 9");
	ASSERT_RESULT(disks, "{\"disks\": [7]}", "disks[0]: must be an object, not a whole number");
	ASSERT_RESULT(inspect, "{\"vps\": {}}", "vps: must be an array, not an object");
	ASSERT_RESULT(inspect, "{\"vps\": [], \"next\": 0}",
		      "next: must be from 1 to 4294967295, not 0");
	ASSERT_RESULT(processors, "{\"removed\": [\"x\"], \"enlightenments\": {\"y\": \"on\"}}",
		      "");
	ASSERT_RESULT(processors, "{\"removed\": [], \"enlightenments\": {\"y\": \"up\"}}",
		      "enlightenments: must be \"off\", \"on\" or \"not-offered\"");
	ASSERT_RESULT(processors, "{\"removed\": [], \"enlightenments\": []}",
		      "enlightenments: must be an object, not an array");
}

#define COUNTED "{\"exits\": {}, \"vmbus\": {}, \"network\": {}, \"disk\": "

static void statistics(void **state)
{
	ASSERT_RESULT(statistics, COUNTED "{\"reads\": 9223372036854775807}}", "");
	ASSERT_RESULT(statistics, COUNTED "{\"reads\": -1}}",
		      "disk.reads: must be from 0 to 9223372036854775807, not -1");
	ASSERT_RESULT(statistics, COUNTED "{\"reads\": 1.5}}",
		      "disk.reads: must be a whole number, not a fraction");
	ASSERT_RESULT(statistics, COUNTED "{\"read_latency\": [1, -1]}}",
		      "disk.read_latency[1]: must be from 0 to 9223372036854775807, not -1");
	ASSERT_RESULT(statistics,
		      COUNTED "{\"read_latency\": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "
			      "0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}}",
		      "disk.read_latency: must have at most 24 elements, not 25");
}

/* Return: as control_event_read(). */
static int read_event(const char *name, const char *data, char error[512])
{
	AUTO_JSON struct json_object *tree = json_tokener_parse(data);
	struct control_event_data event;
	struct json_error found = { 0 };
	enum control_event_id id;
	int r;

	assert_non_null(tree);
	r = control_event_read(name, tree, &id, &event, &found);
	snprintf(error, 512, "%s: %s", found.key, found.message);
	if (r == 0)
		control_event_data_deinit(&event);
	return r;
}

static void events(void **state)
{
	static const struct {
		const char *name, *data, *error;
	} rows[] = {
		{ "state", "{\"state\": \"running\", \"mood\": 1}", NULL },
		{ "state", "{\"state\": 7}", "state: must be a string, not a whole number" },
		{ "state", "{}", "state: is missing and has no default" },
		{ "crash", "{\"parameters\": [\"0x1\", 2]}",
		  "parameters[1]: must be a string, not a whole number" },
		{ "crash", "{\"parameters\": [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\"]}",
		  "parameters: must have at most 5 elements, not 6" },
		{ "ejected", "{\"controller\": 0, \"lun\": 64}",
		  "lun: must be from 0 to 63, not 64" },
		{ "copy", "{\"copied\": -1, \"size\": 1}",
		  "copied: must be from 0 to 9223372036854775807, not -1" },
		{ "network", "{\"adapter\": \"nic0\", \"addresses\": {}}",
		  "addresses: must be an array, not an object" },
		{ "disk", "{\"controller\": 0, \"lun\": 0, \"health\": \"well\"}",
		  "health: must be \"ok\", \"errors\", \"full\", \"held\", \"no-server\" or "
		  "\"lost\"" },
	};
	char error[512];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(read_event(rows[i].name, rows[i].data, error),
				 rows[i].error ? -EINVAL : 0);
		if (rows[i].error)
			assert_string_equal(error, rows[i].error);
	}
	assert_int_equal(read_event("dance", "{}", error), CONTROL_E_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_requests),   cmocka_unit_test(without_a_machine),
		cmocka_unit_test(arguments_are_read), cmocka_unit_test(results),
		cmocka_unit_test(statistics),         cmocka_unit_test(events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
