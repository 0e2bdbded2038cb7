/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The members of org.vmms1.VM that are about checkpoints: docs/dbus/org.vmms1.VM.md. */
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A call whose answer is the number of the new checkpoint. */
struct checkpoint_call {
	sd_bus_message *call;
	unsigned id;
};

static void dbus_checkpoint_created(void *data, const struct failure *failure)
{
	struct checkpoint_call *created = data;

	if (failure)
		(void)dbus_reply_failure(created->call, failure);
	else
		(void)sd_bus_reply_method_return(created->call, "u", (uint32_t)created->id);
	sd_bus_message_unref(created->call);
	free(created);
}

/* type: of the option; "": as the VM's definition says. Return: 0; negative with *failure filled. */
static int dbus_checkpoint_type(const struct vm *vm, const char *type,
				enum definition_checkpoints *ret_type, struct failure *failure)
{
	*ret_type = vm->definition->checkpoints;
	if (type[0] == '\0')
		return 0;
	for (unsigned i = 0; i < DEFINITION_CHECKPOINTS_DISABLED; i++) {
		if (strcmp(definition_checkpoints_names[i], type) != 0)
			continue;
		*ret_type = (enum definition_checkpoints)i;
		return 0;
	}
	return failure_set(
		failure, DBUS_ERROR_INVALID_ARGUMENT,
		"the type of a checkpoint is 'production', 'production-only' or 'standard'");
}

int dbus_create_checkpoint(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *name, *notes, *type = "";
	const struct dbus_option options[] = { { "type", 's', &type } };
	struct failure failure = { 0 };
	struct checkpoint_call *created;
	enum definition_checkpoints wanted;
	int r = sd_bus_message_read(call, "ss", &name, &notes);

	if (r >= 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r >= 0)
		r = dbus_checkpoint_type(data, type, &wanted, &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	created = calloc(1, sizeof(*created));
	if (!created)
		return -ENOMEM;
	created->call = sd_bus_message_ref(call);
	r = vm_checkpoint_create(data, name, notes, wanted, dbus_checkpoint_created, created,
				 &created->id, &failure);
	if (r >= 0)
		return 1;
	sd_bus_message_unref(call);
	free(created);
	return dbus_reply_failure(call, &failure);
}

/* The definition of that time has to be within what the caller may have now. */
static int dbus_checkpoint_check_quota(sd_bus_message *call, const struct vm *vm, unsigned id,
				       struct failure *failure)
{
	const struct checkpoint *checkpoint = vm_checkpoint_find(vm, id);

	if (!dbus_caller(call) || !checkpoint)
		return 0;
	return quota_check_definition(vm->manager, vm->definition, checkpoint->definition, failure);
}

int dbus_apply_checkpoint(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure;
	uint32_t id;
	int r = sd_bus_message_read(call, "u", &id);

	if (r < 0)
		return r;
	if (dbus_checkpoint_check_quota(call, data, id, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	r = vm_checkpoint_apply(data, id, dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

int dbus_delete_checkpoint(sd_bus_message *call, void *data, sd_bus_error *error)
{
	int subtree = false;
	const struct dbus_option options[] = { { "subtree", 'b', &subtree } };
	struct failure failure = { 0 };
	uint32_t id;
	int r = sd_bus_message_read(call, "u", &id);

	if (r >= 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	r = vm_checkpoint_delete(data, id, subtree, dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

int dbus_change_checkpoint(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure;
	const char *name, *notes;
	uint32_t id;
	int r = sd_bus_message_read(call, "uss", &id, &name, &notes);

	if (r < 0)
		return r;
	if (vm_checkpoint_change(data, id, name, notes, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}

int dbus_list_checkpoints(sd_bus_message *call, void *data, sd_bus_error *error)
{
	AUTO_JSON struct json_object *tree = vm_checkpoint_describe(data);

	return dbus_reply_json(call, tree);
}
