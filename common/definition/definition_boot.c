/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "boot_order". */
#include "common/definition/definition.h"

static const struct json_key drive_key = { .name = "boot_order",
					   .read = json_read_enum,
					   .detail = definition_drive_names };

static bool order_has(const struct definition_boot_order *order, enum definition_drive drive)
{
	for (unsigned i = 0; i < order->count; i++)
		if (order->drives[i] == drive)
			return true;
	return false;
}

static int read_drive(struct json_reader *reader, struct json_object *value,
		      struct definition_boot_order *order)
{
	enum definition_drive drive;
	int r = json_read_enum(reader, &drive_key, value, &drive);

	if (r < 0)
		return r;
	if (order_has(order, drive))
		return json_refuse(reader, value, "is there twice");
	order->drives[order->count++] = drive;
	return 0;
}

int definition_boot_order_read(struct json_reader *reader, const struct json_key *key,
			       struct json_object *value, void *target)
{
	struct definition_boot_order *order = target;

	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value,
				   "must be an array of \"disk\" and \"dvd\", not %s",
				   json_type_text(value));
	order->count = 0;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		size_t mark = json_enter_index(reader, i);
		int r = read_drive(reader, json_object_array_get_idx(value, i), order);

		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

struct json_object *definition_boot_order_to_json(const struct definition_boot_order *order)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < order->count; i++)
		json_append(&array,
			    json_object_new_string(definition_drive_names[order->drives[i]]));
	return array;
}

enum definition_drive definition_boot_order_drive(const struct definition_boot_order *order,
						  unsigned rank)
{
	if (rank < order->count)
		return order->drives[rank];
	rank -= order->count;
	for (unsigned drive = 0; drive < DEFINITION_DRIVES; drive++)
		if (!order_has(order, (enum definition_drive)drive) && rank-- == 0)
			return (enum definition_drive)drive;
	return DEFINITION_DRIVE_DISK;
}
