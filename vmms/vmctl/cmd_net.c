/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl net add, remove, set, list, capture. */
#include "vmms/vmctl/adapter_options.h"
#include "vmms/vmctl/adapter_text.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/remote.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- add, remove, set ---- */

static enum status net_print_name(struct invocation *invocation, sd_bus_message *reply)
{
	const char *name;
	int r;

	r = sd_bus_message_read(reply, "s", &name);
	if (r < 0)
		return service_failed(r, NULL);
	if (invocation->json)
		return json_print(json_make("name", json_object_new_string(name), NULL)) < 0
			       ? service_failed(-ENOMEM, NULL)
			       : STATUS_OK;
	puts(name);
	return STATUS_OK;
}

/* A call of the VM that is named first. */
static enum status net_new_call(struct invocation *invocation, const char *method,
				sd_bus_message **ret_call)
{
	AUTO_FREE char *path = NULL;
	enum status status;

	status = service_find_vm(invocation, invocation->arguments[0], &path);
	return status == STATUS_OK ? service_new_call(invocation, path, method, ret_call) : status;
}

enum status command_net_add(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	AUTO_JSON struct json_object *adapter = json_object_new_object();
	enum status status;
	int r;

	status = adapter_options_apply(invocation, &adapter);
	if (status == STATUS_OK)
		status = net_new_call(invocation, "AddAdapter", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "s", json_object_to_json_string(adapter));
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_NO_TIMEOUT, &reply);
	return status == STATUS_OK ? net_print_name(invocation, reply) : status;
}

static enum status net_conclude(struct invocation *invocation, sd_bus_message *call,
				const char *done)
{
	enum status status = service_send(invocation, call, SERVICE_NO_TIMEOUT, NULL);

	if (status == STATUS_OK)
		output_say(invocation, "adapter '%s' of VM '%s' %s", invocation->arguments[1],
			   invocation->arguments[0], done);
	return status;
}

enum status command_net_remove(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;
	int r;

	status = net_new_call(invocation, "RemoveAdapter", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "s", invocation->arguments[1]);
	return r < 0 ? service_failed(r, NULL) : net_conclude(invocation, call, "removed");
}

/* The adapters of a VM as its definition has them. */
static enum status net_get_definition(struct invocation *invocation, const char *path,
				      struct json_object **ret_adapters)
{
	AUTO_JSON struct json_object *definition = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	struct json_object *adapters;
	AUTO_FREE char *text = NULL;
	struct json_error why;
	int r;

	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
				       "Definition", &error, &text);
	if (r >= 0)
		r = json_parse(text, strlen(text), &definition, &why);
	if (r < 0)
		return service_failed(r, &error);
	if (!json_object_object_get_ex(definition, "network_adapters", &adapters))
		return service_failed(-EBADMSG, NULL);
	*ret_adapters = json_object_get(adapters);
	return STATUS_OK;
}

static const char *net_member(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

static struct json_object *net_find_adapter(struct json_object *adapters, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(adapters); i++) {
		struct json_object *adapter = json_object_array_get_idx(adapters, i);

		if (strcmp(net_member(adapter, "name"), name) == 0)
			return adapter;
	}
	return NULL;
}

/* vmms says which there are, if there is none of that name: what is sent then does not matter. */
static enum status net_changed_adapter(struct invocation *invocation, const char *path,
				       struct json_object **ret_adapter)
{
	AUTO_JSON struct json_object *adapters = NULL, *adapter = NULL;
	enum status status;

	status = net_get_definition(invocation, path, &adapters);
	if (status != STATUS_OK)
		return status;
	adapter = json_object_get(net_find_adapter(adapters, invocation->arguments[1]));
	if (!adapter)
		adapter = json_object_new_object();
	status = adapter_options_apply(invocation, &adapter);
	if (status == STATUS_OK)
		*ret_adapter = TAKE_PTR(adapter);
	return status;
}

