/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl cpu-group create, set, delete, list, show.
 *
 * Options become a definition as they are; whether it makes sense is for vmms to say.
 */
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/text.h"
#include "common/dbus_names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_MAX 1000000 /* percent; vmms knows better of each */

/* ---- What vmms tells ---- */

static enum status cpu_group_get_groups(struct invocation *invocation,
					struct json_object **ret_array)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status;
	int r;

	status = service_call_manager(invocation, "ListCPUGroups", SERVICE_TIMEOUT, &reply, NULL);
	if (status != STATUS_OK)
		return status;
	r = service_read_json(reply, ret_array);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static struct json_object *cpu_group_list_of(struct json_object *tree)
{
	struct json_object *array = json_object_object_get(tree, "cpu_groups");

	return json_object_is_type(array, json_type_array) ? array : NULL;
}

/* A member of the group, or of its definition, as text; "" where it is not. */
static const char *cpu_group_member(struct json_object *group, const char *key)
{
	struct json_object *value = json_object_object_get(group, key);

	if (!value)
		value = json_object_object_get(json_object_object_get(group, "definition"), key);
	return value ? json_object_get_string(value) : "";
}

static struct json_object *cpu_group_find(struct json_object *tree, const char *name)
{
	struct json_object *array = cpu_group_list_of(tree);

	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct json_object *group = json_object_array_get_idx(array, i);

		if (strcmp(cpu_group_member(group, "name"), name) == 0)
			return group;
	}
	return NULL;
}

/* *ret_tree: put by the caller; *ret_group: in it. */
static enum status cpu_group_find_group(struct invocation *invocation,
					struct json_object **ret_tree,
					struct json_object **ret_group)
{
	const char *name = invocation->arguments[0];
	enum status status = cpu_group_get_groups(invocation, ret_tree);
	sd_bus_error error = SD_BUS_ERROR_NULL;

	if (status != STATUS_OK)
		return status;
	*ret_group = cpu_group_find(*ret_tree, name);
	if (*ret_group)
		return STATUS_OK;
	sd_bus_error_setf(
		&error, DBUS_ERROR_NO_SUCH_CPU_GROUP,
		"there is no CPU group '%s'; 'vmctl cpu-group list' shows which there are", name);
	return service_failed(-ENOENT, &error);
}

/* ---- create, set, delete ---- */

/* Return: false: refused, which has been said. */
static bool cpu_group_add_number(struct invocation *invocation, const char *option, const char *key,
				 struct json_object **definition)
{
	const char *value = invocation_value(invocation, option);
	unsigned number = 0;

	if (!value)
		return true;
	json_object_object_del(*definition, key);
	if (strcmp(value, "none") == 0)
		return true;
	if (!invocation_number(invocation, option, NUMBER_MAX, &number))
		return false;
	json_add(definition, key, json_object_new_int64(number));
	return true;
}

static bool cpu_group_add_options(struct invocation *invocation, struct json_object **definition)
{
	const char *cpus = invocation_value(invocation, "cpus");

	if (!cpu_group_add_number(invocation, "quota", "cpu_quota", definition) ||
	    !cpu_group_add_number(invocation, "weight", "cpu_weight", definition))
		return false;
	if (cpus)
		json_object_object_del(*definition, "cpus");
	if (cpus && strcmp(cpus, "none") != 0)
		json_add(definition, "cpus", json_object_new_string(cpus));
	if (invocation_has(invocation, "notes"))
		json_add(definition, "notes",
			 json_object_new_string(invocation_value(invocation, "notes")));
	return true;
}

static enum status cpu_group_send_definition(struct invocation *invocation, const char *method,
					     struct json_object **definition, const char *done)
{
	enum status status;

	if (!cpu_group_add_options(invocation, definition))
		return STATUS_USAGE;
	if (!*definition)
		return service_failed(-ENOMEM, NULL);
	status = service_call_manager(invocation, method, SERVICE_TIMEOUT, NULL, "s",
				      json_object_to_json_string(*definition));
	if (status == STATUS_OK)
		output_say(invocation, "CPU group '%s' %s", invocation->arguments[0], done);
	return status;
}

enum status command_cpu_group_create(struct invocation *invocation)
{
	AUTO_JSON struct json_object *definition =
		json_make("name", json_object_new_string(invocation->arguments[0]), NULL);

	if (!definition)
		return service_failed(-ENOMEM, NULL);
	return cpu_group_send_definition(invocation, "CreateCPUGroup", &definition, "created");
}

