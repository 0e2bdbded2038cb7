/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the manager does with CPU groups: docs/dbus/org.vmms1.Manager.md. */
#include "vmms/bus/dbus_internal.h"
#include "vmms/cpu_group/cpu_groups.h"

#include <errno.h>
#include <string.h>

static int dbus_cpu_group_reply(sd_bus_message *call, int r, const struct failure *failure)
{
	if (r == 0)
		return sd_bus_reply_method_return(call, "");
	return failure->name ? dbus_reply_failure(call, failure) : r;
}

static int dbus_cpu_group_read_definition(sd_bus_message *call,
					  struct cpu_group_definition **ret_definition,
					  struct failure *failure)
{
	struct json_error why;
	const char *text;
	int r;

	r = sd_bus_message_read(call, "s", &text);
	if (r < 0)
		return r;
	r = cpu_group_definition_parse(text, strlen(text), ret_definition, &why);
	return r == -EINVAL ? dbus_refuse_definition(failure, text, &why) : r;
}

/* Has a definition that was passed taken up: by cpu_groups_create() or cpu_groups_change(). */
static int dbus_cpu_group_take_definition(sd_bus_message *call, struct dbus_service *service,
					  int (*take)(struct cpu_groups *groups,
						      struct cpu_group_definition *definition,
						      struct failure *failure))
{
	struct cpu_group_definition *definition;
	struct failure failure = { 0 };
	int r;

	r = dbus_cpu_group_read_definition(call, &definition, &failure);
	if (r == 0)
		r = take(service->manager->cpu_groups, definition, &failure);
	return dbus_cpu_group_reply(call, r, &failure);
}

int dbus_create_cpu_group(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_cpu_group_take_definition(call, data, cpu_groups_create);
}

int dbus_change_cpu_group(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_cpu_group_take_definition(call, data, cpu_groups_change);
}

int dbus_delete_cpu_group(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct failure failure = { 0 };
	const char *name;
	int r;

	r = sd_bus_message_read(call, "s", &name);
	if (r < 0)
		return r;
	return dbus_cpu_group_reply(
		call, cpu_groups_delete(service->manager->cpu_groups, name, &failure), &failure);
}

/* Groups are nobody's own. */
int dbus_list_cpu_groups(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	AUTO_JSON struct json_object *tree = NULL;
	struct json_object *groups;

	groups = dbus_caller_sees(service, NULL) ? cpu_groups_to_json(service->manager->cpu_groups)
						 : json_object_new_array();
	tree = json_make("cpu_groups", groups, NULL);
	return dbus_reply_json(call, tree);
}
