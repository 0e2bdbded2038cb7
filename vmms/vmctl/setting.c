/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * KEY=VALUE, put into the tree of a definition.
 *
 * The key is walked down step by step; objects that are missing on the way are made, elements of
 * arrays are not.
 */
#include "vmms/vmctl/setting.h"

#include "common/base/cleanup.h"
#include "common/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STEP_MAX 64 /* bytes of a key's part */

/* A member's name, or an index. */
struct step {
	char name[STEP_MAX]; /* "": an index */
	uint64_t index;
};

/* Return: what follows, at the end of the key its '='; NULL: it is no key. */
static const char *setting_read_index(const char *text, struct step *ret_step)
{
	size_t length = strcspn(text + 1, "]");
	char digits[24];

	if (text[1 + length] != ']' || length >= sizeof(digits))
		return NULL;
	memcpy(digits, text + 1, length);
	digits[length] = '\0';
	*ret_step = (struct step){ 0 };
	return parse_unsigned(digits, 0, UINT32_MAX, &ret_step->index) == 0 ? text + length + 2
									    : NULL;
}

static const char *setting_read_step(const char *text, bool first, struct step *ret_step)
{
	size_t length;

	if (*text == '[' && !first)
		return setting_read_index(text, ret_step);
	if (!first && *text++ != '.')
		return NULL;
	length = strcspn(text, ".[=");
	if (length == 0 || length >= sizeof(ret_step->name) || text[length] == '\0')
		return NULL;
	*ret_step = (struct step){ 0 };
	memcpy(ret_step->name, text, length);
	return text + length;
}

/* ---- Places ---- */

/* Return: 0; SETTING_E_PLACE. *ret_value: borrowed; NULL: it is not there. */
static int setting_place_get(struct json_object *container, const struct step *step,
			     struct json_object **ret_value)
{
	enum json_type wanted = step->name[0] != '\0' ? json_type_object : json_type_array;

	if (!json_object_is_type(container, wanted))
		return SETTING_E_PLACE;
	if (wanted == json_type_object) {
		*ret_value = json_object_object_get(container, step->name);
		return 0;
	}
	if (step->index >= json_object_array_length(container))
		return SETTING_E_PLACE;
	*ret_value = json_object_array_get_idx(container, step->index);
	return 0;
}

/* Takes over the value. NULL: takes the place away. */
static int setting_place_put(struct json_object *container, const struct step *step,
			     struct json_object *value)
{
	int r = 0;

	if (step->name[0] == '\0')
		r = value ? json_object_array_put_idx(container, step->index, value)
			  : json_object_array_del_idx(container, step->index, 1);
	else if (value)
		r = json_object_object_add(container, step->name, value);
	else
		json_object_object_del(container, step->name);
	return r < 0 ? -ENOMEM : 0;
}

/* ---- Values ---- */

static struct json_object *setting_words(const char *text)
{
	struct json_object *array = json_object_new_array();

	for (size_t length; *text != '\0'; text += length + (text[length] == ',')) {
		length = strcspn(text, ",");
		json_append(&array, json_object_new_string_len(text, (int)length));
	}
	return array;
}

/* Return: 0, *ret_value NULL where it is none; -ENOMEM. */
static int setting_read_json(const char *text, struct json_object **ret_value)
{
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *document = NULL;
	struct json_error error;
	int r;

	if (asprintf(&document, "{\"value\": %s}", text) < 0)
		return -ENOMEM;
	r = json_parse(document, strlen(document), &tree, &error);
	/* More than one member: the text has ended the value by itself. */
	if (r == -EINVAL || (r == 0 && json_object_object_length(tree) != 1))
		return 0;
	if (r == 0)
		*ret_value = json_object_get(json_object_object_get(tree, "value"));
	return r;
}

static int setting_make_value(struct json_object *old, const char *text,
			      struct json_object **ret_value)
{
	struct json_object *value = NULL;
	int r = 0;

	if (!json_object_is_type(old, json_type_string))
		r = setting_read_json(text, &value);
	if (r < 0)
		return r;
	if (!value && json_object_is_type(old, json_type_array))
		value = setting_words(text);
	else if (!value)
		value = json_object_new_string(text);
	*ret_value = value;
	return value ? 0 : -ENOMEM;
}

/* ---- Settings ---- */

static int setting_put_value(struct json_object *container, const struct step *step,
			     const char *text)
{
	struct json_object *old = NULL, *value = NULL;
	int r;

	r = setting_place_get(container, step, &old);
	if (r == 0 && *text != '\0')
		r = setting_make_value(old, text, &value);
	return r == 0 ? setting_place_put(container, step, value) : r;
}

/* The container of the next step, made if it is missing. */
static int setting_descend(struct json_object **container, const struct step *step)
{
	struct json_object *inner;
	int r;

	r = setting_place_get(*container, step, &inner);
	if (r != 0)
		return r;
	if (!inner) {
		inner = json_object_new_object();
		if (!inner)
			return -ENOMEM;
		r = setting_place_put(*container, step, inner);
	}
	*container = inner;
	return r;
}

int setting_apply(struct json_object *definition, const char *setting)
{
	struct step step;
	const char *rest = setting_read_step(setting, true, &step);
	int r = 0;

	while (r == 0 && rest && *rest != '=') {
		r = setting_descend(&definition, &step);
		rest = setting_read_step(rest, false, &step);
	}
	if (r != 0)
		return r;
	return rest ? setting_put_value(definition, &step, rest + 1) : SETTING_E_FORM;
}
