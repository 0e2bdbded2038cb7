/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl list, show. */
#include "common/base/parse.h"
#include "common/base/text.h"
#include "common/definition/definition.h"
#include "vmms/vmctl/adapter_text.h"
#include "vmms/vmctl/disk_list.h"
#include "vmms/vmctl/screen.h"
#include "vmms/vmctl/table.h"
#include "vmms/vmctl/vm_info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A file of a definition that vmms could not read. */
struct broken {
	const char *name, *path, *key, *message;
	uint32_t line;
};

/* Return: 1 and a broken definition; 0 at the end; -errno. */
static int list_next_broken(sd_bus_message *reply, struct broken *ret_broken)
{
	return sd_bus_message_read(reply, "(ssuss)", &ret_broken->name, &ret_broken->path,
				   &ret_broken->line, &ret_broken->key, &ret_broken->message);
}

/* *ret_reply: to be read with list_next_broken(). */
static enum status list_get_broken(struct invocation *invocation, sd_bus_message **ret_reply)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_get_property(invocation->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
				"BrokenDefinitions", &error, ret_reply, "a(ssuss)");
	if (r >= 0)
		r = sd_bus_message_enter_container(*ret_reply, 'a', "(ssuss)");
	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

/* ---- list ---- */

/* "3d04h", "4h05m", "5m06s": since then. */
static void list_format_age(uint64_t since, char text[16])
{
	uint64_t now = (uint64_t)time(NULL), start = since / 1000000;
	uint64_t seconds = now > start ? now - start : 0;
	static const struct {
		uint64_t seconds;
		char unit;
	} units[] = { { 24 * 3600, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };

	text[0] = '\0';
	if (since == 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(units) - 1; i++) {
		if (seconds < units[i].seconds)
			continue;
		snprintf(text, 16, "%u%c%02u%c", (unsigned)(seconds / units[i].seconds),
			 units[i].unit,
			 (unsigned)(seconds % units[i].seconds / units[i + 1].seconds),
			 units[i + 1].unit);
		return;
	}
	snprintf(text, 16, "%us", (unsigned)seconds);
}

#define ADDRESSES_SIZE 512

/* What the guest has now, or will have. */
static void list_format_memory(const struct vm_info *info, char text[PARSE_SIZE_TEXT])
{
	_Static_assert(SCREEN_CELL <= PARSE_SIZE_TEXT, "there is room for either");
	if (info->memory_state[0] != '\0')
		screen_format_bytes((double)info->memory_assigned, text);
	else
		parse_size_format(info->memory, text);
}

static void list_add_row(struct table *table, const struct vm_info *info)
{
	char memory[PARSE_SIZE_TEXT], age[16], addresses[ADDRESSES_SIZE];

	vm_info_format_addresses(info, NULL, addresses, sizeof(addresses));

	list_format_memory(info, memory);
	list_format_age(info->started_at, age);
	table_add(table, "%s", info->name);
	table_add(table, "%s", info->state);
	table_add(table, "%" PRIu32, info->processors);
	table_add(table, "%s", memory);
	table_add(table, "%s", info->engine);
	table_add(table, "%s", info->worker_pid ? info->heartbeat : "");
	table_add(table, "%s", age);
	table_add(table, "%s", addresses);
	table_add(table, "%s%s%s", info->cluster ? "(cluster)" : "",
		  info->cluster && info->reason[0] != '\0' ? " " : "", info->reason);
}

static void list_add_broken_row(struct table *table, const struct broken *broken)
{
	char text[JSON_ERROR_TEXT_MAX];

	table_add(table, "%s", broken->name);
	table_add(table, "broken");
	for (size_t i = 0; i < 6; i++)
		table_add(table, "%s", "");
	json_error_describe(broken->path, broken->line, broken->key, broken->message, text,
			    sizeof(text));
	table_add(table, "%s", text);
}

static enum status list_as_table(const struct vm_list *list, sd_bus_message *reply)
{
	static const char *const titles[] = { "NAME",      "STATE", "VPS",       "MEMORY", "ENGINE",
					      "HEARTBEAT", "UP",    "ADDRESSES", "REASON" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));
	struct broken broken;
	int r;

	if (!table)
		return service_failed(-ENOMEM, NULL);
	for (size_t i = 0; i < list->count; i++)
		list_add_row(table, &list->vms[i]);
	while ((r = list_next_broken(reply, &broken)) > 0)
		list_add_broken_row(table, &broken);
	table_print_within(table, table_terminal_width());
	table_free(table);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status list_as_json(const struct vm_list *list, sd_bus_message *reply)
{
	struct json_object *vms = json_object_new_array(), *broken_ones = json_object_new_array();
	struct broken broken;
	int r;

	for (size_t i = 0; i < list->count; i++)
		json_append(&vms, vm_info_to_json(&list->vms[i]));
	while ((r = list_next_broken(reply, &broken)) > 0)
		json_append(&broken_ones,
			    json_make("name", json_object_new_string(broken.name), "path",
				      json_object_new_string(broken.path), "line",
				      json_object_new_int64(broken.line), "key",
				      json_object_new_string(broken.key), "message",
				      json_object_new_string(broken.message), NULL));
	if (r >= 0)
		r = json_print(json_make("vms", vms, "broken", broken_ones, NULL));
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status list_names(const struct vm_list *list, sd_bus_message *reply)
{
	struct broken broken;
	int r;

	for (size_t i = 0; i < list->count; i++)
		puts(list->vms[i].name);
	while ((r = list_next_broken(reply, &broken)) > 0) {
		AUTO_FREE char *name = text_escape_new(broken.name, strlen(broken.name));

		if (name)
			puts(name);
	}
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static void list_keep_tagged(struct vm_list *list, const char *tag)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (vm_info_has_tag(&list->vms[i], tag))
			list->vms[kept++] = list->vms[i];
		else
			vm_info_deinit(&list->vms[i]);
	}
	list->count = kept;
}

enum status command_list(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	CLEANUP(vm_list_deinit) struct vm_list list = { 0 };
	enum status status;

	status = vm_list_get(invocation, &list);
	if (invocation_has(invocation, "tag"))
		list_keep_tagged(&list, invocation_value(invocation, "tag"));
	if (status == STATUS_OK)
		status = list_get_broken(invocation, &reply);
	if (status != STATUS_OK)
		return status;
	if (invocation->json)
		return list_as_json(&list, reply);
	if (invocation_has(invocation, "names"))
		return list_names(&list, reply);
	return list_as_table(&list, reply);
}

/* ---- show ---- */

static void list_print_line(const char *title, const char *value)
{
	AUTO_FREE char *escaped = text_escape_new(value, strlen(value));

	if (value[0] != '\0')
		printf("%-15s %s\n", title, escaped ? escaped : "");
}

static void list_print_number(const char *title, uint64_t number)
{
	if (number != 0)
		printf("%-15s %" PRIu64 "\n", title, number);
}

#define WORDS_SIZE 4096

static void list_print_words(const char *title, struct json_object *words)
{
	char text[WORDS_SIZE];

	vm_info_format_words(words, text, sizeof(text));
	list_print_line(title, text);
}

static void list_print_crash(const struct vm_info *info)
{
	if (!info->crashed)
		return;
	list_print_line("crash:", info->crash_text);
	printf("%-15s", "");
	for (size_t i = 0; i < ARRAY_SIZE(info->crash_parameters); i++)
		printf(" 0x%" PRIx64, info->crash_parameters[i]);
	putchar('\n');
}

/* "256M to 2G", of a VM that is off. */
static void list_print_memory_range(const struct vm_info *info, struct json_object *definition)
{
	static const char *const keys[] = { "minimum", "maximum" };
	struct json_object *memory, *dynamic, *value;
	const char *sizes[2];
	char text[128];

	if (info->memory_state[0] != '\0' ||
	    !json_object_object_get_ex(definition, "memory", &memory) ||
	    !json_object_object_get_ex(memory, "dynamic", &dynamic))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!json_object_object_get_ex(dynamic, keys[i], &value))
			return;
		sizes[i] = json_object_get_string(value);
	}
	snprintf(text, sizeof(text), "%s to %s", sizes[0], sizes[1]);
	list_print_line("dynamic memory:", text);
}

