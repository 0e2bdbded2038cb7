/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VHDX image says of its disk: sizes, and the parent. */
#include "common/base/cleanup.h"
#include "common/base/utf16.h"
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOCATOR_ENTRIES_MAX 64u
#define LOCATOR_SIZE_MAX    65536u

/* What has been found of the items that every image must have. */
struct vhdx_found {
	bool parameters, size, id, sector, physical, locator;
};

/* ---- The parent ---- */

static int vhdx_take_guid(const char *text, struct guid *ret_guid)
{
	char inner[GUID_TEXT_SIZE];
	size_t length = strlen(text);

	if (length != GUID_TEXT_SIZE + 1 || text[0] != '{' || text[length - 1] != '}')
		return VHDX_E_METADATA;
	memcpy(inner, text + 1, sizeof(inner) - 1);
	inner[sizeof(inner) - 1] = '\0';
	return guid_parse(inner, ret_guid) < 0 ? VHDX_E_METADATA : 0;
}

static int vhdx_take_parent(struct vhdx_parent *parent, const char *key, const char *value)
{
	if (strcmp(key, "parent_linkage") == 0)
		return vhdx_take_guid(value, &parent->linkage);
	if (strcmp(key, "parent_linkage2") == 0)
		return vhdx_take_guid(value, &parent->linkage2);
	if (strcmp(key, "relative_path") == 0)
		strcpy(parent->relative, value);
	else if (strcmp(key, "volume_path") == 0)
		strcpy(parent->volume, value);
	else if (strcmp(key, "absolute_win32_path") == 0)
		strcpy(parent->absolute, value);
	return 0;
}

/* Text that is cut off names something else. */
static int vhdx_take_text(const uint8_t *locator, uint32_t size, uint32_t offset, uint16_t length,
			  char text[static VHDX_PATH_MAX])
{
	if (offset > size || length > size - offset || length % 2 || length == 0 ||
	    length / 2 * 3 >= VHDX_PATH_MAX)
		return VHDX_E_METADATA;
	utf16_to_utf8(text, VHDX_PATH_MAX, locator + offset, length);
	return 0;
}

static int vhdx_take_locator(struct vhdx *vhdx, const uint8_t *bytes, uint32_t size)
{
	const struct vhdx_locator *locator = (const struct vhdx_locator *)bytes;
	char key[VHDX_PATH_MAX], value[VHDX_PATH_MAX];
	int r = 0;

	if (size < sizeof(*locator) || locator->count > LOCATOR_ENTRIES_MAX ||
	    size - sizeof(*locator) < locator->count * sizeof(struct vhdx_locator_entry))
		return VHDX_E_METADATA;
	if (!guid_equal(&locator->type, &VHDX_LOCATOR_TYPE))
		return VHDX_E_UNSUPPORTED;
	for (unsigned i = 0; r == 0 && i < locator->count; i++) {
		struct vhdx_locator_entry entry;

		memcpy(&entry, bytes + sizeof(*locator) + i * sizeof(entry), sizeof(entry));
		r = vhdx_take_text(bytes, size, entry.key_offset, entry.key_length, key);
		if (r == 0)
			r = vhdx_take_text(bytes, size, entry.value_offset, entry.value_length,
					   value);
		if (r == 0)
			r = vhdx_take_parent(&vhdx->parent, key, value);
	}
	return r;
}

/* ---- Items ---- */

static int vhdx_take_number(const uint8_t *bytes, uint32_t length, void *value, size_t size,
			    bool *found)
{
	if (length != size || *found)
		return VHDX_E_METADATA;
	memcpy(value, bytes, size);
	*found = true;
	return 0;
}

static int vhdx_take_parameters(struct vhdx *vhdx, const uint8_t *bytes, uint32_t length,
				bool *found)
{
	struct vhdx_parameters parameters;
	int r = vhdx_take_number(bytes, length, &parameters, sizeof(parameters), found);

	if (r)
		return r;
	vhdx->block_size = parameters.block_size;
	vhdx->fixed = parameters.flags & VHDX_PARAMETER_FIXED;
	vhdx->has_parent = parameters.flags & VHDX_PARAMETER_PARENT;
	return 0;
}

