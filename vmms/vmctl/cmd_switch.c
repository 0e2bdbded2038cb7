/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl switch add, remove, set, list, show.
 *
 * Options become a definition as they are; whether it makes sense is for vmms to say.
 */
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Calls ---- */

static enum status switch_get_text(struct invocation *invocation, const char *path,
				   const char *property, char **ret_text)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_SWITCH,
				       property, &error, ret_text);
	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

static enum status switch_get_definition(struct invocation *invocation, const char *path,
					 struct json_object **ret_definition)
{
	AUTO_FREE char *text = NULL;
	struct json_error why;
	enum status status;
	int r;

	status = switch_get_text(invocation, path, "Definition", &text);
	if (status != STATUS_OK)
		return status;
	r = json_parse(text, strlen(text), ret_definition, &why);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- add, set ---- */

static struct json_object *switch_addresses(const struct invocation *invocation)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *value = invocation->options[i].value;

		if (strcmp(invocation->options[i].row->name, "ip") == 0 &&
		    strcmp(value, "none") != 0)
			json_append(&array, json_object_new_string(value));
	}
	return array;
}

/* Return: false: refused, which has been said. */
static bool switch_add_options(struct invocation *invocation, struct json_object **definition)
{
	static const char *const texts[] = { "type", "bridge", "interface", "notes" };
	unsigned mtu = 0;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (invocation_has(invocation, texts[i]))
			json_add(definition, texts[i],
				 json_object_new_string(invocation_value(invocation, texts[i])));
	}
	if (invocation_has(invocation, "ip"))
		json_add(definition, "addresses", switch_addresses(invocation));
	if (!invocation_number(invocation, "mtu", UINT16_MAX, &mtu))
		return false;
	if (invocation_has(invocation, "mtu"))
		json_add(definition, "mtu", json_object_new_int64(mtu));
	return true;
}

/* What the other options tell of a type that was not named. */
static const char *switch_implied_type(const struct invocation *invocation)
{
	if (invocation_has(invocation, "bridge") || invocation_has(invocation, "interface"))
		return "external";
	return invocation_has(invocation, "ip") ? "internal" : NULL;
}

static enum status switch_conclude(const struct invocation *invocation, enum status status,
				   const char *done)
{
	if (status == STATUS_OK)
		output_say(invocation, "switch '%s' %s", invocation->arguments[0], done);
	return status;
}

enum status command_switch_add(struct invocation *invocation)
{
	AUTO_JSON struct json_object *definition =
		json_make("name", json_object_new_string(invocation->arguments[0]), NULL);
	const char *type = switch_implied_type(invocation);

	if (!type && !invocation_has(invocation, "type"))
		return usage_error(invocation, "which type? --type private, internal or external");
	if (type)
		json_add(&definition, "type", json_object_new_string(type));
	if (!switch_add_options(invocation, &definition))
		return STATUS_USAGE;
	if (!definition)
		return service_failed(-ENOMEM, NULL);
	return switch_conclude(
		invocation,
		service_call_manager(invocation, "CreateSwitch", SERVICE_TIMEOUT, NULL, "sa{sv}",
				     json_object_to_json_string(definition), 1, "force", "b",
				     (int)invocation_has(invocation, "force")),
		"added");
}

static enum status switch_send_change(struct invocation *invocation, const char *path,
				      struct json_object *definition)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, path,
					   DBUS_INTERFACE_SWITCH, "Change");
	if (r >= 0)
		r = sd_bus_message_append(call, "sa{sv}", json_object_to_json_string(definition), 1,
					  "force", "b", (int)invocation_has(invocation, "force"));
	if (r < 0)
		return service_failed(r, NULL);
	return switch_conclude(invocation, service_send(invocation, call, SERVICE_TIMEOUT, NULL),
			       "changed");
}

enum status command_switch_set(struct invocation *invocation)
{
	AUTO_JSON struct json_object *definition = NULL;
	AUTO_FREE char *path = NULL;
	enum status status;