/* "has 448M of 384M, needs 120M (taking)" */
static void list_print_dynamic_memory(const struct vm_info *info)
{
	char assigned[SCREEN_CELL], target[SCREEN_CELL], demand[SCREEN_CELL] = "unknown", text[128];

	if (info->memory_state[0] == '\0')
		return;
	screen_format_bytes((double)info->memory_assigned, assigned);
	screen_format_bytes((double)info->memory_target, target);
	if (info->memory_demand > 0)
		screen_format_bytes((double)info->memory_demand, demand);
	snprintf(text, sizeof(text), "has %s of %s, needs %s (%s)", assigned, target, demand,
		 info->memory_state);
	list_print_line("dynamic memory:", text);
}

static void list_print_info(const struct vm_info *info, struct json_object *definition)
{
	char memory[PARSE_SIZE_TEXT], age[16], addresses[ADDRESSES_SIZE];

	parse_size_format(info->memory, memory);
	list_format_age(info->started_at, age);
	vm_info_format_addresses(info, NULL, addresses, sizeof(addresses));
	list_print_line("name:", info->name);
	list_print_line("uuid:", info->uuid);
	list_print_line("owner:", info->owner);
	list_print_line("notes:", info->notes);
	list_print_words("tags:", info->tags);
	list_print_line("cluster:", info->cluster ? "starts and stops it" : "");
	list_print_words("next start:", info->pending);
	list_print_line("state:", info->state);
	list_print_line("reason:", info->reason);
	list_print_line("engine:", info->engine);
	list_print_number("processors:", info->processors);
	list_print_line("memory:", memory);
	list_print_dynamic_memory(info);
	list_print_memory_range(info, definition);
	list_print_number("worker:", info->worker_pid);
	list_print_line("unit:", info->unit);
	list_print_line("apparmor:", info->profile);
	if (info->worker_pid)
		list_print_line("sockets:", info->socket_folder);
	list_print_line("up:", age);
	list_print_number("resets:", info->resets);
	list_print_line("heartbeat:", info->worker_pid ? info->heartbeat : "");
	list_print_line("vmbus:", info->vmbus_version);
	list_print_line("trouble:", info->guest_problem);
	list_print_line("guest:", info->guest_os);
	list_print_line("host name:", info->guest_host_name);
	list_print_line("addresses:", addresses);
	if (strcmp(info->file_systems, "frozen") == 0)
		list_print_line("file systems:", info->file_systems);
	list_print_crash(info);
}