enum status command_net_set(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_JSON struct json_object *adapter = NULL;
	AUTO_FREE char *path = NULL;
	enum status status;
	int r;

	if (!invocation_has_any(invocation))
		return usage_error(invocation, "what is to be changed? An option says it, such as "
					       "--switch NAME");
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = net_changed_adapter(invocation, path, &adapter);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "ChangeAdapter", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "ss", invocation->arguments[1],
				  json_object_to_json_string(adapter));
	return r < 0 ? service_failed(r, NULL) : net_conclude(invocation, call, "changed");
}

/* ---- list ---- */

/* How an adapter is now; read from a(ssssss). */
struct adapter_info {
	const char *name, *mac, *switch_name, *interface, *state, *reason;
};

/* *ret_reply: to be read with net_next_adapter(). */
static enum status net_get_adapters(struct invocation *invocation, const char *path,
				    sd_bus_message **ret_reply)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_get_property(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM, "Adapters",
				&error, ret_reply, "a(ssssss)");
	if (r >= 0)
		r = sd_bus_message_enter_container(*ret_reply, 'a', "(ssssss)");
	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

static int net_next_adapter(sd_bus_message *reply, struct adapter_info *ret_info)
{
	return sd_bus_message_read(reply, "(ssssss)", &ret_info->name, &ret_info->mac,
				   &ret_info->switch_name, &ret_info->interface, &ret_info->state,
				   &ret_info->reason);
}

static enum status net_list_as_table(struct json_object *adapters, sd_bus_message *reply)
{
	static const char *const titles[] = { "NAME",      "MAC",      "SWITCH", "STATE",
					      "INTERFACE", "SETTINGS", "REASON" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));
	struct adapter_info info;
	char settings[ADAPTER_TEXT_SIZE];
	int r;

	if (!table)
		return service_failed(-ENOMEM, NULL);
	while ((r = net_next_adapter(reply, &info)) > 0) {
		adapter_text_settings(net_find_adapter(adapters, info.name), settings);
		table_add(table, "%s", info.name);
		table_add(table, "%s", info.mac);
		table_add(table, "%s", info.switch_name);
		table_add(table, "%s", info.state);
		table_add(table, "%s", info.interface);
		table_add(table, "%s", settings);
		table_add(table, "%s", info.reason);
	}
	table_print(table);
	table_free(table);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status net_list_as_json(struct json_object *adapters, sd_bus_message *reply)
{
	struct json_object *array = json_object_new_array();
	struct adapter_info info;
	int r;

	while ((r = net_next_adapter(reply, &info)) > 0)
		json_append(&array,
			    json_make("state", json_object_new_string(info.state), "interface",
				      json_object_new_string(info.interface), "reason",
				      json_object_new_string(info.reason), "definition",
				      json_object_get(net_find_adapter(adapters, info.name)),
				      NULL));
	if (r >= 0)
		r = json_print(json_make("adapters", array, NULL));
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status command_net_list(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	AUTO_JSON struct json_object *adapters = NULL;
	AUTO_FREE char *path = NULL;
	enum status status;

	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = net_get_definition(invocation, path, &adapters);
	if (status == STATUS_OK)
		status = net_get_adapters(invocation, path, &reply);
	if (status != STATUS_OK)
		return status;
	return invocation->json ? net_list_as_json(adapters, reply)
				: net_list_as_table(adapters, reply);
}

/* ---- capture ---- */

/* The one adapter that the VM has, where none was named. */
static enum status net_choose_adapter(struct invocation *invocation, const char *path,
				      char **ret_name)
{
	AUTO_JSON struct json_object *adapters = NULL;
	const char *name = invocation_value(invocation, "adapter");
	enum status status = STATUS_OK;

	if (!name) {
		status = net_get_definition(invocation, path, &adapters);
		if (status != STATUS_OK)
			return status;
		if (json_object_array_length(adapters) != 1)
			return usage_error(invocation, "which adapter? --adapter NAME; 'vmctl net "
						       "list' shows which there are");
		name = net_member(json_object_array_get_idx(adapters, 0), "name");
	}
	*ret_name = strdup(name);
	return *ret_name ? STATUS_OK : service_failed(-ENOMEM, NULL);
}

/* It begins at once with what it is: until then there is no file for it. */
static enum status net_await_capture(struct invocation *invocation, int fd)
{
	struct pollfd stream = { .fd = fd, .events = POLLIN };
	char byte;

	while (poll(&stream, 1, -1) < 0 && errno == EINTR)
		;
	if (recv(fd, &byte, 1, MSG_PEEK) > 0)
		return STATUS_OK;
	return remote_stream_end(invocation) ?: STATUS_FAILED;
}

static enum status net_open_capture_there(struct invocation *invocation, const char *name,
					  unsigned snap_length, int *ret_fd)
{
	AUTO_CLOSE int fd = -1;
	char snap[16];
	const char *const words[] = {
		"net", "capture",       "--output", "-",  "--adapter",
		name,  "--snap-length", snap,       "--", invocation->arguments[0],
		NULL
	};
	enum status status;

	snprintf(snap, sizeof(snap), "%u", snap_length);
	status = remote_stream_open(invocation, words, &fd);
	if (status == STATUS_OK)
		status = net_await_capture(invocation, fd);
	if (status == STATUS_OK)
		*ret_fd = TAKE_FD(fd);
	return status;
}

static enum status net_open_capture(struct invocation *invocation, const char *path,
				    const char *name, int *ret_fd)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	unsigned snap_length = 0;
	enum status status;
	int fd, r;

	if (!invocation_number(invocation, "snap-length", UINT32_MAX, &snap_length))
		return STATUS_USAGE;
	if (remote_is_named(invocation))
		return net_open_capture_there(invocation, name, snap_length, ret_fd);
	status = service_new_call(invocation, path, "OpenCapture", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "sa{sv}", name, 1, "snap-length", "u",
				  (uint32_t)snap_length);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_TIMEOUT, &reply);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_read(reply, "h", &fd);
	if (r >= 0)
		r = *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static volatile sig_atomic_t interrupted;

