/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All CPU groups of the daemon. */
#include "vmms/cpu_group/cpu_groups.h"

#include "common/base/log.h"
#include "vmms/base/folder.h"
#include "vmms/cpu_group/cpu_groups_internal.h"
#include "vmms/host/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX  256 /* bytes of names of VMs in a message */
#define NAMES_REST 16  /* of them for what is around a name, and for what stands for others */

/* ---- Life ---- */

int cpu_groups_new(const char *directory, struct units *units, const struct cpu_groups_vms *vms,
		   void *vms_data, struct cpu_groups **ret_groups)
{
	CLEANUP(cpu_groups_freep) struct cpu_groups *groups = calloc(1, sizeof(*groups));
	int r;

	if (!groups)
		return -ENOMEM;
	list_init(&groups->list);
	groups->units = units;
	groups->vms = vms;
	groups->vms_data = vms_data;
	r = folder_open(directory, "cpu-groups", &groups->folder);
	if (r == 0)
		r = cpu_groups_load(groups);
	if (r < 0)
		return r;
	*ret_groups = TAKE_PTR(groups);
	return 0;
}

void cpu_groups_free(struct cpu_groups *groups)
{
	if (!groups)
		return;
	list_for_each (link, &groups->list)
		cpu_group_free(container_of(link, struct cpu_group, link));
	folder_free(groups->folder);
	free(groups);
}

struct cpu_group *cpu_groups_find(const struct cpu_groups *groups, const char *name)
{
	list_for_each (link, (struct list *)&groups->list) {
		struct cpu_group *group = container_of(link, struct cpu_group, link);

		if (strcmp(group->name, name) == 0)
			return group;
	}
	return NULL;
}

static void groups_problem_changed(void *data, struct cpu_group *group)
{
	struct cpu_groups *groups = data;

	groups->vms->changed(groups->vms_data, group->name);
}

void cpu_groups_insert(struct cpu_groups *groups, struct cpu_group *group)
{
	struct list *next = &groups->list;

	group->changed = groups_problem_changed;
	group->data = groups;
	list_for_each (link, &groups->list) {
		if (strcmp(container_of(link, struct cpu_group, link)->name, group->name) > 0) {
			next = link;
			break;
		}
	}
	list_append(next, &group->link);
}

/* ---- VMs that are in a group ---- */

static bool names(const struct definition *definition, const char *group)
{
	return definition && strcmp(definition->resources.cpu_group, group) == 0;
}

struct users {
	const char *group;
	char names[NAMES_MAX]; /* as many as fit, with commas */
	bool full;
	unsigned count;
};

static int groups_add_user(void *data, const struct cpu_group_user *user)
{
	struct users *users = data;
	size_t used = strlen(users->names);

	if (!names(user->definition, users->group) && !names(user->pending, users->group))
		return 0;
	users->count++;
	if (users->full)
		return 0;
	users->full = used + strlen(user->definition->name) + NAMES_REST > sizeof(users->names);
	snprintf(users->names + used, sizeof(users->names) - used, users->full ? "%s…" : "%s'%s'",
		 used > 0 ? ", " : "", user->definition->name);
	return 0;
}

static void groups_find_users(const struct cpu_groups *groups, const char *group,
			      struct users *ret_users)
{
	*ret_users = (struct users){ .group = group };
	(void)groups->vms->each(groups->vms_data, groups_add_user, ret_users);
}

bool cpu_groups_is_used(const struct cpu_groups *groups, const char *name)
{
	struct users users;

	groups_find_users(groups, name, &users);
	return users.count > 0;
}

static int groups_runs_in(void *data, const struct cpu_group_user *user)
{
	return user->runs && names(user->definition, data);
}

/* ---- Checks ---- */

static bool groups_have_common(const struct cpu_list *a, const struct cpu_list *b)
{
	struct cpu_list rest;

	if (cpu_list_is_empty(a) || cpu_list_is_empty(b))
		return true;
	cpu_list_subtract(a, b, &rest);
	return memcmp(&rest, a, sizeof(rest)) != 0;
}

static int groups_refuse_cpus(const struct cpu_group_definition *group,
			      const struct definition *definition, const char *key,
			      struct failure *failure)
{
	char text[CPU_LIST_TEXT];

