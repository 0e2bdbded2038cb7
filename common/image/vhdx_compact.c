/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHDX images that are made as small as what is in them.
 *
 * Blocks are copied from the end of the file to places that nothing uses, and the table names the
 * new places when the copies are durable. A place that has become free is not used again before
 * the table has been written; so each step of the log finds all that it names.
 */
#include "common/image/vhdx_change.h"

#include "common/base/cleanup.h"
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (1u << 20)
#define BATCH (UINT64_C(64) << 20) /* bytes that are copied before the table is written */

struct compact {
	struct vhdx_file *file;
	struct vhdx *vhdx;
	const struct vhdx_follower *follower;
	struct vhdx_editor editor;
	struct vhdx_places places;
	uint8_t *buffer; /* PIECE bytes */
	uint64_t done, total;

	/* Where room is looked for: behind the place of that number. */
	size_t behind;
	uint64_t room; /* the first byte that may be free there */
};

static int compact_step(struct compact *compact, uint64_t bytes)
{
	compact->done += bytes;
	return compact->follower->goes_on(compact->follower->data, compact->done, compact->total)
		       ? 0
		       : -ECANCELED;
}

static bool compact_is_block(const struct compact *compact, const struct vhdx_place *place)
{
	return place->index != UINT64_MAX;
}

/* ---- What holds zeros alone ---- */

static bool compact_is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Return: 1: zeros; 0; VHDX_E_; -errno. */
static int compact_look(struct compact *compact, const struct vhdx_place *place, bool *ret_zero)
{
	int r = 0;

	*ret_zero = true;
	for (uint64_t at = 0; r == 0 && *ret_zero && at < place->size; at += PIECE) {
		r = vhdx_read(compact->file, place->offset + at, compact->buffer, PIECE);
		*ret_zero = r == 0 && compact_is_zero(compact->buffer, PIECE);
	}
	return r ? r : compact_step(compact, place->size);
}

/* Of a block that was given back, its entry tells, whatever its place holds. */
static int compact_is_unneeded(struct compact *compact, const struct vhdx_place *place,
			       bool *ret_unneeded)
{
	struct vhdx_patches none = { .file_size = compact->file->size };
	uint64_t page[VHDX_PAGE / sizeof(uint64_t)], byte = place->index * sizeof(uint64_t);
	int r = vhdx_read_bat_page(compact->file, &none, compact->vhdx, byte / VHDX_PAGE, page);

	if (r)
		return r;
	*ret_unneeded = (page[place->index % ARRAY_SIZE(page)] & VHDX_STATE_MASK) != VHDX_FULLY;
	return *ret_unneeded ? compact_step(compact, place->size)
			     : compact_look(compact, place, ret_unneeded);
}

static int compact_give_back(struct compact *compact)
{
	struct vhdx_places *places = &compact->places;
	size_t left = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < places->count; i++) {
		bool unneeded = false;

		if (compact_is_block(compact, &places->items[i]))
			r = compact_is_unneeded(compact, &places->items[i], &unneeded);
		if (r == 0 && unneeded)
			r = vhdx_edit_entry(&compact->editor, places->items[i].index, 0);
		else
			places->items[left++] = places->items[i];
	}
	places->count = r == 0 ? left : places->count;
	return r == 0 ? vhdx_edit_commit_entries(&compact->editor) : r;
}

/* ---- To the front ---- */

/* Room for a block below `end`. Return: whether there is. */
static bool compact_find_room(struct compact *compact, uint64_t end, uint64_t *ret_place)
{
	const struct vhdx_places *places = &compact->places;
	uint64_t size = compact->vhdx->block_size;

	while (compact->room + size <= end) {
		const struct vhdx_place *next = compact->behind + 1 < places->count
							? &places->items[compact->behind + 1]
							: NULL;

		if (!next || compact->room + size <= next->offset) {
			*ret_place = compact->room;
			compact->room += size;
			return true;
		}
		compact->behind++;
		compact->room = MAX(compact->room, ALIGN_UP(next->offset + next->size, VHDX_MIB));
	}
	return false;
}

