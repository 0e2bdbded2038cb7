/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guest sees of a disk image that nobody uses. */
#include "common/image/image_content.h"

#include "common/base/error.h"
#include "common/image/vhd_fill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct image_content {
	int fd;
	enum image_format format;
	uint64_t size;
	struct vhdx_file file;

	/* Of VHDX. */
	struct vhdx vhdx;
	struct vhdx_patches patches;
	struct vhdx_reader reader;
	struct image_content *parent; /* NULL: none, or none that is looked at */

	struct vhd_fill fill; /* of VHD */
};

uint64_t image_content_size(const struct image_content *content)
{
	return content->size;
}

const struct vhdx *image_content_vhdx(const struct image_content *content)
{
	return content->format == IMAGE_VHDX ? &content->vhdx : NULL;
}

/* ---- Raw ---- */

static int content_find_raw(struct image_content *content, uint64_t offset,
			    struct content_run *ret_run)
{
	off_t data = lseek(content->fd, (off_t)offset, SEEK_DATA), end;

	*ret_run = (struct content_run){ .kind = CONTENT_DATA,
					 .length = content->size - offset,
					 .file_offset = offset };
	if (data < 0 && errno == ENXIO) {
		ret_run->kind = CONTENT_HOLE;
		return 0;
	}
	/* Where nothing can tell, as on some devices, all of it is data. */
	if (data < 0)
		return errno == EINVAL ? 0 : -errno;
	if ((uint64_t)data > offset) {
		ret_run->kind = CONTENT_HOLE;
		ret_run->length = MIN((uint64_t)data - offset, ret_run->length);
		return 0;
	}
	end = lseek(content->fd, (off_t)offset, SEEK_HOLE);
	if (end < 0)
		return error_origin(-errno);
	if ((uint64_t)end > offset)
		ret_run->length = MIN((uint64_t)end - offset, ret_run->length);
	return 0;
}

/* ---- Reading ---- */

/* Down to the image that has it. A parent may be smaller than what stands on it. */
int image_content_find(struct image_content *content, uint64_t offset, struct content_run *ret_run)
{
	uint64_t most = VHDX_RUN_MAX;
	int r;

	for (;; content = content->parent) {
		if (offset >= content->size) {
			*ret_run = (struct content_run){ .kind = CONTENT_HOLE, .length = most };
			return 0;
		}
		r = content->format == IMAGE_VHDX
			    ? vhdx_reader_find(&content->reader, offset, most, ret_run)
			    : content_find_raw(content, offset, ret_run);
		most = MIN(most, ret_run->length);
		ret_run->length = most;
		ret_run->content = content;
		if (r || ret_run->kind != CONTENT_PARENT || !content->parent)
			return r;
	}
}

int image_content_read_run(const struct content_run *run, uint64_t skipped, void *buffer,
			   size_t size)
{
	const struct image_content *of = run->content;

	/* What a replay would change is tables, but nothing keeps a log from naming data. */
	if (of->format == IMAGE_VHDX)
		return vhdx_read_patched(&of->file, &of->patches, run->file_offset + skipped,
					 buffer, size);
	return of->file.read(of->file.data, run->file_offset + skipped, buffer, size);
}

int image_content_read(struct image_content *content, uint64_t offset, void *buffer, size_t size)
{
	uint8_t *bytes = buffer;

	if (offset > content->size || size > content->size - offset)
		return -EINVAL;
	while (size) {
		struct content_run run;
		size_t part;
		int r = image_content_find(content, offset, &run);

		if (r)
			return r;
		part = MIN((uint64_t)size, run.length);
		if (run.kind == CONTENT_DATA)
			r = image_content_read_run(&run, 0, bytes, part);
		else
			memset(bytes, 0, part);
		if (r)
			return r;
		bytes += part;
		offset += part;
		size -= part;
	}
	return 0;
}

/* ---- Opening ---- */

static struct image_content *content_new(int fd, enum image_format format)
{
	struct image_content *content = calloc(1, sizeof(*content));

	if (!content)
		return NULL;
	content->fd = fd;
	content->format = format;
	content->file = vhdx_file_of(&content->fd, 0);
	vhdx_reader_begin(&content->reader, &content->file, &content->patches, &content->vhdx);
	return content;
}

static int content_open_format(struct image_content *content, bool writable)
{
	off_t size = lseek(content->fd, 0, SEEK_END);
	int r;

	if (size < 0)
		return error_origin(-errno);
	content->size = content->file.size = (uint64_t)size;
	if (content->format == IMAGE_RAW)
		return 0;
	if (content->format != IMAGE_VHDX)
		return -ENOTSUP;
	r = vhdx_open(&content->file, writable, &content->vhdx, &content->patches);
	content->size = content->vhdx.size;
	return r;
}

int image_content_open(int fd, enum image_format format, bool writable,
		       struct image_content **ret_content)
{
	CLEANUP(image_content_freep) struct image_content *content = content_new(fd, format);
	int r = content ? content_open_format(content, writable) : -ENOMEM;

	if (r == 0 && content->vhdx.has_parent)
		r = -ENOTSUP;
	if (r == 0)
		*ret_content = TAKE_PTR(content);
	return r;
}

int image_content_open_child(int fd, bool writable, struct image_content *parent,
			     struct image_content **ret_content)
{
	CLEANUP(image_content_freep) struct image_content *content = content_new(fd, IMAGE_VHDX);
	int r;

