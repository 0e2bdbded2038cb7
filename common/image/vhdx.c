/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VHDX image says of itself: headers, regions. */
#include "common/image/vhdx.h"

#include "common/base/cleanup.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *vhdx_error_text(int error)
{
	static const char *const texts[] = {
		[VHDX_E_OTHER] = "it is no VHDX image",
		[VHDX_E_HEADER] = "it is damaged: neither of its headers is whole",
		[VHDX_E_REGIONS] = "it is damaged: its table of regions makes no sense",
		[VHDX_E_METADATA] = "it is damaged: what it says of its disk makes no sense",
		[VHDX_E_LOG] = "it is damaged: its log cannot be replayed",
		[VHDX_E_TRUNCATED] = "it is damaged: the file has been shortened",
		[VHDX_E_UNREPLAYED] =
			"it was in use when its host or worker ended, and has not been "
			"recovered",
		[VHDX_E_PARENT] = "its parent is not there, is another image than it was made on, "
				  "or has been written since",
		[VHDX_E_UNSUPPORTED] = "it needs a feature that is not known here",
	};

	return error > 0 && error < (int)ARRAY_SIZE(texts) ? texts[error] : strerror(-error);
}

/* ---- The file below ---- */

static int vhdx_file_read(void *data, uint64_t offset, void *buffer, size_t size)
{
	ssize_t n = file_read_at(*(int *)data, offset, buffer, size);

	return n < 0 ? (int)n : (size_t)n < size ? -EIO : 0;
}

