/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All CPU groups of the daemon: reading them from their folder. */
#include "common/base/log.h"
#include "vmms/base/folder.h"
#include "vmms/cpu_group/cpu_groups_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void load_refuse(struct json_error *error, const char *key, const char *message)
{
	*error = (struct json_error){ 0 };
	snprintf(error->key, sizeof(error->key), "%s", key);
	snprintf(error->message, sizeof(error->message), "%s", message);
}

/* One that was good stays as it was while VMs name it. */
static int load_add_broken(struct cpu_groups *groups, const char *name, const char *path,
			   const struct json_error *error)
{
	struct cpu_group *group;
	char text[JSON_ERROR_TEXT_MAX];

	json_error_describe(path, (unsigned)error->line, error->key, error->message, text,
			    sizeof(text));
	log_error("%s", text);
	if (!definition_cpu_group_name_is_valid(name) ||
	    strlen(name) > DEFINITION_CPU_GROUP_NAME_MAX)
		return 0;
	group = cpu_groups_find(groups, name);
	if (!group) {
		if (cpu_group_new(groups->units, name, NULL, &group) < 0)
			return -ENOMEM;
		cpu_groups_insert(groups, group);
	} else if (!cpu_groups_is_used(groups, name)) {
		cpu_group_definition_free(TAKE_PTR(group->definition));
	}
	group->reading = groups->reading;
	group->error = *error;
	return 0;
}

static bool load_is_same(const struct cpu_group_definition *a, const struct cpu_group_definition *b)
{
	return json_equal(cpu_group_definition_to_json(a), cpu_group_definition_to_json(b));
}

/* Takes over the definition. */
static int load_take(struct cpu_groups *groups, struct cpu_group_definition *definition)
{
	struct cpu_group *group = cpu_groups_find(groups, definition->name);

	if (!group) {
		if (cpu_group_new(groups->units, definition->name, definition, &group) < 0)
			return -ENOMEM;
		cpu_groups_insert(groups, group);
	} else if (group->definition && load_is_same(group->definition, definition)) {
		cpu_group_definition_free(definition);
	} else {
		cpu_groups_give(groups, group, definition);
	}
	group->reading = groups->reading;
	return 0;
}

static int load_file(void *data, const char *name, const char *path)
{
	struct cpu_groups *groups = data;
	struct cpu_group_definition *definition = NULL;
	struct json_error error;
	int r;

	r = cpu_group_definition_load(path, &definition, &error);
	if (r == -ENOMEM || r == -ENOENT)
		return r == -ENOENT ? 0 : r;
	if (r < 0 && r != -EINVAL)
		load_refuse(&error, "", strerror(-r));
	if (r == 0 && strcmp(definition->name, name) != 0) {
		load_refuse(&error, "name", "must be the name of the file, without .json");
		cpu_group_definition_free(TAKE_PTR(definition));
	}
	return definition ? load_take(groups, definition)
			  : load_add_broken(groups, name, path, &error);
}

int cpu_groups_load(struct cpu_groups *groups)
{
	int r;

	groups->reading++;
	r = folder_each(groups->folder, load_file, groups);
	if (r < 0)
		return r;
	list_for_each (link, &groups->list) {
		struct cpu_group *group = container_of(link, struct cpu_group, link);

		if (group->reading == groups->reading || cpu_groups_is_used(groups, group->name))
			continue;
		log_info("CPU group %s: its file is gone", group->name);
		cpu_groups_forget(group);
	}
	return 0;
}

int cpu_groups_reload(struct cpu_groups *groups, struct failure *failure)
{
	int r = cpu_groups_load(groups);

	return r < 0 ? failure_set(failure, DBUS_ERROR_STORE,
				   "cannot read the CPU groups in %s: %s",
				   folder_path(groups->folder), strerror(-r))
		     : 0;
}
