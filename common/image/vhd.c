/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VHD image says of itself: footer, header, parent. */
#include "common/image/vhd.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/utf16.h"
#include "common/image/vhd_internal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOOTER_SIZE_OLD  511u /* before Virtual PC 2004 */
#define LOCATOR_SIZE_MAX (2u * VHDX_PATH_MAX / 3)
#define DATA_ALIGNMENT   4096u

const char *vhd_error_text(int error)
{
	static const char *const texts[] = {
		[VHD_E_OTHER] = "it is no VHD image",
		[VHD_E_FOOTER] = "it is damaged: its footer makes no sense",
		[VHD_E_HEADER] = "it is damaged: what it says of its blocks makes no sense",
		[VHD_E_TRUNCATED] = "it is damaged: the file has been shortened",
		[VHD_E_UNSUPPORTED] = "it needs a feature that is not known here",
		[VHD_E_UNRECOVERED] =
			"it was in use when its host or worker ended, and has not been "
			"recovered",
		[VHD_E_PARENT] = "its parent is not there, or is another image than it was made on",
	};

	return error > 0 && error < (int)ARRAY_SIZE(texts) ? texts[error] : strerror(-error);
}

uint32_t vhd_checksum(const void *structure, size_t size, const uint32_t *checksum)
{
	size_t field = (size_t)((const uint8_t *)checksum - (const uint8_t *)structure);
	const uint8_t *bytes = structure;
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += i >= field && i < field + sizeof(*checksum) ? 0 : bytes[i];
	return htobe32(~sum);
}

bool vhd_is_parent(const struct vhd *child, const struct vhd *parent)
{
	return memcmp(child->parent.id, parent->id, sizeof(parent->id)) == 0;
}

uint64_t vhd_block_place(const struct vhd *vhd, uint64_t end)
{
	return ALIGN_UP(end + vhd->bitmap_size, (uint64_t)DATA_ALIGNMENT) - vhd->bitmap_size;
}

/* Return: 0; VHD_E_TRUNCATED; -errno. */
static int vhd_read(const struct vhdx_file *file, uint64_t offset, void *buffer, size_t size)
{
	if (offset > file->size || size > file->size - offset)
		return VHD_E_TRUNCATED;
	return file->read(file->data, offset, buffer, size);
}

/* ---- The footer ---- */

static bool vhd_footer_is_whole(const struct vhd_footer *footer)
{
	return footer->cookie == htobe64(VHD_FOOTER_COOKIE) &&
	       footer->checksum == vhd_checksum(footer, sizeof(*footer), &footer->checksum);
}

/* Return: 0, with vhd->footer_is_whole; -errno. */
static int vhd_read_footer_at(const struct vhdx_file *file, uint64_t offset, size_t size,
			      struct vhd *vhd)
{
	int r;

	memset(&vhd->footer, 0, sizeof(vhd->footer));
	r = file->read(file->data, offset, &vhd->footer, size);
	vhd->footer_is_whole = r == 0 && vhd_footer_is_whole(&vhd->footer);
	vhd->end = offset;
	return r;
}

/* That of the end; or the copy. */
static int vhd_find_footer(const struct vhdx_file *file, struct vhd *vhd)
{
	uint64_t last = ALIGN_DOWN(file->size - 1, (uint64_t)VHD_SECTOR);
	size_t size = (size_t)(file->size - last);
	int r = 0;

	if (size >= FOOTER_SIZE_OLD)
		r = vhd_read_footer_at(file, last, size, vhd);
	if (r || vhd->footer_is_whole)
		return r;
	r = vhd_read_footer_at(file, 0, sizeof(vhd->footer), vhd);
	if (r == 0 && !vhd->footer_is_whole)
		return vhd->footer.cookie == htobe64(VHD_FOOTER_COOKIE) ? VHD_E_FOOTER
									: VHD_E_OTHER;
	vhd->footer_is_whole = false;
	vhd->end = ALIGN_UP(file->size, (uint64_t)VHD_SECTOR);
	return r;
}