enum status command_cpu_group_set(struct invocation *invocation)
{
	AUTO_JSON struct json_object *tree = NULL, *definition = NULL;
	struct json_object *group;
	enum status status;

	if (!invocation_has_any(invocation))
		return usage_error(invocation, "what is to be changed? An option says it, such as "
					       "--quota PERCENT");
	status = cpu_group_find_group(invocation, &tree, &group);
	if (status != STATUS_OK)
		return status;
	definition = json_object_get(json_object_object_get(group, "definition"));
	/* One that is broken is written anew. */
	if (!definition)
		definition =
			json_make("name", json_object_new_string(invocation->arguments[0]), NULL);
	return definition ? cpu_group_send_definition(invocation, "ChangeCPUGroup", &definition,
						      "changed")
			  : service_failed(-ENOMEM, NULL);
}

enum status command_cpu_group_delete(struct invocation *invocation)
{
	return service_call_manager_for_each(invocation, "DeleteCPUGroup", "CPU group", "deleted");
}

/* ---- list, show ---- */

/* Names with blanks between, freed by the caller. */
static char *cpu_group_vms_of(struct json_object *group)
{
	struct json_object *array = json_object_object_get(group, "vms");
	char *text = strdup("");

	for (size_t i = 0; text && json_object_is_type(array, json_type_array) &&
			   i < json_object_array_length(array);
	     i++) {
		char *longer = NULL;

		if (asprintf(&longer, "%s%s%s", text, i > 0 ? " " : "",
			     json_object_get_string(json_object_array_get_idx(array, i))) < 0)
			longer = NULL;
		free(text);
		text = longer;
	}
	return text;
}

static void cpu_group_add_row(struct table *table, struct json_object *group)
{
	AUTO_FREE char *vms = cpu_group_vms_of(group);

	table_add(table, "%s", cpu_group_member(group, "name"));
	table_add(table, "%s", cpu_group_member(group, "cpu_quota"));
	table_add(table, "%s", cpu_group_member(group, "cpu_weight"));
	table_add(table, "%s", cpu_group_member(group, "cpus"));
	table_add(table, "%s", vms ? vms : "");
	table_add(table, "%s", cpu_group_member(group, "problem"));
}

static int cpu_group_print_list(const struct invocation *invocation, struct json_object *array)
{
	static const char *const titles[] = { "NAME", "QUOTA", "WEIGHT", "CPUS", "VMS", "PROBLEM" };
	bool names = invocation_has(invocation, "names");
	struct table *table = names ? NULL : table_new(titles, ARRAY_SIZE(titles));

	if (!names && !table)
		return -ENOMEM;
	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct json_object *group = json_object_array_get_idx(array, i);

		if (names)
			puts(cpu_group_member(group, "name"));
		else
			cpu_group_add_row(table, group);
	}
	if (table) {
		table_print(table);
		table_free(table);
	}
	return 0;
}

enum status command_cpu_group_list(struct invocation *invocation)
{
	AUTO_JSON struct json_object *tree = NULL;
	enum status status = cpu_group_get_groups(invocation, &tree);
	int r;

	if (status != STATUS_OK)
		return status;
	r = invocation->json ? json_print(TAKE_PTR(tree))
			     : cpu_group_print_list(invocation, cpu_group_list_of(tree));
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static void cpu_group_print_line(const char *title, const char *value)
{
	AUTO_FREE char *escaped = text_escape_new(value, strlen(value));

	if (value[0] != '\0')
		printf("%-14s %s\n", title, escaped ? escaped : "");
}

enum status command_cpu_group_show(struct invocation *invocation)
{
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *vms = NULL;
	struct json_object *group;
	enum status status;

	status = cpu_group_find_group(invocation, &tree, &group);
	if (status != STATUS_OK)
		return status;
	if (invocation->json)
		return json_print(json_object_get(group)) < 0 ? service_failed(-ENOMEM, NULL)
							      : STATUS_OK;
	vms = cpu_group_vms_of(group);
	cpu_group_print_line("name:", cpu_group_member(group, "name"));
	cpu_group_print_line("notes:", cpu_group_member(group, "notes"));
	cpu_group_print_line("quota:", cpu_group_member(group, "cpu_quota"));
	cpu_group_print_line("weight:", cpu_group_member(group, "cpu_weight"));
	cpu_group_print_line("cpus:", cpu_group_member(group, "cpus"));
	cpu_group_print_line("vms:", vms ? vms : "");
	cpu_group_print_line("problem:", cpu_group_member(group, "problem"));
	return STATUS_OK;
}
