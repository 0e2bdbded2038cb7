/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is wrong with a VHDX image, and what of it can be mended. */
#include "common/image/vhdx_change.h"

#include "common/base/cleanup.h"
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_header(const struct vhdx_file *file, unsigned index, bool *ret_whole)
{
	_Alignas(8) uint8_t page[VHDX_PAGE];
	int r = vhdx_read(file, VHDX_HEADER_OFFSET(index), page, sizeof(page));

	*ret_whole = r == 0 && ((struct vhdx_header *)page)->signature == VHDX_HEADER_SIGNATURE &&
		     vhdx_is_whole(page, sizeof(page));
	return r;
}

static int check_regions(const struct vhdx_file *file, const struct vhdx_patches *patches,
			 bool *ret_differ)
{
	AUTO_FREE uint8_t *good = malloc(VHDX_REGIONS_SIZE), *copy = malloc(VHDX_REGIONS_SIZE);
	int r = good && copy ? vhdx_read_regions(file, patches, good) : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < 2; i++) {
		r = vhdx_read_patched(file, patches, VHDX_REGIONS_OFFSET(i), copy,
				      VHDX_REGIONS_SIZE);
		if (r == 0 && memcmp(good, copy, VHDX_REGIONS_SIZE) != 0)
			*ret_differ = true;
	}
	return r;
}

static uint64_t check_count_unused(const struct vhdx_places *places, uint64_t file_size)
{
	uint64_t unused = 0, end = 0;

	for (size_t i = 0; i < places->count; i++) {
		const struct vhdx_place *place = &places->items[i];

		unused += place->offset > end ? place->offset - end : 0;
		end = MAX(end, place->offset + place->size);
	}
	return unused + (file_size > end ? file_size - end : 0);
}

int vhdx_check(const struct vhdx_file *file, const struct vhdx_patches *patches,
	       const struct vhdx *vhdx, struct vhdx_check *ret_check)
{
	struct vhdx_check check = { 0 };
	struct vhdx_places places;
	bool whole[2] = { false };
	int r;

	for (unsigned i = 0; i < 2; i++) {
		r = check_header(file, i, &whole[i]);
		if (r)
			return r;
	}
	check.headers_differ = !whole[0] || !whole[1];
	r = check_regions(file, patches, &check.regions_damaged);
	if (r == 0)
		r = vhdx_places_read(file, patches, vhdx, &places);
	if (r)
		return r;
	check.blocks = places.blocks;
	check.wrong = places.wrong;
	check.missing = places.missing;
	check.kept = places.kept;
	check.unused = check_count_unused(&places, patches->file_size);
	vhdx_places_deinit(&places);
	*ret_check = check;
	return 0;
}

int vhdx_mend(struct vhdx_file *file, struct vhdx *vhdx)
{
	AUTO_FREE uint8_t *regions = malloc(VHDX_REGIONS_SIZE);
	struct vhdx_patches none = { .file_size = file->size };
	int r = regions ? vhdx_read_regions(file, &none, regions) : -ENOMEM;

	if (r == 0)
		r = guid_generate(&vhdx->header.file_write);
	if (r == 0)
		r = vhdx_write_headers(file, vhdx);
	for (unsigned i = 0; r == 0 && i < 2; i++) {
		r = file->write(file->data, VHDX_REGIONS_OFFSET(i), regions, VHDX_REGIONS_SIZE);
		if (r == 0)
			r = file->flush(file->data);
	}
	return r;
}