static int vhdx_take_item(struct vhdx *vhdx, const struct vhdx_item *item, const uint8_t *bytes,
			  struct vhdx_found *found)
{
	if (guid_equal(&item->id, &VHDX_ITEM_PARAMETERS))
		return vhdx_take_parameters(vhdx, bytes, item->length, &found->parameters);
	if (guid_equal(&item->id, &VHDX_ITEM_SIZE)) {
		vhdx->size_offset = vhdx->metadata_offset + item->offset;
		return vhdx_take_number(bytes, item->length, &vhdx->size, sizeof(vhdx->size),
					&found->size);
	}
	if (guid_equal(&item->id, &VHDX_ITEM_ID))
		return vhdx_take_number(bytes, item->length, &vhdx->id, sizeof(vhdx->id),
					&found->id);
	if (guid_equal(&item->id, &VHDX_ITEM_SECTOR))
		return vhdx_take_number(bytes, item->length, &vhdx->sector_size,
					sizeof(vhdx->sector_size), &found->sector);
	if (guid_equal(&item->id, &VHDX_ITEM_PHYSICAL))
		return vhdx_take_number(bytes, item->length, &vhdx->physical_sector_size,
					sizeof(vhdx->physical_sector_size), &found->physical);
	if (guid_equal(&item->id, &VHDX_ITEM_LOCATOR)) {
		found->locator = true;
		return vhdx_take_locator(vhdx, bytes, item->length);
	}
	return item->flags & VHDX_ITEM_REQUIRED ? VHDX_E_UNSUPPORTED : 0;
}

/* Only what is known is read: of other items it is enough that they are optional. */
static int vhdx_read_item(const struct vhdx_file *file, const struct vhdx_patches *patches,
			  struct vhdx *vhdx, const struct vhdx_item *item, uint8_t *buffer,
			  struct vhdx_found *found)
{
	int r;

	if (item->flags & VHDX_ITEM_USER)
		return item->flags & VHDX_ITEM_REQUIRED ? VHDX_E_UNSUPPORTED : 0;
	if (item->length == 0 || item->length > LOCATOR_SIZE_MAX)
		return item->flags & VHDX_ITEM_REQUIRED ? VHDX_E_METADATA : 0;
	if (item->offset < VHDX_ITEMS_SIZE || item->offset > vhdx->metadata_size ||
	    item->length > vhdx->metadata_size - item->offset)
		return VHDX_E_METADATA;
	r = vhdx_read_patched(file, patches, vhdx->metadata_offset + item->offset, buffer,
			      item->length);
	return r ? r : vhdx_take_item(vhdx, item, buffer, found);
}

static bool vhdx_is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

static int vhdx_check_disk(const struct vhdx *vhdx, const struct vhdx_found *found)
{
	if (!found->parameters || !found->size || !found->id || !found->sector ||
	    !found->physical || found->locator != vhdx->has_parent)
		return VHDX_E_METADATA;
	if (!vhdx_is_power_of_two(vhdx->block_size) || vhdx->block_size < VHDX_BLOCK_MIN ||
	    vhdx->block_size > VHDX_BLOCK_MAX)
		return VHDX_E_METADATA;
	if ((vhdx->sector_size != 512 && vhdx->sector_size != 4096) ||
	    (vhdx->physical_sector_size != 512 && vhdx->physical_sector_size != 4096))
		return VHDX_E_METADATA;
	if (vhdx->size == 0 || vhdx->size > VHDX_DISK_MAX || vhdx->size % vhdx->sector_size)
		return VHDX_E_METADATA;
	return 0;
}

int vhdx_metadata_read(const struct vhdx_file *file, const struct vhdx_patches *patches,
		       struct vhdx *vhdx)
{
	AUTO_FREE uint8_t *table = malloc(VHDX_ITEMS_SIZE), *buffer = malloc(LOCATOR_SIZE_MAX);
	const struct vhdx_items *head = (const struct vhdx_items *)table;
	struct vhdx_found found = { 0 };
	int r;

	if (!table || !buffer)
		return -ENOMEM;
	r = vhdx_read_patched(file, patches, vhdx->metadata_offset, table, VHDX_ITEMS_SIZE);
	if (r)
		return r;
	if (head->signature != VHDX_METADATA_SIGNATURE || head->count > VHDX_ITEMS_MAX)
		return VHDX_E_METADATA;
	for (unsigned i = 0; r == 0 && i < head->count; i++)
		r = vhdx_read_item(file, patches, vhdx, (const struct vhdx_item *)(head + 1) + i,
				   buffer, &found);
	if (r == 0)
		r = vhdx_check_disk(vhdx, &found);
	if (r)
		return r;
	vhdx_derive(vhdx);
	return vhdx->bat_count > vhdx->bat_size / sizeof(uint64_t) ? VHDX_E_METADATA : 0;
}