	if (!content) {
		image_content_free(parent);
		return -ENOMEM;
	}
	content->parent = parent;
	r = content_open_format(content, writable);
	if (r)
		return r;
	if (!content->vhdx.has_parent)
		return -ENOTSUP;
	if (parent &&
	    (parent->format != IMAGE_VHDX || !vhdx_is_parent(&content->vhdx, &parent->vhdx)))
		return VHDX_E_PARENT;
	*ret_content = TAKE_PTR(content);
	return 0;
}

void image_content_free(struct image_content *content)
{
	if (!content)
		return;
	image_content_free(content->parent);
	vhdx_patches_deinit(&content->patches);
	vhd_fill_deinit(&content->fill);
	free(content);
}

/* ---- A new image ---- */

/* The space of an image that is to take all of it at once. Return: 0; -errno. */
static int content_take_space(struct image_content *content)
{
	int r = posix_fallocate(content->fd, 0, (off_t)content->file.size);

	return r == EOPNOTSUPP || r == EINVAL ? 0 : -r;
}

static int content_make_raw(struct image_content *content,
			    const struct image_content_options *options)
{
	if (options->size == 0 || options->size > IMAGE_RAW_MAX)
		return -EINVAL;
	content->size = content->file.size = options->size;
	if (ftruncate(content->fd, (off_t)options->size) < 0)
		return error_origin(-errno);
	return options->fixed ? content_take_space(content) : 0;
}

static int content_make_vhdx(struct image_content *content,
			     const struct image_content_options *options)
{
	const struct vhdx_options vhdx = { .size = options->size,
					   .block_size = options->block_size,
					   .sector_size = options->sector_size,
					   .physical_sector_size = options->physical_sector_size,
					   .fixed = options->fixed };
	int r = vhdx_make(&content->file, &vhdx);

	if (r == 0 && options->fixed)
		r = content_take_space(content);
	if (r)
		return r;
	r = vhdx_open(&content->file, false, &content->vhdx, &content->patches);
	content->size = content->vhdx.size;
	return r > 0 ? -EIO : r;
}

static int content_make_vhd(struct image_content *content,
			    const struct image_content_options *options)
{
	const struct vhd_options vhd = { .size = options->size,
					 .block_size = VHD_BLOCK,
					 .fixed = options->fixed };
	int r = vhd_fill_begin(&content->fill, &content->file, &vhd);

	content->size = options->size;
	return r == 0 && options->fixed ? content_take_space(content) : r;
}

int image_content_make(int fd, const struct image_content_options *options,
		       struct image_content **ret_content)
{
	CLEANUP(image_content_freep)
	struct image_content *content = content_new(fd, options->format);
	int r = -ENOTSUP;

	if (!content)
		return -ENOMEM;
	if (options->format == IMAGE_RAW)
		r = content_make_raw(content, options);
	else if (options->format == IMAGE_VHDX)
		r = content_make_vhdx(content, options);
	else if (options->format == IMAGE_VHD)
		r = content_make_vhd(content, options);
	if (r == 0)
		*ret_content = TAKE_PTR(content);
	return r;
}

/* ---- Writing into it ---- */

/* A block at the end of the file. */
static int content_add_block(struct image_content *content, uint64_t offset,
			     struct content_run *ret_run)
{
	uint64_t block = offset / content->vhdx.block_size;
	uint64_t index = vhdx_bat_index(&content->vhdx, block) * sizeof(uint64_t);
	uint64_t place = ALIGN_UP(content->file.size, VHDX_MIB), entry = place | VHDX_FULLY;
	int r = content->file.grow(content->file.data, place + content->vhdx.block_size);

	if (r)
		return r;
	content->file.size = content->patches.file_size = place + content->vhdx.block_size;
	vhdx_reader_forget(&content->reader);
	*ret_run = (struct content_run){ .kind = CONTENT_DATA,
					 .file_offset = place + offset % content->vhdx.block_size };
	return content->file.write(content->file.data, content->vhdx.bat_offset + index, &entry,
				   sizeof(entry));
}

static int content_write_block(struct image_content *content, uint64_t offset, const void *buffer,
			       size_t size)
{
	struct content_run run = { 0 };
	int r = vhdx_reader_find(&content->reader, offset, 1, &run);

	if (r == 0 && run.kind != CONTENT_DATA)
		r = content_add_block(content, offset, &run);
	if (r)
		return r > 0 ? -EIO : r;
	return content->file.write(content->file.data, run.file_offset, buffer, size);
}

int image_content_write(struct image_content *content, uint64_t offset, const void *buffer,
			size_t size)
{
	const uint8_t *bytes = buffer;
	int r = 0;

	if (offset > content->size || size > content->size - offset)
		return -EINVAL;
	if (content->format == IMAGE_RAW)
		return content->file.write(content->file.data, offset, buffer, size);
	if (content->format == IMAGE_VHD)
		return vhd_fill_write(&content->fill, offset, buffer, size);
	while (r == 0 && size) {
		uint64_t left = content->vhdx.block_size - offset % content->vhdx.block_size;
		size_t part = MIN((uint64_t)size, left);

		r = content_write_block(content, offset, bytes, part);
		bytes += part;
		offset += part;
		size -= part;
	}
	return r;
}

int image_content_end(struct image_content *content)
{
	if (content->format == IMAGE_VHD)
		return vhd_fill_end(&content->fill);
	return fsync(content->fd) < 0 ? -errno : 0;
}
