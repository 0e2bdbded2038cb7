/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vmms tells of a VM: properties into a struct, by a table; and that as JSON. */
#include "vmms/vmctl/vm_info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct property {
	const char *name;
	char type; /* of D-Bus: s, u, t or b */
	size_t offset;
} properties[] = {
	{ "Name", 's', offsetof(struct vm_info, name) },
	{ "UUID", 's', offsetof(struct vm_info, uuid) },
	{ "Owner", 's', offsetof(struct vm_info, owner) },
	{ "Notes", 's', offsetof(struct vm_info, notes) },
	{ "State", 's', offsetof(struct vm_info, state) },
	{ "StateReason", 's', offsetof(struct vm_info, reason) },
	{ "Engine", 's', offsetof(struct vm_info, engine) },
	{ "Heartbeat", 's', offsetof(struct vm_info, heartbeat) },
	{ "VMBusVersion", 's', offsetof(struct vm_info, vmbus_version) },
	{ "GuestProblem", 's', offsetof(struct vm_info, guest_problem) },
	{ "CrashText", 's', offsetof(struct vm_info, crash_text) },
	{ "GuestOS", 's', offsetof(struct vm_info, guest_os) },
	{ "GuestHostName", 's', offsetof(struct vm_info, guest_host_name) },
	{ "GuestAddresses", 's', offsetof(struct vm_info, guest_addresses) },
	{ "FileSystems", 's', offsetof(struct vm_info, file_systems) },
	{ "SocketFolder", 's', offsetof(struct vm_info, socket_folder) },
	{ "Unit", 's', offsetof(struct vm_info, unit) },
	{ "Profile", 's', offsetof(struct vm_info, profile) },
	{ "LimitsProblem", 's', offsetof(struct vm_info, limits_problem) },
	{ "Processors", 'u', offsetof(struct vm_info, processors) },
	{ "WorkerPID", 'u', offsetof(struct vm_info, worker_pid) },
	{ "Resets", 'u', offsetof(struct vm_info, resets) },
	{ "Memory", 't', offsetof(struct vm_info, memory) },
	{ "MemoryState", 's', offsetof(struct vm_info, memory_state) },
	{ "MemoryTarget", 't', offsetof(struct vm_info, memory_target) },
	{ "MemoryAssigned", 't', offsetof(struct vm_info, memory_assigned) },
	{ "MemoryDemand", 't', offsetof(struct vm_info, memory_demand) },
	{ "StartedAt", 't', offsetof(struct vm_info, started_at) },
	{ "Cluster", 'b', offsetof(struct vm_info, cluster) },
};

void vm_info_deinit(struct vm_info *info)
{
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
		if (properties[i].type == 's')
			free(*(char **)((char *)info + properties[i].offset));
	}
	json_object_put(info->tags);
	json_object_put(info->pending);
	json_object_put(info->addresses);
	*info = (struct vm_info){ 0 };
}

/* ---- Reading ---- */

static int info_read_basic(sd_bus_message *message, const struct property *property,
			   struct vm_info *info)
{
	void *target = (char *)info + property->offset;
	const char type[2] = { property->type, '\0' };
	const char *text;
	int r;

	if (property->type != 's')
		return sd_bus_message_read(message, "v", type, target);
	r = sd_bus_message_read(message, "v", type, &text);
	if (r < 0)
		return r;
	free(*(char **)target);
	*(char **)target = strdup(text);
	return *(char **)target ? 0 : -ENOMEM;
}

static int info_read_crash(sd_bus_message *message, struct vm_info *info)
{
	const void *parameters;
	size_t size;
	int r;

	r = sd_bus_message_enter_container(message, 'v', "at");
	if (r < 0)
		return r;
	r = sd_bus_message_read_array(message, 't', &parameters, &size);
	if (r < 0)
		return r;
	info->crashed = size > 0;
	if (size > 0)
		memcpy(info->crash_parameters, parameters,
		       MIN(size, sizeof(info->crash_parameters)));
	return sd_bus_message_exit_container(message);
}