/* A string that may be missing. */
static const char *list_member(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

static void list_print_adapters(const struct vm_info *info, struct json_object *definition)
{
	static const char *const titles[] = { "ADAPTER", "MAC", "SWITCH", "FORWARDS", "ADDRESSES" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));
	struct json_object *adapters;

	if (!table || !json_object_object_get_ex(definition, "network_adapters", &adapters) ||
	    json_object_array_length(adapters) == 0) {
		table_free(table);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(adapters); i++) {
		struct json_object *adapter = json_object_array_get_idx(adapters, i);
		char addresses[ADDRESSES_SIZE], forwards[ADAPTER_TEXT_SIZE];

		vm_info_format_addresses(info, list_member(adapter, "name"), addresses,
					 sizeof(addresses));
		table_add(table, "%s", list_member(adapter, "name"));
		table_add(table, "%s", list_member(adapter, "mac"));
		adapter_text_forwards(adapter, forwards);
		table_add(table, "%s", list_member(adapter, "switch"));
		table_add(table, "%s", forwards);
		table_add(table, "%s", addresses);
	}
	putchar('\n');
	table_print(table);
	table_free(table);
}

static void list_print_pinning(struct json_object *pinning)
{
	size_t count = json_array_size(pinning);

	for (size_t i = 0; i < count; i++) {
		struct json_object *pin = json_object_array_get_idx(pinning, i);
		AUTO_FREE char *text = NULL;

		if (asprintf(&text, "vp %s on CPU %s", list_member(pin, "vps"),
			     list_member(pin, "cpus")) >= 0)
			list_print_line(i == 0 ? "pinning:" : "", text);
	}
}

/* One line, of what the definition says. */
static void list_print_limits(const struct vm_info *info, struct json_object *definition)
{
	struct json_object *resources;
	char text[512 + CPU_LIST_TEXT] = "";
	size_t used = 0;

	if (!json_object_object_get_ex(definition, "resources", &resources))
		return;
	json_object_object_foreach(resources, key, value)
	{
		if (used < sizeof(text) && !json_object_is_type(value, json_type_array))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s",
						 used > 0 ? ", " : "", key,
						 json_object_get_string(value));
	}
	list_print_line("limits:", text);
	list_print_pinning(json_object_object_get(resources, "pinning"));
	list_print_line("not in force:", info->limits_problem);
}

static void list_print_boot(struct json_object *definition)
{
	struct json_object *boot;

	list_print_line("generation:", list_member(definition, "generation"));
	list_print_words("boot order:", json_object_object_get(definition, "boot_order"));
	if (!json_object_object_get_ex(definition, "boot", &boot))
		return;
	list_print_line("kernel:", list_member(boot, "kernel"));
	list_print_line("initrd:", list_member(boot, "initrd"));
	list_print_line("command line:", list_member(boot, "command_line"));
}