static int vhd_take_footer(struct vhd *vhd)
{
	const struct vhd_footer *footer = &vhd->footer;

	if (footer->version != htobe32(VHD_VERSION))
		return VHD_E_UNSUPPORTED;
	vhd->type = (enum vhd_type)be32toh(footer->type);
	vhd->size = be64toh(footer->current_size);
	memcpy(vhd->id, footer->id, sizeof(vhd->id));
	if (vhd->type < VHD_FIXED || vhd->type > VHD_DIFFERENCING || vhd->size == 0 ||
	    vhd->size > VHD_DISK_MAX || vhd->size % VHD_SECTOR)
		return VHD_E_FOOTER;
	if (vhd->type == VHD_FIXED && !vhd->footer_is_whole)
		return VHD_E_FOOTER;
	return vhd->type == VHD_FIXED && vhd->size > vhd->end ? VHD_E_TRUNCATED : 0;
}

/* ---- The parent ---- */

static int vhd_take_locator(const struct vhdx_file *file, struct vhd *vhd,
			    const struct vhd_locator *locator)
{
	uint32_t code = be32toh(locator->code), length = be32toh(locator->length);
	uint64_t offset = be64toh(locator->offset);
	uint8_t bytes[LOCATOR_SIZE_MAX];
	int r;

	if (code == 0 || length == 0)
		return 0;
	/* What is anywhere, whatever it is, is no place for a block. */
	if (offset > (uint64_t)INT64_MAX || offset + length > file->size)
		return VHD_E_HEADER;
	vhd->data_end = MAX(vhd->data_end, ALIGN_UP(offset + length, (uint64_t)VHD_SECTOR));
	if (code != VHD_LOCATOR_RELATIVE && code != VHD_LOCATOR_ABSOLUTE)
		return 0;
	if (length % 2 || length >= sizeof(bytes))
		return VHD_E_HEADER;
	r = vhd_read(file, offset, bytes, length);
	if (r == 0)
		utf16_to_utf8(code == VHD_LOCATOR_RELATIVE ? vhd->parent.relative
							   : vhd->parent.absolute,
			      VHDX_PATH_MAX, bytes, length);
	return r;
}

static int vhd_take_parent(const struct vhdx_file *file, struct vhd *vhd,
			   const struct vhd_header *header)
{
	uint16_t name[VHD_PARENT_NAME_UNITS];
	size_t length = 0;
	int r = 0;

	memcpy(vhd->parent.id, header->parent_id, sizeof(vhd->parent.id));
	vhd->parent.time = be32toh(header->parent_time);
	while (length < VHD_PARENT_NAME_UNITS && header->parent_name[length]) {
		name[length] = htole16(be16toh(header->parent_name[length]));
		length++;
	}
	if (length)
		utf16_to_utf8(vhd->parent.name, VHDX_PATH_MAX, (const uint8_t *)name, length * 2);
	for (int i = 0; r == 0 && i < VHD_LOCATORS; i++)
		r = vhd_take_locator(file, vhd, &header->locators[i]);
	return r;
}

/* ---- The header ---- */

static int vhd_take_header(struct vhd *vhd, const struct vhd_header *header, uint64_t file_size)
{
	uint64_t count;

	if (header->cookie != htobe64(VHD_HEADER_COOKIE) ||
	    header->checksum != vhd_checksum(header, sizeof(*header), &header->checksum))
		return VHD_E_HEADER;
	if (header->version != htobe32(VHD_VERSION))
		return VHD_E_UNSUPPORTED;
	vhd->block_size = be32toh(header->block_size);
	if (!vhd->block_size || vhd->block_size & (vhd->block_size - 1))
		return VHD_E_HEADER;
	if (vhd->block_size < VHD_BLOCK_MIN || vhd->block_size > VHD_BLOCK_MAX)
		return VHD_E_UNSUPPORTED;
	count = (vhd->size + vhd->block_size - 1) / vhd->block_size;
	vhd->block_count = (uint32_t)count;
	vhd->bitmap_size = ALIGN_UP(vhd->block_size / VHD_SECTOR / 8, VHD_SECTOR);
	vhd->bat_offset = be64toh(header->bat_offset);
	if (count > be32toh(header->entries) || vhd->bat_offset < VHD_SECTOR ||
	    !IS_ALIGNED(vhd->bat_offset, (uint64_t)VHD_SECTOR))
		return VHD_E_HEADER;
	if (vhd->bat_offset > file_size || count * 4 > file_size - vhd->bat_offset)
		return VHD_E_TRUNCATED;
	vhd->data_end =
		MAX(vhd->data_end, ALIGN_UP(vhd->bat_offset + count * 4, (uint64_t)VHD_SECTOR));
	return 0;
}

