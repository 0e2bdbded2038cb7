/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The definition of a virtual switch, read by a table of keys and written again. */
#include "vmms/network/vswitch_definition.h"

#include "common/base/file.h"
#include "common/definition/definition.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

const char *const vswitch_type_names[] = { "private", "internal", "external", NULL };

/* ---- What texts may look like ---- */

static bool definition_interface_is_valid(const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name != '\0'; name++) {
		if (!isgraph((unsigned char)*name) || strchr("/:%", *name))
			return false;
	}
	return true;
}

static const struct json_text_rule name_rule = {
	definition_switch_name_is_valid,
	"must begin with a letter or digit, hold letters, digits, '-', '_' and '.' alone, and not "
	"be \"default\" or \"none\"",
};
static const struct json_text_rule interface_rule = {
	definition_interface_is_valid,
	"must be the name of a network interface",
};

/* ---- Reading ---- */

static int definition_read_address(struct json_reader *reader, struct json_object *element,
				   struct vswitch_definition *definition)
{
	__typeof__(definition->addresses[0]) *next =
		&definition->addresses[definition->address_count];

	if (!json_object_is_type(element, json_type_string) ||
	    network_address_parse(json_object_get_string(element), &next->address) < 0)
		return json_refuse(reader, element,
				   "must be an address and the length of its prefix, such as "
				   "\"192.0.2.1/24\" or \"2001:db8::1/64\"");
	for (size_t i = 0; i < definition->address_count; i++) {
		if (strcmp(definition->addresses[i].text, json_object_get_string(element)) == 0)
			return json_refuse(reader, element, "is there already");
	}
	next->text = strdup(json_object_get_string(element));
	if (!next->text)
		return -ENOMEM;
	definition->address_count++;
	return 0;
}

static int definition_read_addresses(struct json_reader *reader, const struct json_key *key,
				     struct json_object *value, void *target)
{
	size_t mark;
	int r;

	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value, "must be an array of addresses, not %s",
				   json_type_text(value));
	if (json_object_array_length(value) > VSWITCH_ADDRESSES_MAX)
		return json_refuse(reader, value, "are %zu addresses; at most %d are possible",
				   json_object_array_length(value), VSWITCH_ADDRESSES_MAX);
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		mark = json_enter_index(reader, i);
		r = definition_read_address(reader, json_object_array_get_idx(value, i), target);
		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

#define MEMBER(member) offsetof(struct vswitch_definition, member)

static const struct json_key keys[] = {
	{ .name = "version", .read = json_read_version, .minimum = VSWITCH_DEFINITION_VERSION },
	{ .name = "name",
	  .read = json_read_string,
	  .offset = MEMBER(name),
	  .minimum = 1,
	  .maximum = DEFINITION_SWITCH_NAME_MAX,
	  .detail = &name_rule,
	  .required = true },
	{ .name = "uuid", .read = json_read_guid, .offset = MEMBER(uuid) },
	{ .name = "notes",
	  .read = json_read_string,
	  .offset = MEMBER(notes),
	  .maximum = VSWITCH_NOTES_MAX },
	{ .name = "type",
	  .read = json_read_enum,
	  .offset = MEMBER(type),
	  .detail = vswitch_type_names,
	  .required = true },
	{ .name = "bridge",
	  .read = json_read_string,
	  .offset = MEMBER(bridge),
	  .minimum = 1,
	  .maximum = IFNAMSIZ - 1,
	  .detail = &interface_rule },
	{ .name = "interface",
	  .read = json_read_string,
	  .offset = MEMBER(interface),
	  .minimum = 1,
	  .maximum = IFNAMSIZ - 1,
	  .detail = &interface_rule },
	{ .name = "addresses", .read = definition_read_addresses },
	{ .name = "mtu",
	  .read = json_read_unsigned,
	  .offset = MEMBER(mtu),
	  .minimum = VSWITCH_MTU_MIN,
	  .maximum = VSWITCH_MTU_MAX },
};

/* Keys that go with some types alone. */
static const struct {
	const char *name;
	enum vswitch_type type;
	const char *message;
} bound_keys[] = {
	{ "bridge", VSWITCH_EXTERNAL, "goes with the type \"external\" alone" },
	{ "interface", VSWITCH_EXTERNAL, "goes with the type \"external\" alone" },
	{ "addresses", VSWITCH_INTERNAL, "goes with the type \"internal\" alone" },
	{ "mtu", VSWITCH_INTERNAL, "goes with the type \"internal\" alone" },
};