	if (!invocation_has_any(invocation))
		return usage_error(invocation, "what is to be changed? An option says it, such as "
					       "--ip ADDRESS");
	status = service_find_switch(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = switch_get_definition(invocation, path, &definition);
	if (status != STATUS_OK)
		return status;
	/* One stands in place of the other. */
	if (invocation_has(invocation, "bridge"))
		json_object_object_del(definition, "interface");
	else if (invocation_has(invocation, "interface"))
		json_object_object_del(definition, "bridge");
	if (!switch_add_options(invocation, &definition))
		return STATUS_USAGE;
	return definition ? switch_send_change(invocation, path, definition)
			  : service_failed(-ENOMEM, NULL);
}

/* ---- remove ---- */

enum status command_switch_remove(struct invocation *invocation)
{
	return service_call_manager_for_each(invocation, "DeleteSwitch", "switch", "removed");
}

/* ---- list, show ---- */

struct switch_info {
	char *state, *reason, *bridge;
	struct json_object *definition;
};

static void switch_info_deinit(struct switch_info *info)
{
	free(info->state);
	free(info->reason);
	free(info->bridge);
	json_object_put(info->definition);
}

/* The caller deinits *ret_info, also on failure. */
static enum status switch_info_get(struct invocation *invocation, const char *path,
				   struct switch_info *ret_info)
{
	enum status status;

	*ret_info = (struct switch_info){ 0 };
	status = switch_get_text(invocation, path, "State", &ret_info->state);
	if (status == STATUS_OK)
		status = switch_get_text(invocation, path, "StateReason", &ret_info->reason);
	if (status == STATUS_OK)
		status = switch_get_text(invocation, path, "Bridge", &ret_info->bridge);
	if (status == STATUS_OK)
		status = switch_get_definition(invocation, path, &ret_info->definition);
	return status;
}

static struct json_object *switch_info_to_json(const struct switch_info *info)
{
	return json_make("state", json_object_new_string(info->state), "reason",
			 json_object_new_string(info->reason), "interface",
			 json_object_new_string(info->bridge), "definition",
			 json_object_get(info->definition), NULL);
}

/* A string that may be missing. */
static const char *switch_member(const struct switch_info *info, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(info->definition, key, &value)
		       ? json_object_get_string(value)
		       : "";
}

/* Where it leads: the host's addresses, or the interface taken. */
static char *switch_leads_to(const struct switch_info *info)
{
	struct json_object *array;
	char *text = strdup(switch_member(info, "interface")), *longer;

	if (!json_object_object_get_ex(info->definition, "addresses", &array))
		return text;
	for (size_t i = 0; text && i < json_object_array_length(array); i++) {
		if (asprintf(&longer, "%s%s%s", text, i > 0 ? " " : "",
			     json_object_get_string(json_object_array_get_idx(array, i))) < 0)
			longer = NULL;
		free(text);
		text = longer;
	}
	return text;
}

static void switch_add_row(struct table *table, const struct switch_info *info)
{
	AUTO_FREE char *outside = switch_leads_to(info);

	table_add(table, "%s", switch_member(info, "name"));
	table_add(table, "%s", switch_member(info, "type"));
	table_add(table, "%s", info->state);
	table_add(table, "%s", info->bridge);
	table_add(table, "%s", outside ? outside : "");
	table_add(table, "%s", info->reason);
}

/* What a list is printed into: a table, an array, or, both NULL, a line for each name. */
struct listing {
	struct table *table;
	struct json_object *array;
};

static enum status switch_list_one(struct invocation *invocation, const char *name,
				   const char *path, struct listing *listing)
{
	CLEANUP(switch_info_deinit) struct switch_info info = { 0 };
	enum status status;

	if (!listing->table && !listing->array) {
		puts(name);
		return STATUS_OK;
	}
	status = switch_info_get(invocation, path, &info);
	if (status != STATUS_OK)
		return status;
	if (listing->array)
		json_append(&listing->array, switch_info_to_json(&info));
	else
		switch_add_row(listing->table, &info);
	return STATUS_OK;
}

static enum status switch_list_all(struct invocation *invocation, struct listing *listing)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	const char *name, *uuid, *type, *path;
	enum status status;
	int r;

