/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any datagram on the control socket: it is dropped, or it is a message with all its members, which
 * fits the contract, and then has what that requires, or is refused with a reason.
 */
#include "common/control_contract.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void read_request(struct control_message *message, bool has_machine)
{
	struct control_arguments arguments;
	struct control_refusal refusal = { 0 };
	const struct control_method *method;
	int r;

	r = control_request_read(message, has_machine, &method, &arguments, &refusal);
	if (r != 0) {
		check(r == CONTROL_E_REFUSED && refusal.code && refusal.text[0] != '\0');
		return;
	}
	check(has_machine || !method->needs_machine);
	check(arguments.controller < DEFINITION_CONTROLLERS_MAX &&
	      arguments.lun < DEFINITION_LUNS_MAX && arguments.part < CONTROL_PARTS &&
	      control_backend_names[arguments.backend] && control_pool_names[arguments.pool]);
	check((method->id == CONTROL_METHOD_configure) == (arguments.definition != NULL));
	check((method->id == CONTROL_METHOD_set_value) <= (arguments.key && arguments.value));
	control_arguments_deinit(&arguments);
}

static void read_result(struct json_object *result)
{
	for (int id = 0; id < CONTROL_METHOD_COUNT; id++) {
		struct json_error error = { 0 };
		struct json_reader strict = JSON_READER(&error);
		struct json_reader lenient = { .error = &error, .ignores_unknown = true };
		int r = control_result_check(control_method(id), result, &lenient);

		check(r == 0 || error.message[0] != '\0');
		check(r == 0 || control_result_check(control_method(id), result, &strict) < 0);
	}
}

static void read_event(const struct control_message *message)
{
	struct control_event_data event;
	struct json_error error = { 0 };
	enum control_event_id id;
	int r;

	r = control_event_read(message->name, message->body, &id, &event, &error);
	check(r >= 0 || error.message[0] != '\0');
	if (r != 0)
		return;
	check(event.controller < DEFINITION_CONTROLLERS_MAX && event.lun < DEFINITION_LUNS_MAX &&
	      control_health_names[event.health] && control_operation_names[event.operation]);
	check(!event.addresses ||
	      json_object_array_length(event.addresses) <= CONTROL_ADDRESSES_MAX);
	control_event_data_deinit(&event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_message message;

	if (control_decode((const char *)data, size, &message) != 0)
		return 0;
	check(message.name && message.text && json_object_is_type(message.body, json_type_object));
	if (message.kind == CONTROL_REQUEST) {
		read_request(&message, false);
		read_request(&message, true);
	} else if (message.kind == CONTROL_REPLY) {
		read_result(message.body);
	} else if (message.kind == CONTROL_EVENT) {
		read_event(&message);
	}
	control_message_deinit(&message);
	return 0;
}