	cpu_list_format(&group->cpus, text);
	return failure_set(failure, DBUS_ERROR_INVALID_DEFINITION,
			   "%s of VM '%s' has none of the CPUs of its CPU group '%s', %.200s; "
			   "change one of the two",
			   key, definition->name, group->name, text);
}

/* A VM and a group go together. */
static int groups_check_cpus(const struct cpu_group_definition *group,
			     const struct definition *definition, struct failure *failure)
{
	const struct definition_resources *resources = &definition->resources;

	if (!groups_have_common(&resources->cpus, &group->cpus))
		return groups_refuse_cpus(group, definition, "resources.cpus", failure);
	for (unsigned i = 0; i < resources->pinning.count; i++)
		if (!groups_have_common(&resources->pinning.pins[i].cpus, &group->cpus))
			return groups_refuse_cpus(group, definition, "resources.pinning", failure);
	return 0;
}

static int groups_refuse_name(const char *name, struct failure *failure)
{
	return failure_set(failure, DBUS_ERROR_NO_SUCH_CPU_GROUP,
			   "there is no CPU group '%s'; 'vmctl cpu-group list' shows which there "
			   "are, and 'vmctl cpu-group create %s' makes it",
			   name, name);
}

int cpu_groups_check(const struct cpu_groups *groups, const struct definition *definition,
		     struct failure *failure)
{
	const char *name = definition->resources.cpu_group;
	const struct cpu_group *group = cpu_groups_find(groups, name);

	if (name[0] == '\0')
		return 0;
	if (!group)
		return groups_refuse_name(name, failure);
	if (!group->definition)
		return failure_set(failure, DBUS_ERROR_NO_SUCH_CPU_GROUP,
				   "the definition of CPU group '%s' is broken: %s %s; repair it "
				   "and use 'vmctl reload'",
				   name, group->error.key, group->error.message);
	return groups_check_cpus(group->definition, definition, failure);
}

struct check {
	const struct cpu_group_definition *group;
	struct failure *failure;
};

static int groups_check_user(void *data, const struct cpu_group_user *user)
{
	const struct check *check = data;
	int r = 0;

	if (names(user->definition, check->group->name))
		r = groups_check_cpus(check->group, user->definition, check->failure);
	if (r == 0 && names(user->pending, check->group->name))
		r = groups_check_cpus(check->group, user->pending, check->failure);
	return r;
}

/* Of a definition that a group is to have. */
static int groups_check_definition(const struct cpu_groups *groups,
				   const struct cpu_group_definition *definition,
				   struct failure *failure)
{
	struct check check = { definition, failure };
	char what[DEFINITION_CPU_GROUP_NAME_MAX + 32];
	int r;

	snprintf(what, sizeof(what), "CPU group '%s'", definition->name);
	r = host_cpus_check(&definition->cpus, what, DBUS_ERROR_INVALID_DEFINITION, failure);
	return r < 0 ? r : groups->vms->each(groups->vms_data, groups_check_user, &check);
}

/* ---- Changes ---- */

static int groups_save(const struct cpu_groups *groups,
		       const struct cpu_group_definition *definition, struct failure *failure)
{
	AUTO_JSON struct json_object *tree = cpu_group_definition_to_json(definition);
	int r = tree ? folder_save(groups->folder, definition->name, tree) : -ENOMEM;

	return r < 0 ? failure_set(failure, DBUS_ERROR_STORE,
				   "cannot save CPU group '%s' in %s: %s; nothing has been changed",
				   definition->name, folder_path(groups->folder), strerror(-r))
		     : 0;
}

int cpu_groups_create(struct cpu_groups *groups, struct cpu_group_definition *definition,
		      struct failure *failure)
{
	CLEANUP(cpu_group_freep) struct cpu_group *group = NULL;
	int r;

	if (cpu_group_new(groups->units, definition->name, definition, &group) < 0)
		return failure_no_memory(failure);
	if (!cpu_groups_find(groups, group->name) && folder_has(groups->folder, group->name))
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "there is a definition of a CPU group '%s' in %s that has not "
				   "been read; 'vmctl reload' reads it",
				   group->name, folder_path(groups->folder));
	if (cpu_groups_find(groups, group->name))
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "there is a CPU group '%s' already; 'vmctl cpu-group set' "
				   "changes it",
				   group->name);
	r = groups_check_definition(groups, definition, failure);
	if (r == 0)
		r = groups_save(groups, definition, failure);
	if (r < 0)
		return r;
	log_info("CPU group %s: created", group->name);
	cpu_groups_insert(groups, TAKE_PTR(group));
	return 0;
}