static int definition_check(struct json_reader *reader, struct json_object *object,
			    const struct vswitch_definition *definition)
{
	struct json_object *value;

	for (size_t i = 0; i < ARRAY_SIZE(bound_keys); i++) {
		if (definition->type == bound_keys[i].type ||
		    !json_object_object_get_ex(object, bound_keys[i].name, &value))
			continue;
		json_enter_key(reader, bound_keys[i].name);
		return json_refuse(reader, value, "%s", bound_keys[i].message);
	}
	if (definition->type == VSWITCH_EXTERNAL && !definition->bridge == !definition->interface)
		return json_refuse(reader, object,
				   "an external switch has either a bridge (--bridge) or an "
				   "interface (--interface); name one of the two");
	return 0;
}

int vswitch_definition_parse(const char *text, size_t size,
			     struct vswitch_definition **ret_definition,
			     struct json_error *ret_error)
{
	CLEANUP(vswitch_definition_freep)
	struct vswitch_definition *definition = calloc(1, sizeof(*definition));
	struct json_reader reader = JSON_READER(ret_error);
	AUTO_JSON struct json_object *tree = NULL;
	int r;

	if (!definition)
		return -ENOMEM;
	definition->notes = strdup("");
	if (!definition->notes)
		return -ENOMEM;
	r = json_read_text(text, size, VSWITCH_SIZE_MAX, keys, ARRAY_SIZE(keys), definition, &tree,
			   ret_error);
	if (r == 0)
		r = definition_check(&reader, tree, definition);
	if (r < 0)
		return r;
	*ret_definition = TAKE_PTR(definition);
	return 0;
}

int vswitch_definition_load(const char *path, struct vswitch_definition **ret_definition,
			    struct json_error *ret_error)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int r;

	r = file_read(path, VSWITCH_SIZE_MAX, &text, &size);
	return r < 0 ? r : vswitch_definition_parse(text, size, ret_definition, ret_error);
}

void vswitch_definition_free(struct vswitch_definition *definition)
{
	if (!definition)
		return;
	for (size_t i = 0; i < definition->address_count; i++)
		free(definition->addresses[i].text);
	free(definition->name);
	free(definition->notes);
	free(definition->bridge);
	free(definition->interface);
	free(definition);
}

/* ---- Writing ---- */

static struct json_object *definition_addresses_to_json(const struct vswitch_definition *definition)
{
	struct json_object *addresses = json_object_new_array();

	for (size_t i = 0; i < definition->address_count; i++)
		json_append(&addresses, json_object_new_string(definition->addresses[i].text));
	return addresses;
}

struct json_object *vswitch_definition_to_json(const struct vswitch_definition *definition)
{
	struct json_object *object;
	char uuid[GUID_TEXT_SIZE];

	guid_format(&definition->uuid, uuid);
	object = json_make("version", json_object_new_int64(VSWITCH_DEFINITION_VERSION), "name",
			   json_object_new_string(definition->name), NULL);
	if (!guid_is_null(&definition->uuid))
		json_add(&object, "uuid", json_object_new_string(uuid));
	json_add(&object, "notes", json_object_new_string(definition->notes));
	json_add(&object, "type", json_object_new_string(vswitch_type_names[definition->type]));
	if (definition->bridge)
		json_add(&object, "bridge", json_object_new_string(definition->bridge));
	if (definition->interface)
		json_add(&object, "interface", json_object_new_string(definition->interface));
	if (definition->type == VSWITCH_INTERNAL)
		json_add(&object, "addresses", definition_addresses_to_json(definition));
	if (definition->mtu > 0)
		json_add(&object, "mtu", json_object_new_int64(definition->mtu));
	return object;
}

char *vswitch_definition_to_text(const struct vswitch_definition *definition)
{
	AUTO_JSON struct json_object *tree = vswitch_definition_to_json(definition);
	const char *text;

	text = tree ? json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_SPACED |
								   JSON_C_TO_STRING_NOSLASHESCAPE)
		    : NULL;
	return text ? strdup(text) : NULL;
}
