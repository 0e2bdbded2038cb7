/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Definitions of older versions.
 *
 * A definition is upgraded as a tree, before its keys are read, one version at a time; so the
 * readers know the present version alone. Its file stays as it is until the VM is changed, so that
 * an older vmms can still be gone back to. What a newer one wrote is refused as a whole: half of it
 * understood would be a VM that nobody described.
 */
#include "common/definition/definition.h"
#include "common/definition/definition_internal.h"

/*
 * The steps, each in the place of the version that it begins with. NULL: the next version has more
 * keys, and all others mean what they did.
 */
static void (*const steps[DEFINITION_VERSION])(struct json_object *object) = {
	[1] = NULL, /* 2 has tags, automatic_start, automatic_stop and actions.worker_failure */
};

int definition_upgrade(struct json_reader *reader, struct json_object *object)
{
	struct json_object *value;
	int64_t version;

	if (!json_object_object_get_ex(object, "version", &value))
		return 0;
	json_enter_key(reader, "version");
	version = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
	if (version > DEFINITION_VERSION)
		return json_refuse(reader, value,
				   "is %lld, of a newer vmms; this one (%s) understands 1 to %d: "
				   "upgrade it, or go back to what was written for it",
				   (long long)version, VMMS_VERSION, DEFINITION_VERSION);
	if (version < 1)
		return json_refuse(reader, value, "must be a number from 1 to %d",
				   DEFINITION_VERSION);
	for (; version < DEFINITION_VERSION; version++) {
		if (steps[version])
			steps[version](object);
	}
	json_leave(reader, 0);
	return 0;
}
