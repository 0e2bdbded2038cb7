/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The members of org.vmms1.VM that ask something of the guest: docs/dbus/org.vmms1.VM.md. */
#include "vmms/bus/dbus_guest.h"

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/control_contract.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <string.h>

/* Seconds. The worker bounds what it asks of the guest; these are for a worker that does not. */
#define ASK_TIMEOUT 900
#define LIMIT_MAX   (24 * 3600)

/* Asks the guest, and has the call answered by `done`. Takes over the arguments. */
static int dbus_guest_ask(sd_bus_message *call, struct vm *vm, const char *method,
			  struct json_object *arguments, int fd, unsigned timeout, vm_guest_fn done)
{
	struct failure failure = { 0 };
	int r;

	if (!arguments)
		return -ENOMEM;
	r = vm_guest_ask(vm, method, arguments, fd, timeout, done, sd_bus_message_ref(call),
			 &failure);
	json_object_put(arguments);
	return dbus_conclude(call, r, &failure);
}

/* A vm_guest_fn for methods without a result. */
static void done(void *data, struct json_object *result, const struct failure *failure)
{
	dbus_done(data, failure);
}

static struct json_object *dbus_guest_text(const char *value)
{
	return json_object_new_string(value);
}

/* ---- Values ---- */

static const char *dbus_guest_element(struct json_object *array, size_t index)
{
	struct json_object *value = json_object_is_type(array, json_type_array)
					    ? json_object_array_get_idx(array, index)
					    : NULL;

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static int dbus_guest_append_values(sd_bus_message *reply, struct json_object *result)
{
	struct json_object *values = NULL, *truncated = NULL;
	size_t count = 0;
	int r;

	if (json_object_object_get_ex(result, "values", &values) &&
	    json_object_is_type(values, json_type_array))
		count = json_object_array_length(values);
	json_object_object_get_ex(result, "truncated", &truncated);
	r = sd_bus_message_open_container(reply, 'a', "(ss)");
	for (size_t i = 0; r >= 0 && i < count; i++) {
		struct json_object *pair = json_object_array_get_idx(values, i);

		r = sd_bus_message_append(reply, "(ss)", dbus_guest_element(pair, 0),
					  dbus_guest_element(pair, 1));
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_message_append(reply, "b", json_object_get_boolean(truncated));
}

static int dbus_guest_append_value(sd_bus_message *reply, struct json_object *result)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(result, "value", &value);
	return sd_bus_message_append(
		reply, "s",
		json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "");
}

static void dbus_guest_done_with(sd_bus_message *call, struct json_object *result,
				 const struct failure *failure,
				 int (*append)(sd_bus_message *reply, struct json_object *result))
{
	sd_bus_message *reply = NULL;
	int r;

	if (failure) {
		dbus_done(call, failure);
		return;
	}
	r = sd_bus_message_new_method_return(call, &reply);
	if (r >= 0)
		r = append(reply, result);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	if (r < 0)
		(void)sd_bus_reply_method_errno(call, r, NULL);
	sd_bus_message_unref(reply);
	sd_bus_message_unref(call);
}

static void dbus_guest_values_listed(void *data, struct json_object *result,
				     const struct failure *failure)
{
	dbus_guest_done_with(data, result, failure, dbus_guest_append_values);
}

static void dbus_guest_value_got(void *data, struct json_object *result,
				 const struct failure *failure)
{
	dbus_guest_done_with(data, result, failure, dbus_guest_append_value);
}

int dbus_list_guest_values(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *pool;
	int r;

	r = sd_bus_message_read(call, "s", &pool);
	return r < 0 ? r
		     : dbus_guest_ask(call, data, "list_values",
				      json_make("pool", dbus_guest_text(pool), NULL), -1,
				      ASK_TIMEOUT, dbus_guest_values_listed);
}

int dbus_get_guest_value(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *pool, *key;
	int r;

	r = sd_bus_message_read(call, "ss", &pool, &key);
	return r < 0 ? r
		     : dbus_guest_ask(call, data, "get_value",
				      json_make("pool", dbus_guest_text(pool), "key",
						dbus_guest_text(key), NULL),
				      -1, ASK_TIMEOUT, dbus_guest_value_got);
}

int dbus_set_guest_value(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *pool, *key, *value;
	int r;

	r = sd_bus_message_read(call, "sss", &pool, &key, &value);
	return r < 0 ? r
		     : dbus_guest_ask(call, data, "set_value",
				      json_make("pool", dbus_guest_text(pool), "key",
						dbus_guest_text(key), "value",
						dbus_guest_text(value), NULL),
				      -1, ASK_TIMEOUT, done);
}

int dbus_delete_guest_value(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *pool, *key;
	int r;

	r = sd_bus_message_read(call, "ss", &pool, &key);
	return r < 0 ? r
		     : dbus_guest_ask(call, data, "delete_value",
				      json_make("pool", dbus_guest_text(pool), "key",
						dbus_guest_text(key), NULL),
				      -1, ASK_TIMEOUT, done);
}

/* ---- Keys ---- */

static const char *dbus_guest_caller(sd_bus_message *call)
{
	const struct user_found *caller = dbus_caller(call);

	return caller ? caller->name : "root";
}

int dbus_press_keys(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct json_object *array = NULL;
	const uint32_t *keys;
	size_t size;
	int r;

	r = sd_bus_message_read_array(call, 'u', (const void **)&keys, &size);
	if (r < 0)
		return r;
	if (size == 0 || size > CONTROL_KEYS_MAX * sizeof(keys[0]))
		return sd_bus_reply_method_errorf(call, DBUS_ERROR_INVALID_ARGUMENT,
						  "1 to %d keys are pressed at once",
						  CONTROL_KEYS_MAX);
	array = json_object_new_array();
	for (size_t i = 0; i < size / sizeof(keys[0]); i++)
		json_append(&array, json_object_new_int64(keys[i]));
	r = dbus_guest_ask(call, data, "press_keys", json_make("keys", array, NULL), -1,
			   ASK_TIMEOUT, done);
	if (r >= 0)
		vm_screen_note_typing(data, dbus_guest_caller(call));
	return r;
}

/* ---- Snapshots ---- */

int dbus_freeze(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure = { 0 };
	struct job *job = NULL;
	uint32_t limit;
	int r;

	r = sd_bus_message_read(call, "u", &limit);
	if (r < 0)
		return r;
	if (limit < 1 || limit > LIMIT_MAX)
		return sd_bus_reply_method_errorf(call, DBUS_ERROR_INVALID_ARGUMENT,
						  "a limit is 1 to %d seconds", LIMIT_MAX);
	r = vm_freeze(data, limit, &job, &failure);
	return dbus_reply_job(call, r, job, &failure);
}

int dbus_thaw(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure = { 0 };
	struct job *job = NULL;
	int r = vm_thaw(data, &job, &failure);

	return dbus_reply_job(call, r, job, &failure);
}

/* ---- File copy ---- */

int dbus_copy_file(sd_bus_message *call, void *data, sd_bus_error *error)
{
	int overwrite = false, create_path = false, fd, r;
	const struct dbus_option options[] = { { "overwrite", 'b', &overwrite },
					       { "create-path", 'b', &create_path } };
	struct vm_copy_options copy;
	struct failure failure = { 0 };
	struct job *job = NULL;
	const char *path;

	r = sd_bus_message_read(call, "hs", &fd, &path);
	if (r >= 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	copy = (struct vm_copy_options){ .path = path,
					 .overwrite = overwrite,
					 .create_path = create_path };
	r = vm_copy_file(data, fd, &copy, &job, &failure);
	return dbus_reply_job(call, r, job, &failure);
}

/* ---- Core files ---- */

int dbus_dump_memory(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure = { 0 };
	struct job *job = NULL;
	int fd, r;

	r = sd_bus_message_read(call, "h", &fd);
	if (r < 0)
		return r;
	r = vm_dump_memory(data, fd, &job, &failure);
	return dbus_reply_job(call, r, job, &failure);
}

/* ---- Moving ---- */

int dbus_send(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm_send_options options;
	struct failure failure = { 0 };
	struct job *job = NULL;
	int fd, r;

	r = sd_bus_message_read(call, "h", &fd);
	if (r >= 0)
		r = dbus_read_move_options(call, &options, &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	r = vm_send(data, fd, &options, &job, &failure);
	return dbus_reply_job(call, r, job, &failure);
}

int dbus_receive(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure = { 0 };
	struct vm *vm = data;
	int fd, r;

	r = sd_bus_message_read(call, "h", &fd);
	if (r >= 0 && dbus_caller(call))
		r = quota_check_start(vm, &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	r = vm_receive(vm, fd, dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

/* ---- Hyper-V sockets ---- */

static void dbus_guest_socket_opened(void *data, int fd, const struct failure *failure)
{
	AUTO_CLOSE int socket = fd;
	sd_bus_message *call = data;
	int r;

	if (failure) {
		dbus_done(call, failure);
		return;
	}
	r = sd_bus_reply_method_return(call, "h", socket);
	if (r < 0)
		(void)sd_bus_reply_method_errno(call, r, NULL);
	sd_bus_message_unref(call);
}

int dbus_open_socket(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure = { 0 };
	uint32_t port;
	int r;

	r = sd_bus_message_read(call, "u", &port);
	if (r < 0)
		return r;
	r = vm_open_socket(data, port, dbus_guest_socket_opened, sd_bus_message_ref(call),
			   &failure);
	return dbus_conclude(call, r, &failure);
}

/* ---- The screen ---- */

static void dbus_guest_picture_taken(void *data, int fd, uint32_t width, uint32_t height,
				     const struct failure *failure)
{
	AUTO_CLOSE int picture = fd;
	sd_bus_message *call = data;
	int r;

	if (failure) {
		dbus_done(call, failure);
		return;
	}
	r = sd_bus_reply_method_return(call, "huu", picture, width, height);
	if (r < 0)
		(void)sd_bus_reply_method_errno(call, r, NULL);
	sd_bus_message_unref(call);
}

int dbus_take_picture(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure = { 0 };
	int r = vm_take_picture(data, dbus_guest_caller(call), dbus_guest_picture_taken,
				sd_bus_message_ref(call), &failure);

	return dbus_conclude(call, r, &failure);
}

static int dbus_guest_open_screen(sd_bus_message *call, struct vm *vm, bool read_only)
{
	struct failure failure = { 0 };
	AUTO_CLOSE int fd = -1;
	int r = vm_open_screen(vm, dbus_guest_caller(call), read_only, &fd, &failure);

	return r < 0 ? dbus_reply_failure(call, &failure)
		     : sd_bus_reply_method_return(call, "h", fd);
}

int dbus_open_screen(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_guest_open_screen(call, data, false);
}

int dbus_watch_screen(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_guest_open_screen(call, data, true);
}

/* ---- Addresses ---- */

/* Of a list with semicolons between its elements. */
static int dbus_guest_append_list(sd_bus_message *reply, const char *list)
{
	int r = 0;

	while (r >= 0 && *list != '\0') {
		size_t length = strcspn(list, ";");
		char address[VM_GUEST_TEXT_MAX];

		memcpy(address, list, length);
		address[length] = '\0';
		if (length > 0)
			r = sd_bus_message_append(reply, "s", address);
		list += length + (list[length] == ';');
	}
	return r;
}

int dbus_get_guest_addresses(sd_bus *bus, const char *path, const char *interface,
			     const char *property, sd_bus_message *reply, void *data,
			     sd_bus_error *error)
{
	const struct vm *vm = data;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "s");
	if (r >= 0)
		r = dbus_guest_append_list(reply, vm->guest.ipv4);
	if (r >= 0)
		r = dbus_guest_append_list(reply, vm->guest.ipv6);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}
