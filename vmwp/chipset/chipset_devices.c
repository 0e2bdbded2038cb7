/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The devices of a table of rows. */
#include "vmwp/chipset/chipset_devices.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chipset_device {
	const struct chipset_device_ops *ops;
	void *object;
};

/* Addresses that somebody answers. */
struct chipset_claim {
	uint64_t first, last;
	const struct chipset_range *range;
	struct chipset_device *device;
};

struct chipset_claims {
	struct chipset_claim *claims; /* ascending */
	size_t count;
};

/* A line, and its level as last set. */
struct chipset_wire {
	const struct chipset_line *line;
	const void *object;
	bool level;
};

struct chipset_devices {
	struct chipset_config config;
	struct chipset_device *devices;
	size_t count;
	struct chipset_claims spaces[_CHIPSET_SPACES];
	struct chipset_wire *wires;
	size_t wire_count;
};

/* ---- What a table must be ---- */

static bool ranges_are_valid(const struct chipset_range *ranges, size_t max)
{
	for (size_t i = 0; i < max && ranges[i].size > 0; i++) {
		unsigned width = ranges[i].width;

		if ((width != 1 && width != 2 && width != 4 && width != 8) ||
		    ranges[i].first > UINT64_MAX - (ranges[i].size - 1))
			return false;
	}
	return true;
}

/* same: they are of one row. */
static bool ranges_are_apart(const struct chipset_range *a, const struct chipset_range *b,
			     size_t max, bool same)
{
	for (size_t i = 0; i < max && a[i].size > 0; i++)
		for (size_t j = same ? i + 1 : 0; j < max && b[j].size > 0; j++)
			if (a[i].first <= b[j].first + (b[j].size - 1) &&
			    b[j].first <= a[i].first + (a[i].size - 1))
				return false;
	return true;
}

static bool lines_are_apart(const struct chipset_line *a, const struct chipset_line *b, bool same)
{
	for (size_t i = 0; i < CHIPSET_LINES_MAX && a[i].level; i++)
		for (size_t j = same ? i + 1 : 0; j < CHIPSET_LINES_MAX && b[j].level; j++)
			if (a[i].pin == b[j].pin)
				return false;
	return true;
}

static bool rows_are_apart(const struct chipset_device_ops *a, const struct chipset_device_ops *b,
			   bool same)
{
	return ranges_are_apart(a->ports, b->ports, CHIPSET_PORTS_MAX, same) &&
	       ranges_are_apart(a->mmio, b->mmio, CHIPSET_MMIO_MAX, same) &&
	       lines_are_apart(a->lines, b->lines, same) && (same || strcmp(a->name, b->name) != 0);
}

static bool row_is_valid(const struct chipset_device_ops *ops)
{
	return ranges_are_valid(ops->ports, CHIPSET_PORTS_MAX) &&
	       ranges_are_valid(ops->mmio, CHIPSET_MMIO_MAX) &&
	       (ops->size == 0 || (ops->save && ops->restore));
}

bool chipset_table_is_valid(const struct chipset_device_ops *const *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!row_is_valid(table[i]))
			return false;
		for (size_t j = 0; j <= i; j++)
			if (!rows_are_apart(table[i], table[j], i == j))
				return false;
	}
	return true;
}

/* ---- Making and freeing ---- */

static int claim_compare(const void *a, const void *b)
{
	const struct chipset_claim *first = a, *second = b;

	return first->first < second->first ? -1 : first->first > second->first;
}

static void claims_add(struct chipset_claims *claims, struct chipset_device *device,
		       const struct chipset_range *ranges, size_t max)
{
	for (size_t i = 0; i < max && ranges[i].size > 0; i++)
		claims->claims[claims->count++] = (struct chipset_claim){
			.first = ranges[i].first,
			.last = ranges[i].first + ranges[i].size - 1,
			.range = &ranges[i],
			.device = device,
		};
}

static void claims_sort(struct chipset_claims *claims)
{
	qsort(claims->claims, claims->count, sizeof(*claims->claims), claim_compare);
}

static void devices_add_wires(struct chipset_devices *devices, const struct chipset_device *device)
{
	for (size_t i = 0; i < CHIPSET_LINES_MAX && device->ops->lines[i].level; i++) {
		devices->wires[devices->wire_count++] = (struct chipset_wire){
			.line = &device->ops->lines[i],
			.object = device->object,
		};
	}
}

