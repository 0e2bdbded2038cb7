/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract between the daemon and a worker: its table, made into tables of keys.
 *
 * Each list of keys is expanded with the types that stand for it: those of arguments and events
 * read into a struct, whose members have to be of the right type for it to compile; those of
 * results only check, for whoever asked takes out of the tree what he wants.
 */
#include "common/control_contract.h"

#include "common/definition/definition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const control_part_names[] = {
	[CONTROL_PART_MACHINE] = "machine", [CONTROL_PART_VPS] = "vps",
	[CONTROL_PART_VMBUS] = "vmbus",     [CONTROL_PART_CHANNELS] = "channels",
	[CONTROL_PART_GPADLS] = "gpadls",   [CONTROL_PART_DEVICES] = "devices",
	[CONTROL_PART_SOCKETS] = "sockets", [CONTROL_PARTS] = NULL,
};

const char *const control_backend_names[] = { "none", "tap", "socket", NULL };

const char *const control_health_names[] = {
	[CONTROL_HEALTH_OK] = "ok",
	[CONTROL_HEALTH_ERRORS] = "errors",
	[CONTROL_HEALTH_FULL] = "full",
	[CONTROL_HEALTH_HELD] = "held",
	[CONTROL_HEALTH_NO_SERVER] = "no-server",
	[CONTROL_HEALTH_LOST] = "lost",
	NULL,
};

const char *const control_operation_names[] = { "read", "write", "flush", "unmap", "zero", NULL };

const char *const control_pool_names[] = { "external",      "guest",         "auto",
					   "auto-external", "auto-internal", NULL };

/* ---- Elements ---- */

/* An array of at most `maximum` elements, each of which has its own check. */
static int check_elements(struct json_reader *reader, const struct json_key *key,
			  struct json_object *value,
			  int (*check)(struct json_reader *reader, const struct json_key *key,
				       struct json_object *element))
{
	size_t count;

	if (!json_object_is_type(value, json_type_array))
		return json_refuse_type(reader, value, "an array");
	count = json_object_array_length(value);
	if (count > key->maximum)
		return json_refuse(reader, value, "must have at most %llu elements, not %zu",
				   (unsigned long long)key->maximum, count);
	for (size_t i = 0; i < count; i++) {
		size_t mark = json_enter_index(reader, i);
		int r = check(reader, key, json_object_array_get_idx(value, i));

		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

static int text_element(struct json_reader *reader, const struct json_key *key,
			struct json_object *element)
{
	return json_object_is_type(element, json_type_string)
		       ? 0
		       : json_refuse_type(reader, element, "a string");
}

static int number_element(struct json_reader *reader, const struct json_key *key,
			  struct json_object *element)
{
	const struct json_key any = { .maximum = INT64_MAX };
	uint64_t number;

	return json_read_uint64(reader, &any, element, &number);
}

static int pair_element(struct json_reader *reader, const struct json_key *key,
			struct json_object *element)
{
	const struct json_key two = { .maximum = 2 };

	if (json_object_is_type(element, json_type_array) && json_object_array_length(element) != 2)
		return json_refuse(reader, element, "must have two elements");
	return check_elements(reader, &two, element, text_element);
}

static int group_element(struct json_reader *reader, const struct json_key *key,
			 struct json_object *element)
{
	char nothing = 0;

	return json_read_members(reader, key, element, &nothing);
}

/* ---- Values that are read ---- */

static int read_texts(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target)
{
	const struct json_key array = { .minimum = json_type_array };
	int r = check_elements(reader, key, value, text_element);

	return r < 0 ? r : json_read_value(reader, &array, value, target);
}

/* ---- Values that are only checked ---- */

static int check_flag(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target)
{
	bool flag;

	return json_read_bool(reader, key, value, &flag);
}

static int check_number(struct json_reader *reader, const struct json_key *key,
			struct json_object *value, void *target)
{
	uint64_t number;

	return json_read_uint64(reader, key, value, &number);
}

static int check_text(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target)
{
	char *text = NULL;
	int r = json_read_string(reader, key, value, &text);

	free(text);
	return r;
}

static int check_word(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target)
{
	unsigned word;

	return json_read_enum(reader, key, value, &word);
}

static int check_value(struct json_reader *reader, const struct json_key *key,
		       struct json_object *value, void *target)
{
	return json_object_is_type(value, (enum json_type)key->minimum)
		       ? 0
		       : json_refuse_type(reader, value,
					  key->minimum == json_type_object ? "an object"
									   : "an array");
}

static int check_texts(struct json_reader *reader, const struct json_key *key,
		       struct json_object *value, void *target)
{
	return check_elements(reader, key, value, text_element);
}

static int check_numbers(struct json_reader *reader, const struct json_key *key,
			 struct json_object *value, void *target)
{
	return check_elements(reader, key, value, number_element);
}

static int check_pairs(struct json_reader *reader, const struct json_key *key,
		       struct json_object *value, void *target)
{
	return check_elements(reader, key, value, pair_element);
}

static int check_groups(struct json_reader *reader, const struct json_key *key,
			struct json_object *value, void *target)
{
	return check_elements(reader, key, value, group_element);
}

/* Its keys are the peer's: they are not shown. */
static int check_answers(struct json_reader *reader, const struct json_key *key,
			 struct json_object *value, void *target)
{
	int r = 0;

	if (!json_object_is_type(value, json_type_object))
		return json_refuse_type(reader, value, "an object");
	json_object_object_foreach(value, name, answer)
	{
		(void)name;
		r = check_word(reader, key, answer, NULL);
		if (r < 0)
			break;
	}
	return r;
}

/* ---- Keys that are read ---- */

/* clang-format off */
#define REQUIRED true
#define OPTIONAL false

/* The offset of a member, which has to be of that type. */
#define MEMBER(type, key) \
	(offsetof(TARGET, key) + \
	 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((TARGET *)0)->key), type) ? 1 : -1]))