static int vhd_read_header(const struct vhdx_file *file, struct vhd *vhd)
{
	uint64_t offset = be64toh(vhd->footer.data_offset);
	struct vhd_header header;
	int r;

	if (offset < VHD_SECTOR || !IS_ALIGNED(offset, (uint64_t)VHD_SECTOR))
		return VHD_E_FOOTER;
	r = vhd_read(file, offset, &header, sizeof(header));
	if (r)
		return r;
	vhd->data_end = offset + sizeof(header);
	r = vhd_take_header(vhd, &header, file->size);
	if (r == 0 && vhd->type == VHD_DIFFERENCING)
		r = vhd_take_parent(file, vhd, &header);
	return r;
}

int vhd_open(const struct vhdx_file *file, struct vhd *ret_vhd)
{
	struct vhd vhd = { 0 };
	int r;

	if (file->size < sizeof(struct vhd_footer))
		return VHD_E_OTHER;
	r = vhd_find_footer(file, &vhd);
	if (r == 0)
		r = vhd_take_footer(&vhd);
	if (r == 0 && vhd.type != VHD_FIXED)
		r = vhd_read_header(file, &vhd);
	if (r == 0)
		*ret_vhd = vhd;
	return r;
}

/* ---- Of descriptors ---- */

struct vhd_direct {
	int fd, flags;
};

/* What is read and written here is of no alignment. */
static int vhd_direct_off(struct vhd_direct *direct, int fd, struct vhdx_file *file)
{
	off_t size = lseek(fd, 0, SEEK_END);

	direct->fd = fd;
	direct->flags = fcntl(fd, F_GETFL);
	if (direct->flags < 0 || size < 0 || fcntl(fd, F_SETFL, direct->flags & ~O_DIRECT) < 0)
		return error_origin(-errno);
	*file = vhdx_file_of(&direct->fd, (uint64_t)size);
	return 0;
}

static int vhd_direct_on(const struct vhd_direct *direct, int r)
{
	return fcntl(direct->fd, F_SETFL, direct->flags) < 0 && r == 0 ? -errno : r;
}

int vhd_open_fd(int fd, struct vhd *ret_vhd, uint64_t *ret_size)
{
	struct vhd_direct direct;
	struct vhdx_file file;
	int r = vhd_direct_off(&direct, fd, &file);

	if (r < 0)
		return r;
	r = vhd_open(&file, ret_vhd);
	*ret_size = file.size;
	return vhd_direct_on(&direct, r);
}

int vhd_recover(int fd, bool writable, uint64_t *ret_most)
{
	struct vhd_direct direct;
	struct vhdx_file file;
	struct vhd vhd;
	int r = vhd_direct_off(&direct, fd, &file);

	if (r < 0)
		return r;
	r = writable ? vhd_repair(&file, &vhd) : vhd_open(&file, &vhd);
	*ret_most = file.size;
	/* As if all blocks were still to come, and the footer ahead of them. */
	if (r == 0 && vhd.type != VHD_FIXED)
		*ret_most += ((uint64_t)vhd.block_count + VHD_AHEAD) *
			     (vhd.block_size + vhd.bitmap_size + DATA_ALIGNMENT);
	return vhd_direct_on(&direct, r);
}
