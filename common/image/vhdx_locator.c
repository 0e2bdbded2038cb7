/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a VHDX image names its parent: written, also into an image that is there.
 *
 * What is written anew comes to a place among the other items of the metadata, with its entry in
 * their table, by one entry of the log.
 */
#include "common/image/vhdx_merge.h"

#include "common/base/cleanup.h"
#include "common/base/utf16.h"
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Its bytes ---- */

struct locator_text {
	const char *key;
	const char *value;
};

/* Appends text without a NUL. Return: its bytes; 0: it is no text, or too long. */
static uint16_t locator_add_text(uint8_t *buffer, uint32_t *used, const char *text)
{
	size_t size = utf16_from_utf8(buffer + *used, 2 * VHDX_PATH_MAX, text);

	size = size >= 2 ? size - 2 : 0;
	*used += (uint32_t)size;
	return (uint16_t)size;
}

static void locator_format(const struct guid *guid, char text[static GUID_TEXT_SIZE + 2])
{
	char inner[GUID_TEXT_SIZE];

	guid_format(guid, inner);
	snprintf(text, GUID_TEXT_SIZE + 2, "{%s}", inner);
}

int vhdx_locator_make(void *buffer, const struct vhdx_parent *parent, uint32_t *ret_size)
{
	char linkage[GUID_TEXT_SIZE + 2], linkage2[GUID_TEXT_SIZE + 2] = "";
	const struct locator_text texts[] = { { "parent_linkage", linkage },
					      { "parent_linkage2", linkage2 },
					      { "relative_path", parent->relative },
					      { "volume_path", parent->volume },
					      { "absolute_win32_path", parent->absolute } };
	struct vhdx_locator *locator = buffer;
	struct vhdx_locator_entry *entries = (struct vhdx_locator_entry *)(locator + 1);
	uint32_t used = sizeof(*locator) + sizeof(*entries) * ARRAY_SIZE(texts);

	memset(buffer, 0, VHDX_LOCATOR_MAX);
	locator_format(&parent->linkage, linkage);
	if (!guid_is_null(&parent->linkage2))
		locator_format(&parent->linkage2, linkage2);
	locator->type = VHDX_LOCATOR_TYPE;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct vhdx_locator_entry *entry = &entries[locator->count];

		if (!texts[i].value[0])
			continue;
		entry->key_offset = used;
		entry->key_length = locator_add_text(buffer, &used, texts[i].key);
		entry->value_offset = used;
		entry->value_length = locator_add_text(buffer, &used, texts[i].value);
		if (!entry->value_length)
			return -EINVAL;
		locator->count++;
	}
	*ret_size = used;
	return parent->relative[0] || parent->volume[0] || parent->absolute[0] ? 0 : -EINVAL;
}

/* ---- In an image that is there ---- */

struct relink {
	uint8_t *table;   /* of the items */
	uint8_t *locator; /* as it is going to be */
	uint32_t size;
	unsigned item; /* the number of its own */
};

static struct vhdx_item *relink_items(const struct relink *relink)
{
	return (struct vhdx_item *)((struct vhdx_items *)relink->table + 1);
}

static unsigned relink_count(const struct relink *relink)
{
	return MIN(((struct vhdx_items *)relink->table)->count, VHDX_ITEMS_MAX);
}

/* Whether no other item is there. */
static bool relink_is_free(const struct relink *relink, uint32_t metadata_size, uint64_t place)
{
	const struct vhdx_item *items = relink_items(relink);

	if (place < VHDX_ITEMS_SIZE || place + relink->size > metadata_size)
		return false;
	for (unsigned i = 0; i < relink_count(relink); i++) {
		if (i != relink->item && items[i].length &&
		    place < (uint64_t)items[i].offset + items[i].length &&
		    items[i].offset < place + relink->size)
			return false;
	}
	return true;
}

/* Return: 0; VHDX_E_UNSUPPORTED: the metadata are full. */
static int relink_find_place(struct relink *relink, uint32_t metadata_size)
{
	struct vhdx_item *items = relink_items(relink);
	uint64_t place = VHDX_ITEMS_SIZE;

	for (unsigned i = 0; !relink_is_free(relink, metadata_size, place); i++) {
		if (i == relink_count(relink))
			return VHDX_E_UNSUPPORTED;
		place = ALIGN_UP((uint64_t)items[i].offset + items[i].length, 8u);
	}
	items[relink->item].offset = (uint32_t)place;
	items[relink->item].length = relink->size;
	return 0;
}

static int relink_read(struct relink *relink, const struct vhdx_file *file, const struct vhdx *vhdx)
{
	int r = vhdx_read(file, vhdx->metadata_offset, relink->table, VHDX_ITEMS_SIZE);

	if (r)
		return r;
	while (relink->item < relink_count(relink) &&
	       !guid_equal(&relink_items(relink)[relink->item].id, &VHDX_ITEM_LOCATOR))
		relink->item++;
	return relink->item < relink_count(relink) ? relink_find_place(relink, vhdx->metadata_size)
						   : VHDX_E_METADATA;
}

static int relink_write(struct vhdx_editor *editor, uint64_t offset, const uint8_t *bytes,
			uint32_t size)
{
	int r = 0;

	while (r == 0 && size) {
		uint32_t part = MIN(size, VHDX_PAGE - (uint32_t)(offset % VHDX_PAGE));
		uint8_t *page;

		r = vhdx_edit_page(editor, ALIGN_DOWN(offset, VHDX_PAGE), &page);
		if (r == 0)
			memcpy(page + offset % VHDX_PAGE, bytes, part);
		offset += part;
		bytes += part;
		size -= part;
	}
	return r;
}

static int relink_run(const struct relink *relink, struct vhdx_editor *editor)
{
	const struct vhdx *vhdx = editor->vhdx;
	const struct vhdx_item *item = &relink_items(relink)[relink->item];
	uint64_t entry = (uint64_t)((const uint8_t *)item - relink->table);
	int r;

	_Static_assert(2 + VHDX_LOCATOR_MAX / VHDX_PAGE + 1 <= VHDX_ENTRY_PAGES,
		       "one entry of the log");
	r = relink_write(editor, vhdx->metadata_offset + item->offset, relink->locator,
			 relink->size);
	if (r == 0)
		r = relink_write(editor, vhdx->metadata_offset + entry, (const uint8_t *)item,
				 sizeof(*item));
	if (r == 0)
		r = vhdx_edit_commit_entries(editor);
	return r == 0 ? vhdx_edit_end(editor) : r;
}

int vhdx_relink(struct vhdx_file *file, struct vhdx *vhdx, const struct vhdx_parent *parent)
{
	const struct guid data_write = vhdx->header.data_write;
	struct relink relink = { .table = malloc(VHDX_ITEMS_SIZE),
				 .locator = malloc(VHDX_LOCATOR_MAX) };
	struct vhdx_editor editor = { 0 };
	int r = relink.table && relink.locator ? 0 : -ENOMEM;

	if (r == 0)
		r = vhdx_locator_make(relink.locator, parent, &relink.size);
	if (r == 0)
		r = relink_read(&relink, file, vhdx);
	if (r == 0)
		r = vhdx_edit_begin_as(&editor, file, vhdx, &data_write);
	if (r == 0)
		r = relink_run(&relink, &editor);
	if (r == 0)
		vhdx->parent = *parent;
	vhdx_edit_abandon(&editor);
	free(relink.table);
	free(relink.locator);
	return r;
}