#define FLAG(key_, need) \
	{ .name = #key_, .read = json_read_bool, .offset = MEMBER(bool, key_), .required = need },
#define NUMBER(key_, need, least, most) \
	{ .name = #key_, \
	  .read = _Generic(((TARGET *)0)->key_, uint64_t: json_read_uint64, \
			   unsigned: json_read_unsigned), \
	  .offset = offsetof(TARGET, key_), .required = need, \
	  .minimum = least, .maximum = most },
#define TEXT(key_, need, most) \
	{ .name = #key_, .read = json_read_string, .offset = MEMBER(char *, key_), \
	  .required = need, .maximum = most },
#define WORD(key_, need, words) \
	{ .name = #key_, .read = json_read_enum, .offset = MEMBER(unsigned, key_), \
	  .required = need, .detail = words },
#define VALUE(key_, need, type) \
	{ .name = #key_, .read = json_read_value, .offset = MEMBER(struct json_object *, key_), \
	  .required = need, .minimum = type },
#define OBJECT(key_, need) VALUE(key_, need, json_type_object)
#define LIST(key_, need)   VALUE(key_, need, json_type_array)
#define TEXTS(key_, need, most) \
	{ .name = #key_, .read = read_texts, .offset = MEMBER(struct json_object *, key_), \
	  .required = need, .maximum = most },

/* A table is closed by a key without a name, which is not counted. */
#define END { .name = NULL }

#define TARGET struct control_arguments
#define METHOD_ARGUMENTS(name, machine, changes, least, most, keys, result) \
	static const struct json_key name##_arguments[] = { keys END };
CONTROL_METHODS(METHOD_ARGUMENTS)
#undef TARGET

#define TARGET struct control_event_data
#define EVENT_DATA(name, keys) static const struct json_key name##_data[] = { keys END };
CONTROL_EVENTS(EVENT_DATA)
#undef TARGET

/* ---- Keys that are only checked ---- */

#undef FLAG
#undef NUMBER
#undef TEXT
#undef WORD
#undef VALUE
#undef TEXTS

#define CHECK(key_, need, read_, ...) \
	{ .name = key_, .read = read_, .required = need, __VA_ARGS__ },
#define FLAG(key, need)                CHECK(#key, need, check_flag, .offset = 0)
#define NUMBER(key, need, least, most) NAMED(#key, need, least, most)
#define NAMED(key, need, least, most)  CHECK(key, need, check_number, .minimum = least, .maximum = most)
#define TEXT(key, need, most)          CHECK(#key, need, check_text, .maximum = most)
#define WORD(key, need, words)         CHECK(#key, need, check_word, .detail = words)
#define VALUE(key, need, type)         CHECK(#key, need, check_value, .minimum = type)
#define TEXTS(key, need, most)         CHECK(#key, need, check_texts, .maximum = most)
#define NUMBERS(key, need, most)       CHECK(#key, need, check_numbers, .maximum = most)
#define PAIRS(key, need, most)         CHECK(#key, need, check_pairs, .maximum = most)
#define GROUP(key, need, keys)         CHECK(#key, need, json_read_members, .detail = &keys##_group)
#define GROUPS(key, need, keys) \
	CHECK(#key, need, check_groups, .detail = &keys##_group, .maximum = DEFINITION_DISKS_MAX)
#define ANSWERS(key, need, words)      CHECK(#key, need, check_answers, .detail = words)

#define KEYS_OF(name, keys) \
	static const struct json_key name##_keys[] = { keys END }; \
	static const struct json_key_table name##_group = { name##_keys, ARRAY_SIZE(name##_keys) - 1 };
CONTROL_GROUPS(KEYS_OF)

#define METHOD_RESULT(name, machine, changes, least, most, arguments, keys) \
	static const struct json_key name##_result[] = { keys END };
CONTROL_METHODS(METHOD_RESULT)

#define METHOD_ROW(name_, machine, changes_, least, most, arguments_, result_) \
	[CONTROL_METHOD_##name_] = { \
		.id = CONTROL_METHOD_##name_, .name = #name_, \
		.needs_machine = machine, .changes = changes_, \
		.fds_least = least, .fds_most = most, \
		.arguments = { name_##_arguments, ARRAY_SIZE(name_##_arguments) - 1 }, \
		.result = { name_##_result, ARRAY_SIZE(name_##_result) - 1 }, \
	},
static const struct control_method methods[] = { CONTROL_METHODS(METHOD_ROW) };

#define EVENT_ROW(name, keys) \
	[CONTROL_EVENT_##name] = { #name, { name##_data, ARRAY_SIZE(name##_data) - 1 } },
static const struct {
	const char *name;
	struct json_key_table data;
} events[] = { CONTROL_EVENTS(EVENT_ROW) };
/* clang-format on */

/* ---- Requests ---- */

void control_arguments_deinit(struct control_arguments *arguments)
{
	json_object_put(arguments->names);
	json_object_put(arguments->definition);
	json_object_put(arguments->disk);
	json_object_put(arguments->disks);
	json_object_put(arguments->adapter);
	json_object_put(arguments->actions);
	json_object_put(arguments->pinning);
	json_object_put(arguments->keys);
	free(arguments->path);
	free(arguments->name);
	free(arguments->key);
	free(arguments->value);
	free(arguments->point);
	*arguments = (struct control_arguments){ 0 };
}

const struct control_method *control_method(enum control_method_id id)
{
	return &methods[id];
}

const struct control_method *control_method_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

static int refuse(struct control_refusal *refusal, const char *code, const char *text)
{
	refusal->code = code;
	snprintf(refusal->text, sizeof(refusal->text), "%s", text);
	return CONTROL_E_REFUSED;
}

static int refuse_fds(struct control_refusal *refusal, const struct control_method *method,
		      size_t count)
{
	refusal->code = CONTROL_ERROR_INVALID;
	if (method->fds_least == method->fds_most)
		snprintf(refusal->text, sizeof(refusal->text),
			 "%u descriptors are to come with this, not %zu.", method->fds_least,
			 count);
	else
		snprintf(refusal->text, sizeof(refusal->text),
			 "%u to %u descriptors are to come with this, not %zu.", method->fds_least,
			 method->fds_most, count);
	return CONTROL_E_REFUSED;
}

static int arguments_read(const struct control_message *request,
			  const struct control_method *method, struct control_arguments *arguments,
			  struct control_refusal *refusal)
{
	struct json_error error = { 0 };
	struct json_reader reader = JSON_READER(&error);
	int r = json_read(&reader, request->body, method->arguments.keys, method->arguments.count,
			  arguments);

	if (r == 0)
		return 0;
	control_arguments_deinit(arguments);
	if (r == -ENOMEM)
		return refuse(refusal, CONTROL_ERROR_FAILED, strerror(ENOMEM));
	refusal->code = CONTROL_ERROR_INVALID;
	snprintf(refusal->text, sizeof(refusal->text), "%s: %s", error.key, error.message);
	return CONTROL_E_REFUSED;
}

/* A name for each descriptor, and none for no back end. */
static int check_fds(const struct control_message *request,
		     const struct control_arguments *arguments, enum control_method_id method,
		     struct control_refusal *refusal)
{
	size_t names = arguments->names ? json_object_array_length(arguments->names) : 0;
	bool has_backend = arguments->backend != CONTROL_BACKEND_NONE;

	refusal->code = CONTROL_ERROR_INVALID;
	if (method == CONTROL_METHOD_descriptors && names != request->fd_count) {
		snprintf(refusal->text, sizeof(refusal->text),
			 "%zu names came with %zu descriptors.", names, request->fd_count);
		return CONTROL_E_REFUSED;
	}
	if ((method == CONTROL_METHOD_attach_adapter || method == CONTROL_METHOD_connect_adapter) &&
	    has_backend != (request->fd_count > 0)) {
		snprintf(refusal->text, sizeof(refusal->text),
			 "The back end \"%s\" came with %zu descriptors.",
			 control_backend_names[arguments->backend], request->fd_count);
		return CONTROL_E_REFUSED;
	}
	return 0;
}

int control_request_read(const struct control_message *request, bool has_machine,
			 const struct control_method **ret_method,
			 struct control_arguments *ret_arguments,
			 struct control_refusal *ret_refusal)
{
	const struct control_method *method = control_method_find(request->name);
	int r;

	*ret_arguments = (struct control_arguments){ 0 };
	if (!method)
		return refuse(ret_refusal, CONTROL_ERROR_INVALID, "There is no such method.");
	if (method->needs_machine && !has_machine)
		return refuse(ret_refusal, CONTROL_ERROR_INVALID_STATE,
			      "The worker has no definition yet.");
	if (request->fd_count < method->fds_least || request->fd_count > method->fds_most)
		return refuse_fds(ret_refusal, method, request->fd_count);
	r = arguments_read(request, method, ret_arguments, ret_refusal);
	if (r != 0)
		return r;
	r = check_fds(request, ret_arguments, method->id, ret_refusal);
	if (r != 0)
		control_arguments_deinit(ret_arguments);
	*ret_method = method;
	return r;
}

/* ---- Results and events ---- */

int control_result_check(const struct control_method *method, struct json_object *result,
			 struct json_reader *reader)
{
	char nothing = 0;

	return json_read(reader, result, method->result.keys, method->result.count, &nothing);
}

void control_event_data_deinit(struct control_event_data *data)
{
	char *const texts[] = { data->state,    data->reason,       data->message,
				data->status,   data->version,      data->text,
				data->adapter,  data->error,        data->host_name,
				data->os_name,  data->os_version,   data->os_major,
				data->os_build, data->architecture, data->services_version,
				data->ipv4,     data->ipv6 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(texts[i]);
	json_object_put(data->parameters);
	json_object_put(data->addresses);
	*data = (struct control_event_data){ 0 };
}

int control_event_read(const char *name, struct json_object *data, enum control_event_id *ret_event,
		       struct control_event_data *ret_data, struct json_error *ret_error)
{
	struct json_reader reader = { .error = ret_error, .ignores_unknown = true };
	int r;

	*ret_data = (struct control_event_data){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		if (strcmp(events[i].name, name) != 0)
			continue;
		r = json_read(&reader, data, events[i].data.keys, events[i].data.count, ret_data);
		if (r < 0)
			control_event_data_deinit(ret_data);
		*ret_event = (enum control_event_id)i;
		return r;
	}
	return CONTROL_E_UNKNOWN;
}