	status = service_call_manager(invocation, "ListSwitches", SERVICE_TIMEOUT, &reply, NULL);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_enter_container(reply, 'a', "(ssso)");
	while (r >= 0 &&
	       (r = sd_bus_message_read(reply, "(ssso)", &name, &uuid, &type, &path)) > 0) {
		status = switch_list_one(invocation, name, path, listing);
		if (status != STATUS_OK)
			return status;
	}
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status switch_add_broken(struct invocation *invocation, struct table *table)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *name, *path, *key, *message;
	char text[JSON_ERROR_TEXT_MAX];
	uint32_t line;
	int r;

	r = sd_bus_get_property(invocation->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
				"BrokenSwitches", &error, &reply, "a(ssuss)");
	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(ssuss)");
	while (r >= 0 && (r = sd_bus_message_read(reply, "(ssuss)", &name, &path, &line, &key,
						  &message)) > 0) {
		table_add(table, "%s", name);
		table_add(table, "%s", "");
		table_add(table, "broken");
		table_add(table, "%s", "");
		table_add(table, "%s", "");
		json_error_describe(path, line, key, message, text, sizeof(text));
		table_add(table, "%s", text);
	}
	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

static enum status switch_list_as_table(struct invocation *invocation)
{
	static const char *const titles[] = { "NAME",      "TYPE",     "STATE",
					      "INTERFACE", "LEADS TO", "REASON" };
	struct listing listing = { .table = table_new(titles, ARRAY_SIZE(titles)) };
	enum status status;

	if (!listing.table)
		return service_failed(-ENOMEM, NULL);
	status = switch_list_all(invocation, &listing);
	if (status == STATUS_OK)
		status = switch_add_broken(invocation, listing.table);
	if (status == STATUS_OK)
		table_print(listing.table);
	table_free(listing.table);
	return status;
}

static enum status switch_list_as_json(struct invocation *invocation)
{
	struct listing listing = { .array = json_object_new_array() };
	enum status status;

	status = switch_list_all(invocation, &listing);
	if (status != STATUS_OK) {
		json_object_put(listing.array);
		return status;
	}
	return json_print(json_make("switches", listing.array, NULL)) < 0
		       ? service_failed(-ENOMEM, NULL)
		       : STATUS_OK;
}

enum status command_switch_list(struct invocation *invocation)
{
	struct listing names = { 0 };

	if (invocation->json)
		return switch_list_as_json(invocation);
	if (invocation_has(invocation, "names"))
		return switch_list_all(invocation, &names);
	return switch_list_as_table(invocation);
}

static void switch_print_line(const char *title, const char *value)
{
	AUTO_FREE char *escaped = text_escape_new(value, strlen(value));

	if (value[0] != '\0')
		printf("%-12s %s\n", title, escaped ? escaped : "");
}

static void switch_print_info(const struct switch_info *info)
{
	AUTO_FREE char *outside = switch_leads_to(info);

	switch_print_line("name:", switch_member(info, "name"));
	switch_print_line("uuid:", switch_member(info, "uuid"));
	switch_print_line("notes:", switch_member(info, "notes"));
	switch_print_line("type:", switch_member(info, "type"));
	switch_print_line("state:", info->state);
	switch_print_line("reason:", info->reason);
	switch_print_line("interface:", info->bridge);
	switch_print_line("leads to:", outside ? outside : "");
	switch_print_line("mtu:", switch_member(info, "mtu"));
}

enum status command_switch_show(struct invocation *invocation)
{
	CLEANUP(switch_info_deinit) struct switch_info info = { 0 };
	AUTO_FREE char *path = NULL;
	enum status status;

	status = service_find_switch(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = switch_info_get(invocation, path, &info);
	if (status != STATUS_OK)
		return status;
	if (!invocation->json) {
		switch_print_info(&info);
		return STATUS_OK;
	}
	return json_print(switch_info_to_json(&info)) < 0 ? service_failed(-ENOMEM, NULL)
							  : STATUS_OK;
}