static void net_on_interrupt(int number)
{
	interrupted = true;
}

/* Until the stream's end, or ^C. Return: 0; -errno of write(2). */
static int net_copy_stream(int from, int to)
{
	static char buffer[65536];
	ssize_t size;
	int r;

	while (!interrupted) {
		size = read(from, buffer, sizeof(buffer));
		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0)
			return 0;
		r = file_write_all(to, buffer, (size_t)size);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A file that is named is written over; one that is named here is new. */
static int net_open_output(const char *given, const char *vm, const char *adapter, char **ret_path)
{
	int fd;

	if (given && strcmp(given, "-") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	*ret_path = given ? strdup(given) : NULL;
	if (!given && asprintf(ret_path, "%s-%s.pcapng", vm, adapter) < 0)
		*ret_path = NULL;
	if (!*ret_path) {
		errno = ENOMEM;
		return -1;
	}
	fd = open(*ret_path, O_WRONLY | O_CREAT | O_CLOEXEC | (given ? O_TRUNC : O_EXCL), 0600);
	if (fd >= 0 && !given) {
		puts(*ret_path);
		fflush(stdout);
	}
	return fd;
}

static enum status net_capture_to(struct invocation *invocation, const char *adapter, int stream)
{
	const struct sigaction interrupt = { .sa_handler = net_on_interrupt };
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int file = net_open_output(invocation_value(invocation, "output"),
					      invocation->arguments[0], adapter, &path);
	int r;

	if (file < 0)
		return usage_error(invocation, "cannot write '%s': %s", path ? path : "-",
				   strerror(errno));
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGTERM, &interrupt, NULL);
	r = net_copy_stream(stream, file);
	if (r < 0)
		fprintf(stderr, "vmctl: cannot write '%s': %s\n", path ? path : "-", strerror(-r));
	return r < 0 ? STATUS_FAILED : STATUS_OK;
}

enum status command_net_capture(struct invocation *invocation)
{
	AUTO_FREE char *path = NULL, *adapter = NULL;
	AUTO_CLOSE int stream = -1;
	enum status status;

	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = net_choose_adapter(invocation, path, &adapter);
	if (status == STATUS_OK)
		status = net_open_capture(invocation, path, adapter, &stream);
	return status == STATUS_OK ? net_capture_to(invocation, adapter, stream) : status;
}
