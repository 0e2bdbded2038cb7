/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in a tree that may be of any form. */
#include "common/base/json.h"

const char *json_member_text(struct json_object *object, const char *key)
{
	struct json_object *value = json_object_is_type(object, json_type_object)
					    ? json_object_object_get(object, key)
					    : NULL;

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

size_t json_array_size(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}