/* ---- What waits for the next start ---- */

/* key: "memory.size", or "disks". Borrowed; NULL: there is none. */
static struct json_object *list_find_key(struct json_object *definition, const char *key)
{
	const char *dot = strchr(key, '.');
	AUTO_FREE char *outer = dot ? strndup(key, (size_t)(dot - key)) : strdup(key);
	struct json_object *value = outer ? json_object_object_get(definition, outer) : NULL;

	return dot && value ? json_object_object_get(value, dot + 1) : value;
}

static const char *list_value_text(struct json_object *value)
{
	if (!value)
		return "";
	return json_object_is_type(value, json_type_string)
		       ? json_object_get_string(value)
		       : json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE);
}

static void list_print_pending(const struct vm_info *info, struct json_object *definition,
			       struct json_object *next)
{
	static const char *const titles[] = { "WAITS FOR THE NEXT START", "NOW", "THEN" };
	size_t count = info->pending ? json_object_array_length(info->pending) : 0;
	struct table *table = count > 0 ? table_new(titles, ARRAY_SIZE(titles)) : NULL;

	if (!table)
		return;
	for (size_t i = 0; i < count; i++) {
		const char *key =
			json_object_get_string(json_object_array_get_idx(info->pending, i));

		table_add(table, "%s", key);
		table_add(table, "%s", list_value_text(list_find_key(definition, key)));
		table_add(table, "%s", list_value_text(list_find_key(next, key)));
	}
	putchar('\n');
	table_print(table);
	table_free(table);
}

/* ---- All of it ---- */

static int list_get_property(struct invocation *invocation, const char *path, const char *property,
			     sd_bus_error *error, struct json_object **ret_definition)
{
	AUTO_FREE char *text = NULL;
	struct json_error why;
	int r;

	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
				       property, error, &text);
	return r < 0 ? r : json_parse(text, strlen(text), ret_definition, &why);
}

struct shown {
	struct vm_info info;
	struct json_object *definition; /* by which it runs, or will */
	struct json_object *next;       /* of its next start */
	struct json_object *disks;      /* or NULL */
};

static void list_shown_deinit(struct shown *shown)
{
	vm_info_deinit(&shown->info);
	json_object_put(shown->definition);
	json_object_put(shown->next);
	json_object_put(shown->disks);
}

static enum status list_get_definitions(struct invocation *invocation, const char *path,
					struct shown *shown)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = list_get_property(invocation, path, "Definition", &error, &shown->next);
	if (r >= 0)
		r = list_get_property(invocation, path, "RunningDefinition", &error,
				      &shown->definition);
	/* An older service does not tell. */
	if (r < 0 && shown->next && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_PROPERTY)) {
		sd_bus_error_free(&error);
		shown->definition = json_object_get(shown->next);
		r = 0;
	}
	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

static enum status list_show(struct invocation *invocation, const struct shown *shown)
{
	struct json_object *tree;

	if (!invocation->json) {
		list_print_info(&shown->info, shown->definition);
		list_print_limits(&shown->info, shown->definition);
		list_print_boot(shown->definition);
		disk_list_print(shown->disks);
		list_print_adapters(&shown->info, shown->definition);
		list_print_pending(&shown->info, shown->definition, shown->next);
		return STATUS_OK;
	}
	tree = vm_info_to_json(&shown->info);
	json_add(&tree, "definition", json_object_get(shown->definition));
	if (!json_object_equal(shown->definition, shown->next))
		json_add(&tree, "next_definition", json_object_get(shown->next));
	if (shown->disks)
		json_add(&tree, "disks", json_object_get(shown->disks));
	return json_print(tree) < 0 ? service_failed(-ENOMEM, NULL) : STATUS_OK;
}

enum status command_show(struct invocation *invocation)
{
	CLEANUP(list_shown_deinit) struct shown shown = { 0 };
	AUTO_FREE char *path = NULL;
	enum status status;

	if (invocation_has(invocation, "cpu"))
		return command_show_cpu(invocation);
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = vm_info_get(invocation, path, &shown.info);
	if (status == STATUS_OK)
		status = list_get_definitions(invocation, path, &shown);
	if (status == STATUS_OK)
		status = disk_list_get(invocation, path, &shown.disks);
	if (status == STATUS_OK)
		status = list_show(invocation, &shown);
	return status;
}
