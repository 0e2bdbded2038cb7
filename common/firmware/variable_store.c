/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Variables in the flash of a UEFI. */
#include "common/firmware/variable_store.h"

#include <string.h>

struct volume_header {
	uint8_t zero[16];
	struct guid file_system;
	uint64_t length;
	char signature[4]; /* "_FVH" */
	uint32_t attributes;
	uint16_t header_length, checksum;
	uint8_t rest[4];
} PACKED;
_Static_assert(sizeof(struct volume_header) == 56, "PiFirmwareVolume.h");

struct store_header {
	struct guid signature;
	uint32_t size; /* with this header */
	uint8_t format, state;
	uint8_t reserved[6];
} PACKED;
_Static_assert(sizeof(struct store_header) == 28, "VariableFormat.h");

struct variable_header {
	uint16_t start;
	uint8_t state, reserved;
	uint32_t attributes;
	uint64_t monotonic_count;
	uint8_t time[16];
	uint32_t key;
	uint32_t name_size, data_size; /* bytes; the name is UTF-16 with its NUL */
	struct guid vendor;
} PACKED;
_Static_assert(sizeof(struct variable_header) == 60, "VariableFormat.h");

#define START         0x55aa
#define ADDED         0x3f
#define IN_TRANSITION 0x3e /* it counts until another takes its place */
#define DELETED_MASK  0xfd
#define FORMATTED     0x5a
#define HEALTHY       0xfe
#define ALIGNMENT     4u
#define ERASED        0xff

_Static_assert(UINT16_MAX + sizeof(struct store_header) <= VARIABLES_SIZE, "it lies in the flash");

static const struct guid authenticated_store =
	GUID(0xaaf32c78, 0x947b, 0x439a, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92);

bool variable_store_open(const uint8_t bytes[static VARIABLES_SIZE],
			 struct variable_store *ret_store)
{
	struct volume_header volume;
	struct store_header store;

	memcpy(&volume, bytes, sizeof(volume));
	if (memcmp(volume.signature, "_FVH", sizeof(volume.signature)) != 0 ||
	    volume.header_length < sizeof(volume))
		return false;
	memcpy(&store, bytes + volume.header_length, sizeof(store));
	if (!guid_equal(&store.signature, &authenticated_store) || store.format != FORMATTED ||
	    store.state != HEALTHY || store.size < sizeof(store) ||
	    store.size > VARIABLES_SIZE - volume.header_length)
		return false;
	*ret_store = (struct variable_store){
		.bytes = bytes,
		.next = volume.header_length + sizeof(store),
		.end = volume.header_length + (size_t)store.size,
	};
	return true;
}

static void variable_take_name(const uint8_t *name, uint32_t size, char *text)
{
	for (uint32_t i = 0; i + 1 < size && i / 2 < VARIABLE_NAME_MAX; i += 2) {
		if (name[i] == 0 && name[i + 1] == 0)
			return;
		*text++ =
			name[i + 1] == 0 && name[i] >= ' ' && name[i] <= '~' ? (char)name[i] : '?';
	}
}

/* Whatever its state. Return: false: there are no more. */
static bool variable_read(struct variable_store *store, struct variable_header *ret_header,
			  struct variable *ret_variable)
{
	size_t at = ALIGN_UP(store->next, ALIGNMENT), room;
	const uint8_t *name = store->bytes + at + sizeof(*ret_header);

	if (at + sizeof(*ret_header) > store->end)
		return false;
	memcpy(ret_header, store->bytes + at, sizeof(*ret_header));
	room = store->end - at - sizeof(*ret_header);
	if (ret_header->start != START || ret_header->name_size > room ||
	    ret_header->data_size > room - ret_header->name_size)
		return false;
	*ret_variable = (struct variable){ .vendor = ret_header->vendor,
					   .attributes = ret_header->attributes,
					   .data = name + ret_header->name_size,
					   .size = ret_header->data_size,
					   .offset = at };
	variable_take_name(name, ret_header->name_size, ret_variable->name);
	store->next = at + sizeof(*ret_header) + ret_header->name_size + ret_header->data_size;
	return true;
}

bool variable_store_next(struct variable_store *store, struct variable *ret_variable)
{
	struct variable_header header;

	while (variable_read(store, &header, ret_variable))
		if (header.state == ADDED || header.state == IN_TRANSITION)
			return true;
	return false;
}

bool variable_store_find(const uint8_t bytes[static VARIABLES_SIZE], const struct guid *vendor,
			 const char *name, struct variable *ret_variable)
{
	struct variable_store store;

	if (!variable_store_open(bytes, &store))
		return false;
	while (variable_store_next(&store, ret_variable))
		if (guid_equal(&ret_variable->vendor, vendor) &&
		    strcmp(ret_variable->name, name) == 0)
			return true;
	return false;
}

static bool bytes_are_erased(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != ERASED)
			return false;
	return true;
}

static void variable_write(uint8_t *at, const struct variable_header *header, const char *name,
			   const void *data)
{
	memcpy(at, header, sizeof(*header));
	at += sizeof(*header);
	for (uint32_t i = 0; i < header->name_size; i += 2) {
		at[i] = (uint8_t)*name;
		at[i + 1] = 0;
		name += *name != '\0';
	}
	memcpy(at + header->name_size, data, header->data_size);
}

bool variable_store_set(uint8_t bytes[static VARIABLES_SIZE], const struct guid *vendor,
			const char *name, uint32_t attributes, const void *data, uint32_t size)
{
	const struct variable_header header = { .start = START,
						.state = ADDED,
						.attributes = attributes,
						.name_size = (uint32_t)(2 * strlen(name) + 2),
						.data_size = size,
						.vendor = *vendor };
	uint64_t need = sizeof(header) + (uint64_t)header.name_size + size;
	struct variable_header any;
	struct variable_store store;
	struct variable variable;
	size_t at;

	if (!variable_store_open(bytes, &store))
		return false;
	while (variable_read(&store, &any, &variable))
		;
	at = ALIGN_UP(store.next, ALIGNMENT);
	if (at > store.end || need > store.end - at || !bytes_are_erased(bytes + at, need))
		return false;
	while (variable_store_find(bytes, vendor, name, &variable))
		bytes[variable.offset + offsetof(struct variable_header, state)] &= DELETED_MASK;
	variable_write(bytes + at, &header, name, data);
	return true;
}