static int devices_allocate(struct chipset_devices *devices, size_t count)
{
	devices->devices = calloc(count, sizeof(*devices->devices));
	devices->wires = calloc(count * CHIPSET_LINES_MAX, sizeof(*devices->wires));
	devices->spaces[CHIPSET_PORTS].claims =
		calloc(count * CHIPSET_PORTS_MAX, sizeof(struct chipset_claim));
	devices->spaces[CHIPSET_MMIO].claims =
		calloc(count * CHIPSET_MMIO_MAX, sizeof(struct chipset_claim));
	return devices->devices && devices->wires && devices->spaces[CHIPSET_PORTS].claims &&
			       devices->spaces[CHIPSET_MMIO].claims
		       ? 0
		       : -ENOMEM;
}

static int devices_add(struct chipset_devices *devices, const struct chipset_device_ops *ops)
{
	struct chipset_device *device = &devices->devices[devices->count];

	device->ops = ops;
	if (ops->size > 0) {
		device->object = calloc(1, ops->size);
		if (!device->object)
			return -ENOMEM;
	}
	devices->count++;
	claims_add(&devices->spaces[CHIPSET_PORTS], device, ops->ports, CHIPSET_PORTS_MAX);
	claims_add(&devices->spaces[CHIPSET_MMIO], device, ops->mmio, CHIPSET_MMIO_MAX);
	devices_add_wires(devices, device);
	if (ops->init)
		ops->init(device->object, &devices->config);
	return 0;
}

int chipset_devices_new(const struct chipset_device_ops *const *table, size_t count,
			const struct chipset_config *config, struct chipset_devices **ret_devices)
{
	CLEANUP(chipset_devices_freep)
	struct chipset_devices *devices = calloc(1, sizeof(*devices));
	int r;

	assert(chipset_table_is_valid(table, count));
	if (!devices)
		return -ENOMEM;
	devices->config = *config;
	devices->config.devices = devices;
	r = devices_allocate(devices, count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = devices_add(devices, table[i]);
	if (r < 0)
		return r;
	for (unsigned space = 0; space < _CHIPSET_SPACES; space++)
		claims_sort(&devices->spaces[space]);
	chipset_devices_reset(devices);
	*ret_devices = TAKE_PTR(devices);
	return 0;
}

void chipset_devices_free(struct chipset_devices *devices)
{
	if (!devices)
		return;
	for (size_t i = 0; i < devices->count; i++)
		free(devices->devices[i].object);
	for (unsigned space = 0; space < _CHIPSET_SPACES; space++)
		free(devices->spaces[space].claims);
	free(devices->devices);
	free(devices->wires);
	free(devices);
}

static struct chipset_device *devices_find(const struct chipset_devices *devices,
					   const struct chipset_device_ops *ops)
{
	size_t i = 0;

	while (i < devices->count && devices->devices[i].ops != ops)
		i++;
	assert(i < devices->count);
	return &devices->devices[i];
}

void *chipset_devices_get(const struct chipset_devices *devices,
			  const struct chipset_device_ops *ops)
{
	return devices_find(devices, ops)->object;
}

/* ---- What changes by itself ---- */

/* Lines of other devices too: one may have told another something. */
static void devices_set_wires(struct chipset_devices *devices)
{
	for (size_t i = 0; i < devices->wire_count; i++) {
		struct chipset_wire *wire = &devices->wires[i];
		bool level = wire->line->level(wire->object);

		if (level == wire->level)
			continue;
		wire->level = level;
		devices->config.callbacks->set_interrupt(devices->config.data, wire->line->pin,
							 level);
	}
}

static void devices_settle(struct chipset_devices *devices, const struct chipset_device *device)
{
	if (device->ops->settle)
		device->ops->settle(device->object);
	devices_set_wires(devices);
}

void chipset_devices_settle(struct chipset_devices *devices, const struct chipset_device_ops *ops)
{
	devices_settle(devices, devices_find(devices, ops));
}

void chipset_devices_reset(struct chipset_devices *devices)
{
	for (size_t i = 0; i < devices->count; i++)
		if (devices->devices[i].ops->reset)
			devices->devices[i].ops->reset(devices->devices[i].object);
	for (size_t i = 0; i < devices->wire_count; i++)
		devices->wires[i].level = false;
	for (size_t i = 0; i < devices->count; i++)
		devices_settle(devices, &devices->devices[i]);
}

/* ---- State ---- */

static void device_state_name(const struct chipset_device *device, char name[STATE_NAME_MAX + 1])
{
	snprintf(name, STATE_NAME_MAX + 1, "chipset/%s", device->ops->name);
}

void chipset_devices_save(const struct chipset_devices *devices, struct state_writer *writer)
{
	for (size_t i = 0; i < devices->count; i++) {
		const struct chipset_device *device = &devices->devices[i];
		char name[STATE_NAME_MAX + 1];

		if (!device->ops->save)
			continue;
		device_state_name(device, name);
		state_begin(writer, name, device->ops->state_version);
		device->ops->save(device->object, writer);
		state_end(writer);
	}
}

/* copy: of the device's object, and then what it is to become. */
static int device_restore(const struct chipset_device *device, void *copy,
			  const struct state_reader *reader, struct failure *failure)
{
	char name[STATE_NAME_MAX + 1];
	struct state_record record;
	int r;

	device_state_name(device, name);
	r = state_find(reader, name, device->ops->state_version, &record);
	if (r == 0)
		r = device->ops->restore(copy, &record);
	if (r == 0 && record.left > 0)
		r = STATE_E_INVALID;
	if (r == 0)
		return 0;
	return failure_set(failure, -EINVAL,
			   "The state of the chipset cannot be restored: its record '%s' %s.", name,
			   state_error_text(r));
}

/* copies: one of each object, in the table's order. */
static int devices_restore_copies(const struct chipset_devices *devices, void **copies,
				  const struct state_reader *reader, struct failure *failure)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < devices->count; i++) {
		const struct chipset_device *device = &devices->devices[i];

		if (!device->object)
			continue;
		copies[i] = malloc(device->ops->size);
		if (!copies[i])
			return -ENOMEM;
		memcpy(copies[i], device->object, device->ops->size);
		r = device_restore(device, copies[i], reader, failure);
	}
	return r;
}

