/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checkpoints of a VM, as vmms tells of them. */
#include "vmms/vmctl/checkpoint_tree.h"

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/dbus_names.h"

#include <errno.h>
#include <string.h>

/* ---- What vmms tells ---- */

enum status checkpoint_tree_get(struct invocation *invocation, char **ret_path,
				struct json_object **ret_tree)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status =
		service_ask_vm(invocation, "ListCheckpoints", SERVICE_TIMEOUT, ret_path, &reply);
	int r;

	if (status != STATUS_OK)
		return status;
	r = service_read_json(reply, ret_tree);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

struct json_object *checkpoint_tree_list(struct json_object *tree)
{
	struct json_object *array = json_object_object_get(tree, "checkpoints");

	return json_object_is_type(array, json_type_array) ? array : NULL;
}

unsigned checkpoint_number(struct json_object *object, const char *key)
{
	return (unsigned)json_object_get_int64(json_object_object_get(object, key));
}

/* ---- Which one ---- */

/* By its number, or by its name, if one alone has that. NULL: by none; *ret_twice: by several. */
static struct json_object *tree_find(struct json_object *tree, const char *word, bool *ret_twice)
{
	struct json_object *array = checkpoint_tree_list(tree), *found = NULL;
	size_t count = array ? json_object_array_length(array) : 0;
	uint64_t id = 0;
	bool number = parse_unsigned(word, 0, UINT32_MAX, &id) == 0;

	*ret_twice = false;
	for (size_t i = 0; i < count; i++) {
		struct json_object *checkpoint = json_object_array_get_idx(array, i);

		if (number ? checkpoint_number(checkpoint, "id") != id
			   : strcmp(json_member_text(checkpoint, "name"), word) != 0)
			continue;
		*ret_twice = found;
		found = checkpoint;
	}
	return found;
}

enum status checkpoint_tree_find(struct invocation *invocation, const char *word, char **ret_path,
				 struct json_object **ret_tree, struct json_object **ret_checkpoint)
{
	enum status status = checkpoint_tree_get(invocation, ret_path, ret_tree);
	sd_bus_error error = SD_BUS_ERROR_NULL;
	bool twice;

	if (status != STATUS_OK)
		return status;
	*ret_checkpoint = tree_find(*ret_tree, word, &twice);
	if (twice)
		return usage_error(invocation,
				   "several checkpoints of VM '%s' have the name '%s'; say its "
				   "number, which 'vmctl checkpoint list' shows",
				   invocation->arguments[0], word);
	if (*ret_checkpoint)
		return STATUS_OK;
	sd_bus_error_setf(
		&error, DBUS_ERROR_NO_SUCH_CHECKPOINT,
		"VM '%s' has no checkpoint '%s'; 'vmctl checkpoint list %s' shows which it "
		"has",
		invocation->arguments[0], word, invocation->arguments[0]);
	return service_failed(-ENOENT, &error);
}