void cpu_groups_give(struct cpu_groups *groups, struct cpu_group *group,
		     struct cpu_group_definition *definition)
{
	cpu_group_definition_free(group->definition);
	group->definition = definition;
	if (groups->vms->each(groups->vms_data, groups_runs_in, group->name) != 0)
		cpu_group_apply(group);
}

int cpu_groups_change(struct cpu_groups *groups, struct cpu_group_definition *definition,
		      struct failure *failure)
{
	CLEANUP(cpu_group_definition_freep) struct cpu_group_definition *wanted = definition;
	struct cpu_group *group = cpu_groups_find(groups, wanted->name);
	int r;

	if (!group)
		return groups_refuse_name(wanted->name, failure);
	r = groups_check_definition(groups, wanted, failure);
	if (r == 0)
		r = groups_save(groups, wanted, failure);
	if (r < 0)
		return r;
	cpu_groups_give(groups, group, TAKE_PTR(wanted));
	return 0;
}

void cpu_groups_forget(struct cpu_group *group)
{
	cpu_group_remove(group);
	cpu_group_free(group);
}

int cpu_groups_delete(struct cpu_groups *groups, const char *name, struct failure *failure)
{
	struct cpu_group *group = cpu_groups_find(groups, name);
	struct users users;
	int r;

	if (!group)
		return groups_refuse_name(name, failure);
	groups_find_users(groups, name, &users);
	if (users.count > 0)
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "CPU group '%s' is that of %u VM%s: %s; give them another with "
				   "'vmctl set VM resources.cpu_group=GROUP', or none, first",
				   name, users.count, users.count == 1 ? "" : "s", users.names);
	r = folder_delete(groups->folder, name);
	if (r < 0 && r != -ENOENT)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot delete CPU group '%s' in %s: %s", name,
				   folder_path(groups->folder), strerror(-r));
	log_info("CPU group %s: deleted", name);
	cpu_groups_forget(group);
	return 0;
}

/* ---- For VMs ---- */

void cpu_groups_enter(struct cpu_groups *groups, const struct definition *definition)
{
	struct cpu_group *group = cpu_groups_find(groups, definition->resources.cpu_group);

	if (group)
		cpu_group_apply(group);
}

const char *cpu_groups_problem(const struct cpu_groups *groups, const struct definition *definition)
{
	const struct cpu_group *group = cpu_groups_find(groups, definition->resources.cpu_group);

	return group ? group->problem : "";
}

/* ---- Telling ---- */

struct listing {
	const char *group;
	struct json_object *names;
};

static int groups_list_user(void *data, const struct cpu_group_user *user)
{
	struct listing *listing = data;

	if (names(user->definition, listing->group) || names(user->pending, listing->group))
		json_append(&listing->names, json_object_new_string(user->definition->name));
	return 0;
}

static struct json_object *groups_problem_to_json(const struct cpu_group *group)
{
	char text[JSON_ERROR_TEXT_MAX];

	if (!group->definition) {
		json_error_describe(group->name, (unsigned)group->error.line, group->error.key,
				    group->error.message, text, sizeof(text));
		return json_object_new_string(text);
	}
	return json_object_new_string(units_are_used(group->units) ? group->problem
								   : UNITS_NOBODY_ENFORCES);
}

static struct json_object *group_to_json(const struct cpu_groups *groups,
					 const struct cpu_group *group)
{
	struct listing listing = { group->name, json_object_new_array() };
	struct json_object *object;

	(void)groups->vms->each(groups->vms_data, groups_list_user, &listing);
	object = json_make("name", json_object_new_string(group->name), "problem",
			   groups_problem_to_json(group), "vms", listing.names, NULL);
	if (group->definition)
		json_add(&object, "definition", cpu_group_definition_to_json(group->definition));
	return object;
}

struct json_object *cpu_groups_to_json(const struct cpu_groups *groups)
{
	struct json_object *array = json_object_new_array();

	list_for_each (link, (struct list *)&groups->list)
		json_append(&array,
			    group_to_json(groups, container_of(link, struct cpu_group, link)));
	return array;
}