int chipset_devices_restore(struct chipset_devices *devices, const struct state_reader *reader,
			    struct failure *failure)
{
	void **copies = calloc(devices->count, sizeof(*copies));
	int r;

	if (!copies)
		return -ENOMEM;
	r = devices_restore_copies(devices, copies, reader, failure);
	for (size_t i = 0; i < devices->count; i++) {
		if (r == 0 && copies[i])
			memcpy(devices->devices[i].object, copies[i],
			       devices->devices[i].ops->size);
		free(copies[i]);
	}
	free(copies);
	for (size_t i = 0; r == 0 && i < devices->count; i++)
		devices_settle(devices, &devices->devices[i]);
	return r;
}

/* ---- Inspection ---- */

static struct json_object *device_inspect(const struct chipset_device *device)
{
	struct json_object *tree = json_object_new_object(), *asserts = json_object_new_array();

	for (size_t i = 0; i < CHIPSET_LINES_MAX && device->ops->lines[i].level; i++)
		if (device->ops->lines[i].level(device->object))
			json_append(&asserts, json_object_new_int64(device->ops->lines[i].pin));
	device->ops->inspect(device->object, &tree);
	json_add(&tree, "asserts", asserts);
	return tree;
}

struct json_object *chipset_devices_inspect(const struct chipset_devices *devices)
{
	struct json_object *tree = json_object_new_object();

	for (size_t i = 0; i < devices->count; i++)
		if (devices->devices[i].ops->inspect)
			json_add(&tree, devices->devices[i].ops->name,
				 device_inspect(&devices->devices[i]));
	return tree;
}

/* ---- Accesses ---- */

static const struct chipset_claim *claims_find(const struct chipset_claims *claims,
					       uint64_t address)
{
	size_t low = 0, high = claims->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (address > claims->claims[middle].last)
			low = middle + 1;
		else if (address < claims->claims[middle].first)
			high = middle;
		else
			return &claims->claims[middle];
	}
	return NULL;
}

/* How many bytes the device gets at once. */
static unsigned range_piece(const struct chipset_range *range, uint64_t offset, unsigned left)
{
	unsigned piece = range->width;

	while (piece > left || offset % piece != 0 || piece > range->size - offset)
		piece /= 2;
	return piece;
}

static enum power_request claim_access(const struct chipset_claim *claim, uint64_t offset,
				       unsigned size, bool write, uint8_t *bytes)
{
	const struct chipset_range *range = claim->range;
	uint64_t value = UINT64_MAX;

	if (write) {
		value = 0;
		memcpy(&value, bytes, size);
		return range->write ? range->write(claim->device->object, offset, size, value)
				    : POWER_NOTHING;
	}
	if (range->read)
		value = range->read(claim->device->object, offset, size);
	memcpy(bytes, &value, size);
	return POWER_NOTHING;
}

enum power_request chipset_devices_access(struct chipset_devices *devices, enum chipset_space space,
					  uint64_t address, unsigned size, bool write,
					  uint8_t *bytes)
{
	enum power_request request = POWER_NOTHING;
	unsigned piece;

	for (unsigned i = 0; i < size && request == POWER_NOTHING; i += piece) {
		const struct chipset_claim *claim =
			claims_find(&devices->spaces[space], address + i);

		piece = 1;
		if (claim) {
			uint64_t offset = address + i - claim->first;

			piece = range_piece(claim->range, offset, size - i);
			request = claim_access(claim, offset, piece, write, bytes + i);
			devices_settle(devices, claim->device);
		} else if (!write) {
			bytes[i] = 0xff;
		}
	}
	return request;
}