static int compact_copy(struct compact *compact, uint64_t from, uint64_t to)
{
	struct vhdx_file *file = compact->file;
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < compact->vhdx->block_size; at += PIECE) {
		r = vhdx_read(file, from + at, compact->buffer, PIECE);
		if (r == 0)
			r = file->write(file->data, to + at, compact->buffer, PIECE);
		if (r == 0)
			r = compact_step(compact, PIECE);
	}
	return r;
}

/* The last ones first, as long as there is room before them. */
static int compact_move(struct compact *compact)
{
	struct vhdx_places *places = &compact->places;
	uint64_t copied = 0, room;
	int r = 0;

	/* The first place is that of the headers. */
	compact->behind = 0;
	compact->room = places->items[0].offset + places->items[0].size;
	for (size_t i = places->count; r == 0 && i-- > 0;) {
		struct vhdx_place *place = &places->items[i];

		if (!compact_is_block(compact, place))
			continue;
		if (!compact_find_room(compact, place->offset, &room))
			break;
		r = compact_copy(compact, place->offset, room);
		if (r == 0)
			r = vhdx_edit_entry(&compact->editor, place->index, room | VHDX_FULLY);
		copied += place->size;
		if (r == 0 && copied >= BATCH) {
			copied = 0;
			r = vhdx_edit_commit_entries(&compact->editor);
		}
	}
	return r == 0 ? vhdx_edit_commit_entries(&compact->editor) : r;
}

/* ---- All of it ---- */

static int compact_read_places(struct compact *compact)
{
	struct vhdx_patches none = { .file_size = compact->file->size };

	vhdx_places_deinit(&compact->places);
	return vhdx_places_read(compact->file, &none, compact->vhdx, &compact->places);
}

/* Only what makes sense is moved. */
static int compact_prepare(struct compact *compact)
{
	int r = compact_read_places(compact);

	if (r == 0 && (compact->places.wrong || compact->places.missing))
		return VHDX_E_METADATA;
	if (r)
		return r;
	for (size_t i = 0; i < compact->places.count; i++) {
		if (compact_is_block(compact, &compact->places.items[i]))
			compact->total += compact->places.items[i].size;
	}
	return 0;
}

static int compact_cut(struct compact *compact)
{
	struct vhdx_file *file = compact->file;
	uint64_t end;
	int r = compact_read_places(compact);

	if (r)
		return r;
	end = vhdx_places_end(&compact->places);
	if (end >= file->size)
		return 0;
	r = file->grow(file->data, end);
	if (r == 0)
		file->size = end;
	return r ? r : file->flush(file->data);
}

/* Also where it was cut short, the log ends, and what lies behind the last place goes. */
static int compact_run(struct compact *compact)
{
	int r = vhdx_edit_begin(&compact->editor, compact->file, compact->vhdx), end;

	if (r)
		return r;
	r = compact_give_back(compact);
	if (r == 0)
		r = compact_move(compact);
	if (r && r != -ECANCELED)
		return r;
	end = vhdx_edit_commit_entries(&compact->editor);
	if (end == 0)
		end = vhdx_edit_end(&compact->editor);
	if (end == 0)
		end = compact_cut(compact);
	return end ? end : r;
}

int vhdx_compact(struct vhdx_file *file, struct vhdx *vhdx, const struct vhdx_follower *follower)
{
	struct compact compact = { .file = file, .vhdx = vhdx, .follower = follower };
	int r;

	if (vhdx->has_parent)
		return -ENOTSUP;
	compact.buffer = malloc(PIECE);
	r = compact.buffer ? compact_prepare(&compact) : -ENOMEM;
	if (r == 0)
		r = compact_run(&compact);
	vhdx_edit_abandon(&compact.editor);
	vhdx_places_deinit(&compact.places);
	free(compact.buffer);
	return r;
}