static int info_read_addresses(sd_bus_message *message, struct vm_info *info)
{
	struct json_object *addresses = json_object_new_array();
	const char *adapter, *address;
	int r;

	r = sd_bus_message_enter_container(message, 'v', "a(ss)");
	if (r >= 0)
		r = sd_bus_message_enter_container(message, 'a', "(ss)");
	while (r >= 0 && (r = sd_bus_message_read(message, "(ss)", &adapter, &address)) > 0)
		json_append(&addresses,
			    json_make("adapter", json_object_new_string(adapter), "address",
				      json_object_new_string(address), NULL));
	json_object_put(info->addresses);
	info->addresses = addresses;
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int info_read_strings(sd_bus_message *message, struct json_object **strings)
{
	struct json_object *array = json_object_new_array();
	const char *text;
	int r;

	r = sd_bus_message_enter_container(message, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_enter_container(message, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read(message, "s", &text)) > 0)
		json_append(&array, json_object_new_string(text));
	json_object_put(*strings);
	*strings = array;
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

/* An array of strings becomes one. */
static int info_read_guest_addresses(sd_bus_message *message, struct vm_info *info)
{
	char **text = &info->guest_addresses;
	const char *address;
	int r;

	free(*text);
	*text = strdup("");
	r = sd_bus_message_enter_container(message, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_enter_container(message, 'a', "s");
	while (r >= 0 && *text && (r = sd_bus_message_read(message, "s", &address)) > 0) {
		char *longer;

		if (asprintf(&longer, "%s%s%s", *text, (*text)[0] ? " " : "", address) < 0)
			return -ENOMEM;
		free(*text);
		*text = longer;
	}
	if (!*text)
		return -ENOMEM;
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int info_read_property(sd_bus_message *message, struct vm_info *info)
{
	const char *name;
	int r;

	r = sd_bus_message_read(message, "s", &name);
	if (r < 0)
		return r;
	if (strcmp(name, "CrashParameters") == 0)
		return info_read_crash(message, info);
	if (strcmp(name, "Tags") == 0)
		return info_read_strings(message, &info->tags);
	if (strcmp(name, "PendingChanges") == 0)
		return info_read_strings(message, &info->pending);
	if (strcmp(name, "GuestAddresses") == 0)
		return info_read_guest_addresses(message, info);
	if (strcmp(name, "Addresses") == 0)
		return info_read_addresses(message, info);
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
		if (strcmp(properties[i].name, name) == 0)
			return info_read_basic(message, &properties[i], info);
	}
	return sd_bus_message_skip(message, "v");
}

/* What a service of another version leaves out is empty, not NULL. */
static int info_fill_missing(struct vm_info *info)
{
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
		char **text = (char **)((char *)info + properties[i].offset);

		if (properties[i].type != 's' || *text)
			continue;
		*text = strdup("");
		if (!*text)
			return -ENOMEM;
	}
	return 0;
}

int vm_info_read(sd_bus_message *message, struct vm_info *info)
{
	int r;

	r = sd_bus_message_enter_container(message, 'a', "{sv}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
		r = info_read_property(message, info);
		if (r < 0)
			return r;
		r = sd_bus_message_exit_container(message);
		if (r < 0)
			return r;
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	return r < 0 ? r : info_fill_missing(info);
}

enum status vm_info_get(struct invocation *invocation, const char *path, struct vm_info *ret_info)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	enum status status;
	int r;

	*ret_info = (struct vm_info){ 0 };
	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, path,
					   "org.freedesktop.DBus.Properties", "GetAll");
	if (r >= 0)
		r = sd_bus_message_append(call, "s", DBUS_INTERFACE_VM);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_TIMEOUT, &reply);
	if (status != STATUS_OK)
		return status;
	r = vm_info_read(reply, ret_info);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- All of them ---- */

/* The interfaces of one object, a{sa{sv}}: those of a VM become one more of the list. */
static int info_read_interfaces(sd_bus_message *message, struct vm_list *list)
{
	struct vm_info *vms;
	const char *interface;
	int r;

	r = sd_bus_message_enter_container(message, 'a', "{sa{sv}}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(message, 'e', "sa{sv}")) > 0) {
		r = sd_bus_message_read(message, "s", &interface);
		if (r >= 0 && strcmp(interface, DBUS_INTERFACE_VM) == 0) {
			vms = reallocarray(list->vms, list->count + 1, sizeof(*vms));
			if (!vms)
				return -ENOMEM;
			list->vms = vms;
			vms[list->count] = (struct vm_info){ 0 };
			r = vm_info_read(message, &vms[list->count++]);
		} else if (r >= 0) {
			r = sd_bus_message_skip(message, "a{sv}");
		}
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int info_read_objects(sd_bus_message *message, struct vm_list *list)
{
	const char *path;
	int r;

	r = sd_bus_message_enter_container(message, 'a', "{oa{sa{sv}}}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(message, 'e', "oa{sa{sv}}")) > 0) {
		r = sd_bus_message_read(message, "o", &path);
		if (r >= 0)
			r = info_read_interfaces(message, list);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int info_by_name(const void *a, const void *b)
{
	/* Naturally: web9 before web10. */
	return strverscmp(((const struct vm_info *)a)->name, ((const struct vm_info *)b)->name);
}

enum status vm_list_get(struct invocation *invocation, struct vm_list *ret_list)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	enum status status;
	int r;

	*ret_list = (struct vm_list){ 0 };
	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, DBUS_PATH,
					   "org.freedesktop.DBus.ObjectManager",
					   "GetManagedObjects");
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_TIMEOUT, &reply);
	if (status != STATUS_OK)
		return status;
	r = info_read_objects(reply, ret_list);
	if (r < 0)
		return service_failed(r, NULL);
	if (ret_list->count > 1)
		qsort(ret_list->vms, ret_list->count, sizeof(*ret_list->vms), info_by_name);
	return STATUS_OK;
}

void vm_list_deinit(struct vm_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		vm_info_deinit(&list->vms[i]);
	free(list->vms);
	*list = (struct vm_list){ 0 };
}

/* ---- As JSON ---- */

static struct json_object *info_crash_to_json(const struct vm_info *info)
{
	struct json_object *parameters = json_object_new_array();
	char text[24];

	for (size_t i = 0; i < ARRAY_SIZE(info->crash_parameters); i++) {
		snprintf(text, sizeof(text), "0x%" PRIx64, info->crash_parameters[i]);
		json_append(&parameters, json_object_new_string(text));
	}
	return json_make("parameters", parameters, "text", json_object_new_string(info->crash_text),
			 NULL);
}

void vm_info_format_words(struct json_object *array, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; array && i < json_object_array_length(array) && used < size; i++)
		used += (size_t)snprintf(
			text + used, size - used, "%s%s", i > 0 ? ", " : "",
			json_object_get_string(json_object_array_get_idx(array, i)));
}

bool vm_info_has_tag(const struct vm_info *info, const char *tag)
{
	for (size_t i = 0; info->tags && i < json_object_array_length(info->tags); i++) {
		if (strcmp(json_object_get_string(json_object_array_get_idx(info->tags, i)), tag) ==
		    0)
			return true;
	}
	return false;
}

void vm_info_format_addresses(const struct vm_info *info, const char *adapter, char *text,
			      size_t size)
{
	size_t used = 0, count = info->addresses ? json_object_array_length(info->addresses) : 0;

	text[0] = '\0';
	for (size_t i = 0; i < count && used < size; i++) {
		struct json_object *element = json_object_array_get_idx(info->addresses, i);
		const char *name =
			json_object_get_string(json_object_object_get(element, "adapter"));
		const char *address =
			json_object_get_string(json_object_object_get(element, "address"));

		if (!adapter || strcmp(name, adapter) == 0)
			used += (size_t)snprintf(text + used, size - used, "%s%s",
						 used > 0 ? " " : "", address);
	}
	if (!adapter && used == 0)
		snprintf(text, size, "%s", info->guest_addresses ?: "");
}

/* A list with blanks between its elements. */
static struct json_object *info_words_to_json(const char *text)
{
	struct json_object *array = json_object_new_array();

	for (size_t length; *text != '\0'; text += length + (text[length] == ' ')) {
		length = strcspn(text, " ");
		json_append(&array, json_object_new_string_len(text, (int)length));
	}
	return array;
}

static struct json_object *info_guest_to_json(const struct vm_info *info)
{
	return json_make("os", json_object_new_string(info->guest_os), "host_name",
			 json_object_new_string(info->guest_host_name), "addresses",
			 info_words_to_json(info->guest_addresses), "file_systems",
			 json_object_new_string(info->file_systems), NULL);
}

static struct json_object *info_memory_to_json(const struct vm_info *info)
{
	return json_make("state", json_object_new_string(info->memory_state), "target",
			 json_object_new_uint64(info->memory_target), "assigned",
			 json_object_new_uint64(info->memory_assigned), "demand",
			 json_object_new_uint64(info->memory_demand), NULL);
}

static struct json_object *info_array_or_empty(struct json_object *array)
{
	return array ? json_object_get(array) : json_object_new_array();
}

struct json_object *vm_info_to_json(const struct vm_info *info)
{
	struct json_object *object;

	object = json_make(
		"name", json_object_new_string(info->name), "uuid",
		json_object_new_string(info->uuid), "state", json_object_new_string(info->state),
		"reason", json_object_new_string(info->reason), "engine",
		json_object_new_string(info->engine), "processors",
		json_object_new_int64(info->processors), "memory",
		json_object_new_uint64(info->memory), "heartbeat",
		json_object_new_string(info->heartbeat), "vmbus_version",
		json_object_new_string(info->vmbus_version), "worker_pid",
		json_object_new_int64(info->worker_pid), "started_at",
		json_object_new_uint64(info->started_at), "resets",
		json_object_new_int64(info->resets), "notes", json_object_new_string(info->notes),
		"guest", info_guest_to_json(info), NULL);
	json_add(&object, "owner", json_object_new_string(info->owner));
	json_add(&object, "socket_folder", json_object_new_string(info->socket_folder));
	json_add(&object, "unit", json_object_new_string(info->unit));
	json_add(&object, "profile", json_object_new_string(info->profile));
	json_add(&object, "guest_problem", json_object_new_string(info->guest_problem));
	json_add(&object, "limits_problem", json_object_new_string(info->limits_problem));
	json_add(&object, "cluster", json_object_new_boolean(info->cluster));
	json_add(&object, "tags", info_array_or_empty(info->tags));
	json_add(&object, "pending", info_array_or_empty(info->pending));
	json_add(&object, "addresses", info_array_or_empty(info->addresses));
	if (info->memory_state[0] != '\0')
		json_add(&object, "dynamic_memory", info_memory_to_json(info));
	if (info->crashed)
		json_add(&object, "crash", info_crash_to_json(info));
	return object;
}