static int vhdx_file_write(void *data, uint64_t offset, const void *buffer, size_t size)
{
	const uint8_t *bytes = buffer;

	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(*(int *)data, bytes + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return error_origin(-errno);
		if (n == 0)
			return -EIO;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int vhdx_file_flush(void *data)
{
	return fdatasync(*(int *)data) < 0 ? -errno : 0;
}

static int vhdx_file_grow(void *data, uint64_t size)
{
	return ftruncate(*(int *)data, (off_t)size) < 0 ? -errno : 0;
}

struct vhdx_file vhdx_file_of(const int *fd, uint64_t size)
{
	return (struct vhdx_file){ .read = vhdx_file_read,
				   .write = vhdx_file_write,
				   .flush = vhdx_file_flush,
				   .grow = vhdx_file_grow,
				   .data = (void *)fd,
				   .size = size };
}

int vhdx_read(const struct vhdx_file *file, uint64_t offset, void *buffer, size_t size)
{
	if (offset > file->size || size > file->size - offset)
		return VHDX_E_TRUNCATED;
	return file->read(file->data, offset, buffer, size);
}

int vhdx_read_patched(const struct vhdx_file *file, const struct vhdx_patches *patches,
		      uint64_t offset, void *buffer, size_t size)
{
	int r;

	if (offset > patches->file_size || size > patches->file_size - offset)
		return VHDX_E_TRUNCATED;
	/* What the replay would have added to the file is zeros, and patches. */
	memset(buffer, 0, size);
	r = offset < file->size ? file->read(file->data, offset, buffer,
					     MIN((uint64_t)size, file->size - offset))
				: 0;
	if (r == 0)
		vhdx_patches_apply(patches, offset, buffer, size);
	return r;
}

bool vhdx_is_whole(void *structure, size_t size)
{
	uint32_t *checksum = (uint32_t *)structure + 1, found = *checksum;
	bool whole;

	*checksum = 0;
	whole = crc32c(0, structure, size) == found;
	*checksum = found;
	return whole;
}

void vhdx_seal(void *structure, size_t size)
{
	uint32_t *checksum = (uint32_t *)structure + 1;

	*checksum = 0;
	*checksum = crc32c(0, structure, size);
}

/* ---- Headers ---- */

void vhdx_header_make(void *page, const struct vhdx_header *header)
{
	struct vhdx_header *made = page;

	memset(page, 0, VHDX_PAGE);
	*made = *header;
	made->signature = VHDX_HEADER_SIGNATURE;
	made->version = 1;
	made->log_version = 0;
	vhdx_seal(page, VHDX_PAGE);
}

/* *ret_whole tells whether it counts. */
static int vhdx_read_header(const struct vhdx_file *file, unsigned index,
			    struct vhdx_header *ret_header, bool *ret_whole)
{
	_Alignas(8) uint8_t page[VHDX_PAGE];
	int r = vhdx_read(file, VHDX_HEADER_OFFSET(index), page, sizeof(page));

	if (r)
		return r;
	memcpy(ret_header, page, sizeof(*ret_header));
	*ret_whole =
		ret_header->signature == VHDX_HEADER_SIGNATURE && vhdx_is_whole(page, sizeof(page));
	return 0;
}

static int vhdx_check_header(const struct vhdx_header *header)
{
	if (header->version != 1 || (!guid_is_null(&header->log) && header->log_version != 0))
		return VHDX_E_UNSUPPORTED;
	if (header->log_offset < VHDX_MIB || !IS_ALIGNED(header->log_offset, VHDX_MIB) ||
	    header->log_length == 0 || !IS_ALIGNED((uint64_t)header->log_length, VHDX_MIB) ||
	    header->log_offset > (uint64_t)INT64_MAX - header->log_length)
		return VHDX_E_HEADER;
	return 0;
}

static int vhdx_find_header(const struct vhdx_file *file, struct vhdx *vhdx)
{
	struct vhdx_header headers[2];
	bool whole[2];
	int r;

	for (unsigned i = 0; i < 2; i++) {
		r = vhdx_read_header(file, i, &headers[i], &whole[i]);
		if (r)
			return r;
	}
	if (!whole[0] && !whole[1])
		return VHDX_E_HEADER;
	vhdx->header_index = !whole[0] || (whole[1] && headers[1].sequence > headers[0].sequence);
	vhdx->header = headers[vhdx->header_index];
	return vhdx_check_header(&vhdx->header);
}

/* The log has been replayed, or made before: from now on there is none. */
int vhdx_write_headers(struct vhdx_file *file, struct vhdx *vhdx)
{
	_Alignas(8) uint8_t page[VHDX_PAGE];
	int r = 0;

	for (unsigned i = 0; r == 0 && i < 2; i++) {
		vhdx->header.sequence++;
		vhdx->header_index ^= 1;
		vhdx_header_make(page, &vhdx->header);
		r = file->write(file->data, VHDX_HEADER_OFFSET(vhdx->header_index), page,
				sizeof(page));
		if (r == 0)
			r = file->flush(file->data);
	}
	return r;
}

/* ---- Regions ---- */

static bool vhdx_overlap(uint64_t one, uint64_t one_size, uint64_t other, uint64_t other_size)
{
	return one < other + other_size && other < one + one_size;
}

/* Each at a whole MiB, in the file, and apart from those before and from the log. */
static int vhdx_check_region(const struct vhdx *vhdx, const struct vhdx_region *regions,
			     unsigned index, uint64_t file_size)
{
	const struct vhdx_region *region = &regions[index];

	if (region->offset < VHDX_MIB || !IS_ALIGNED(region->offset, VHDX_MIB) ||
	    region->length == 0 || !IS_ALIGNED((uint64_t)region->length, VHDX_MIB))
		return VHDX_E_REGIONS;
	if (region->offset > file_size || region->length > file_size - region->offset)
		return VHDX_E_TRUNCATED;
	if (vhdx_overlap(region->offset, region->length, vhdx->header.log_offset,
			 vhdx->header.log_length))
		return VHDX_E_REGIONS;
	for (unsigned i = 0; i < index; i++)
		if (vhdx_overlap(region->offset, region->length, regions[i].offset,
				 regions[i].length))
			return VHDX_E_REGIONS;
	return 0;
}

static int vhdx_take_region(struct vhdx *vhdx, const struct vhdx_region *region)
{
	if (guid_equal(&region->id, &VHDX_REGION_BAT) && !vhdx->bat_offset) {
		vhdx->bat_offset = region->offset;
		vhdx->bat_size = region->length;
	} else if (guid_equal(&region->id, &VHDX_REGION_METADATA) && !vhdx->metadata_offset) {
		vhdx->metadata_offset = region->offset;
		vhdx->metadata_size = region->length;
	} else if (guid_equal(&region->id, &VHDX_REGION_BAT) ||
		   guid_equal(&region->id, &VHDX_REGION_METADATA)) {
		return VHDX_E_REGIONS;
	} else if (region->required & 1) {
		return VHDX_E_UNSUPPORTED;
	}
	return 0;
}

static int vhdx_take_regions(struct vhdx *vhdx, const uint8_t *table, uint64_t file_size)
{
	const struct vhdx_regions *head = (const struct vhdx_regions *)table;
	const struct vhdx_region *regions = (const struct vhdx_region *)(head + 1);
	int r = 0;

	if (head->count > VHDX_REGIONS_MAX)
		return VHDX_E_REGIONS;
	for (unsigned i = 0; r == 0 && i < head->count; i++) {
		r = vhdx_check_region(vhdx, regions, i, file_size);
		if (r == 0)
			r = vhdx_take_region(vhdx, &regions[i]);
	}
	if (r == 0 && (!vhdx->bat_offset || !vhdx->metadata_offset))
		return VHDX_E_REGIONS;
	return r;
}

int vhdx_read_regions(const struct vhdx_file *file, const struct vhdx_patches *patches,
		      uint8_t *table)
{
	for (unsigned i = 0; i < 2; i++) {
		int r = vhdx_read_patched(file, patches, VHDX_REGIONS_OFFSET(i), table,
					  VHDX_REGIONS_SIZE);

		if (r)
			return r;
		if (((struct vhdx_regions *)table)->signature == VHDX_REGIONS_SIGNATURE &&
		    vhdx_is_whole(table, VHDX_REGIONS_SIZE))
			return 0;
	}
	return VHDX_E_REGIONS;
}

static int vhdx_find_regions(const struct vhdx_file *file, const struct vhdx_patches *patches,
			     struct vhdx *vhdx)
{
	AUTO_FREE uint8_t *table = malloc(VHDX_REGIONS_SIZE);
	int r = table ? vhdx_read_regions(file, patches, table) : -ENOMEM;

	return r ? r : vhdx_take_regions(vhdx, table, patches->file_size);
}

/* ---- The table of blocks ---- */

uint64_t vhdx_bat_index(const struct vhdx *vhdx, uint64_t block)
{
	return block + block / vhdx->chunk_ratio;
}

uint64_t vhdx_bitmap_index(const struct vhdx *vhdx, uint64_t block)
{
	return block / vhdx->chunk_ratio * (vhdx->chunk_ratio + 1) + vhdx->chunk_ratio;
}

bool vhdx_is_bitmap(const struct vhdx *vhdx, uint64_t index)
{
	return index % (vhdx->chunk_ratio + 1) == vhdx->chunk_ratio;
}

bool vhdx_is_parent(const struct vhdx *child, const struct vhdx *parent)
{
	const struct guid *id = &parent->header.data_write;

	return guid_equal(&child->parent.linkage, id) ||
	       (!guid_is_null(&child->parent.linkage2) && guid_equal(&child->parent.linkage2, id));
}

int vhdx_read_bat_page(const struct vhdx_file *file, const struct vhdx_patches *patches,
		       const struct vhdx *vhdx, uint64_t index, void *page)
{
	if (index >= vhdx->bat_size / VHDX_PAGE)
		return VHDX_E_REGIONS;
	return vhdx_read_patched(file, patches, vhdx->bat_offset + index * VHDX_PAGE, page,
				 VHDX_PAGE);
}

bool vhdx_may_use(const struct vhdx *vhdx, uint64_t file_size, uint64_t offset, uint64_t size)
{
	return offset >= VHDX_MIB && offset <= file_size && size <= file_size - offset &&
	       !vhdx_overlap(offset, size, vhdx->bat_offset, vhdx->bat_size) &&
	       !vhdx_overlap(offset, size, vhdx->metadata_offset, vhdx->metadata_size) &&
	       !vhdx_overlap(offset, size, vhdx->header.log_offset, vhdx->header.log_length);
}

void vhdx_derive(struct vhdx *vhdx)
{
	uint64_t chunks;

	vhdx->chunk_ratio = (UINT64_C(1) << 23) * vhdx->sector_size / vhdx->block_size;
	vhdx->block_count = (vhdx->size + vhdx->block_size - 1) / vhdx->block_size;
	chunks = (vhdx->block_count + vhdx->chunk_ratio - 1) / vhdx->chunk_ratio;
	vhdx->bat_count = vhdx->has_parent
				  ? chunks * (vhdx->chunk_ratio + 1)
				  : vhdx->block_count + (vhdx->block_count - 1) / vhdx->chunk_ratio;
}

/* ---- All of it ---- */

static int vhdx_check_file(const struct vhdx_file *file)
{
	uint64_t signature;
	int r;

	if (file->size < sizeof(signature))
		return VHDX_E_OTHER;
	r = file->read(file->data, 0, &signature, sizeof(signature));
	return r == 0 && signature != VHDX_FILE_SIGNATURE ? VHDX_E_OTHER : r;
}

/* Of replaying, other copies of the image have to know as of any change. */
static int vhdx_apply_log(struct vhdx_file *file, bool writable, struct vhdx *vhdx,
			  struct vhdx_patches *patches)
{
	int r;

	patches->file_size = file->size;
	if (guid_is_null(&vhdx->header.log))
		return 0;
	if (writable) {
		r = guid_generate(&vhdx->header.file_write);
		if (r == 0)
			r = vhdx_write_headers(file, vhdx);
		if (r)
			return r;
	}
	r = vhdx_replay(file, &vhdx->header, writable, patches);
	if (r || !writable)
		return r;
	vhdx->header.log = (struct guid){ { 0 } };
	return vhdx_write_headers(file, vhdx);
}

static int vhdx_read_image(struct vhdx_file *file, bool in_use, bool writable,
			   struct vhdx *ret_vhdx, struct vhdx_patches *ret_patches)
{
	struct vhdx_patches patches = { .file_size = file->size };
	struct vhdx vhdx = { 0 };
	int r;

	r = vhdx_check_file(file);
	if (r == 0)
		r = vhdx_find_header(file, &vhdx);
	if (r)
		return r;
	if (!in_use)
		r = vhdx_apply_log(file, writable, &vhdx, &patches);
	if (r == 0)
		r = vhdx_find_regions(file, &patches, &vhdx);
	if (r == 0)
		r = vhdx_metadata_read(file, &patches, &vhdx);
	if (r) {
		vhdx_patches_deinit(&patches);
		return r;
	}
	*ret_vhdx = vhdx;
	*ret_patches = patches;
	return 0;
}

int vhdx_open(struct vhdx_file *file, bool writable, struct vhdx *ret_vhdx,
	      struct vhdx_patches *ret_patches)
{
	return vhdx_read_image(file, false, writable, ret_vhdx, ret_patches);
}

/* ---- Of descriptors ---- */

static int vhdx_read_fd(int fd, bool in_use, bool writable, struct vhdx *ret_vhdx,
			struct vhdx_patches *ret_patches, uint64_t *ret_size)
{
	int flags = fcntl(fd, F_GETFL), r;
	off_t size = lseek(fd, 0, SEEK_END);
	struct vhdx_file file;

	/* What is read and written here is of no alignment. */
	if (flags < 0 || size < 0 || fcntl(fd, F_SETFL, flags & ~O_DIRECT) < 0)
		return error_origin(-errno);
	file = vhdx_file_of(&fd, (uint64_t)size);
	r = vhdx_read_image(&file, in_use, writable, ret_vhdx, ret_patches);
	if (fcntl(fd, F_SETFL, flags) < 0 && r == 0) {
		vhdx_patches_deinit(ret_patches);
		r = -errno;
	}
	*ret_size = file.size;
	return r;
}

int vhdx_open_fd(int fd, bool writable, struct vhdx *ret_vhdx, struct vhdx_patches *ret_patches,
		 uint64_t *ret_size)
{
	return vhdx_read_fd(fd, false, writable, ret_vhdx, ret_patches, ret_size);
}

int vhdx_look_fd(int fd, struct vhdx *ret_vhdx)
{
	struct vhdx_patches patches = { 0 };
	uint64_t size;
	int r = vhdx_read_fd(fd, true, false, ret_vhdx, &patches, &size);

	if (r == 0)
		vhdx_patches_deinit(&patches);
	return r;
}

int vhdx_recover(int fd, bool writable, uint64_t *ret_most)
{
	struct vhdx_patches patches;
	struct vhdx vhdx;
	int r;

	r = vhdx_open_fd(fd, writable, &vhdx, &patches, ret_most);
	if (r)
		return r;
	vhdx_patches_deinit(&patches);
	/* As if all blocks were still to come. */
	*ret_most = ALIGN_UP(*ret_most, VHDX_MIB) + vhdx.block_count * vhdx.block_size;
	return 0;
}
