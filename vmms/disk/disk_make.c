/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New disks: empty ones, and copies of others in any format. */
#include "vmms/disk/disk_file.h"
#include "vmms/disk/qemu_img.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE           (32u << 20) /* as Hyper-V has it */
#define SECTOR_SIZE          512
#define PHYSICAL_SECTOR_SIZE 4096
#define PIECE                (1u << 20)
#define GRAIN                (64u << 10) /* zeros of which are left out */

/* What a disk becomes. */
struct making {
	struct disk_work *work;
	struct disk_new new;
	struct image_content_options options;
	struct image_content *content; /* NULL: of a format that is not our own */
};

/* ---- An empty one ---- */

/* like: the image that it becomes a copy of; NULL: none, or of another format. */
static void making_choose(const struct disk_request *request, const char *format, uint64_t size,
			  const struct vhdx *like, struct image_content_options *options)
{
	uint32_t block = request->block_size ? (uint32_t)request->block_size : BLOCK_SIZE;
	uint32_t sector = like ? like->sector_size : SECTOR_SIZE;

	*options = (struct image_content_options){
		.format = format ? (enum image_format)image_format_find(format) : IMAGE_VHDX,
		.size = size,
		.block_size = block,
		.sector_size = request->sector_size ? request->sector_size : sector,
		.physical_sector_size = PHYSICAL_SECTOR_SIZE,
		.fixed = request->fixed,
	};
}

/* What the format does not have. Return: NULL: nothing of it is asked for. */
static const char *making_find_fault(const struct disk_request *request,
				     const struct image_content_options *options)
{
	if (options->format == IMAGE_VMDK)
		return "new disks can be raw, vhdx, vhd or qcow2";
	if (options->format != IMAGE_VHDX && (request->block_size || request->sector_size))
		return "block_size and sector_size are of VHDX alone";
	if (options->format == IMAGE_QCOW2 && options->fixed)
		return "a qcow2 disk grows as it is written: fixed goes with raw, vhdx and vhd";
	if (options->size % options->sector_size)
		return "the size has to be a multiple of the sectors' size";
	if (options->format == IMAGE_VHD && options->sector_size != SECTOR_SIZE)
		return "a VHD has sectors of 512 bytes, and the disk has those of 4096; vhdx has "
		       "both";
	if (options->format == IMAGE_VHD && options->size > VHD_DISK_MAX)
		return "a VHD has 2040 GiB at most; vhdx has more";
	if (options->format != IMAGE_RAW && options->size > VHDX_DISK_MAX)
		return "a disk has 64 TiB at most";
	return NULL;
}

static int making_fail(struct making *making, int r)
{
	image_content_free(TAKE_PTR(making->content));
	disk_new_abandon(&making->new);
	return r;
}

static int making_begin(struct making *making, const char *path)
{
	const char *fault = making_find_fault(making->work->request, &making->options);
	int r;

	if (fault)
		return failure_set(making->work->failure, DBUS_ERROR_INVALID_ARGUMENT, "%s", fault);
	r = disk_new_begin(making->work, path, &making->new);
	if (r < 0)
		return r;
	if (making->options.format == IMAGE_QCOW2)
		r = qcow2_make(making->new.fd, making->options.size);
	else
		r = image_content_make(making->new.fd, &making->options, &making->content);
	if (r < 0)
		return making_fail(making,
				   disk_work_refuse(making->work, path, "cannot be made", r));
	return 0;
}

static void making_describe(struct making *making, const char *path)
{
	making->work->found =
		json_make("path", json_object_new_string(path), "format",
			  json_object_new_string(image_format_names[making->options.format]),
			  "size", json_object_new_int64((int64_t)making->options.size), NULL);
}

/* Whoever has it now finds it unlocked: what held it is closed before anybody is told. */
static int making_end(struct making *making, const char *path)
{
	int r = making->content ? image_content_end(making->content) : 0;

	if (r < 0)
		return making_fail(making,
				   disk_work_refuse(making->work, path, "cannot be written", r));
	r = disk_new_commit(making->work, &making->new);
	image_content_free(TAKE_PTR(making->content));
	if (r == 0)
		making_describe(making, path);
	return r;
}

int disk_create(struct disk_work *work)
{
	const struct disk_request *request = work->request;
	struct making making = { .work = work };
	int r;

	if (request->parent)
		return disk_create_child(work);
	making_choose(request, request->format, request->size, NULL, &making.options);
	r = making_begin(&making, request->path);
	if (r < 0)
		return r;
	if (!disk_work_goes_on(work, 0, 0))
		return making_fail(&making, disk_work_stop(work));
	return making_end(&making, request->path);
}

/* ---- A copy ---- */

static bool copy_is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Grains of zeros are left out, which the new image holds already. */
static int copy_write(struct image_content *target, uint64_t offset, const uint8_t *bytes,
		      size_t size)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at < size;) {
		size_t part = MIN(size - at, (size_t)GRAIN - (offset + at) % GRAIN),
		       end = at + part;

		if (copy_is_zero(bytes + at, part)) {
			at = end;
			continue;
		}
		/* As many as follow each other. */
		while (end < size && !copy_is_zero(bytes + end, MIN(size - end, (size_t)GRAIN)))
			end += MIN(size - end, (size_t)GRAIN);
		r = image_content_write(target, offset + at, bytes + at, end - at);
		at = end;
	}
	return r;
}

/* Return: 0; -ECANCELED; VHDX_E_ or -errno of the source; *ret_written: -errno of the target. */
static int copy_run(struct making *making, struct image_content *source, uint64_t offset,
		    const struct content_run *run, uint8_t *buffer, int *ret_written)
{
	uint64_t total = image_content_size(source);
	int r = 0;

	for (uint64_t at = 0; r == 0 && *ret_written == 0 && at < run->length;) {
		size_t part = MIN(run->length - at, (uint64_t)PIECE);

		r = image_content_read_run(run, at, buffer, part);
		if (r == 0)
			*ret_written = copy_write(making->content, offset + at, buffer, part);
		at += part;
		if (r == 0 && !disk_work_goes_on(making->work, offset + at, total))
			r = -ECANCELED;
	}
	return r;
}

static int copy_content(struct making *making, struct image_content *source, int *ret_written)
{
	AUTO_FREE uint8_t *buffer = malloc(PIECE);
	uint64_t offset = 0, size = image_content_size(source);
	int r = buffer ? 0 : -ENOMEM;

	while (r == 0 && *ret_written == 0 && offset < size) {
		struct content_run run;

		r = image_content_find(source, offset, &run);
		if (r == 0 && run.kind == CONTENT_DATA)
			r = copy_run(making, source, offset, &run, buffer, ret_written);
		offset += r == 0 ? run.length : 0;
		if (r == 0 && !disk_work_goes_on(making->work, offset, size))
			r = -ECANCELED;
	}
	return r;
}

/* From a source that is our own, to a target that is. */
static int convert_natively(struct making *making, const struct disk_file *file,
			    struct image_content *source)
{
	int written = 0, r = copy_content(making, source, &written);

	if (r)
		return disk_file_refuse(making->work, file, r);
	return written < 0 ? disk_work_refuse(making->work, making->new.path, "cannot be written",
					      written)
			   : 0;
}

/* ---- By way of a raw file without a name ---- */

static int convert_open_between(struct disk_work *work, const struct disk_new *new, uint64_t size,
				int *ret_fd)
{
	static const char name[] = ".vmms-between";
	AUTO_CLOSE int fd = openat(new->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0) {
		fd = openat(new->folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		(void)unlinkat(new->folder, name, 0);
	}
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return disk_work_refuse(work, new->path, "cannot be made", errno);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* A source that is not our own, into a target of any format. */
static int convert_from_foreign(struct making *making, const struct disk_file *file)
{
	const struct qemu_img_file source = { .fd = file->fd, .format = file->format };
	struct qemu_img_file target = { .fd = making->new.fd,
					.format = making->options.format,
					.writable = true };
	CLEANUP(image_content_freep) struct image_content *content = NULL;
	AUTO_CLOSE int between = -1;
	int r;

	if (making->options.format == IMAGE_RAW || making->options.format == IMAGE_QCOW2)
		return qemu_img_convert(making->work, &source, &target);
	r = convert_open_between(making->work, &making->new, making->options.size, &between);
	if (r < 0)
		return r;
	target = (struct qemu_img_file){ .fd = between, .format = IMAGE_RAW, .writable = true };
	r = qemu_img_convert(making->work, &source, &target);
	if (r < 0)
		return r;
	r = image_content_open(between, IMAGE_RAW, false, &content);
	if (r)
		return disk_file_refuse(making->work, file, r);
	return convert_natively(making, file, content);
}

/* A source that is our own, into a target that is not. */
static int convert_to_foreign(struct making *making, const struct disk_file *file,
			      struct image_content *source)
{
	const struct qemu_img_file target = { making->new.fd, making->options.format, true };
	struct qemu_img_file raw = { .fd = file->fd, .format = IMAGE_RAW };
	struct making between = { .work = making->work, .new = making->new };
	AUTO_CLOSE int fd = -1;
	int r;

	if (file->format == IMAGE_RAW)
		return qemu_img_convert(making->work, &raw, &target);
	r = convert_open_between(making->work, &making->new, making->options.size, &fd);
	if (r == 0)
		r = image_content_open(fd, IMAGE_RAW, true, &between.content);
	if (r)
		return r;
	r = convert_natively(&between, file, source);
	image_content_free(between.content);
	raw.fd = fd;
	return r < 0 ? r : qemu_img_convert(making->work, &raw, &target);
}

static bool convert_is_native(enum image_format format)
{
	return format == IMAGE_RAW || format == IMAGE_VHDX;
}

/* *ret_content: NULL: the source is not our own. */
static int convert_open_source(struct disk_work *work, const struct disk_file *file,
			       struct disk_chain *chain, struct image_content **ret_content,
			       uint64_t *ret_size)
{
	const struct qemu_img_file foreign = { .fd = file->fd, .format = file->format };
	int r;

	if (!convert_is_native(file->format))
		return qemu_img_measure(work, &foreign, ret_size);
	r = disk_chain_open(work, file, chain, ret_content);
	if (r < 0)
		return r;
	*ret_size = image_content_size(*ret_content);
	return 0;
}

static int convert_file(struct disk_work *work, const struct disk_file *file)
{
	CLEANUP(disk_chain_close) struct disk_chain chain = { .count = 0 };
	CLEANUP(image_content_freep) struct image_content *source = NULL;
	const struct disk_request *request = work->request;
	struct making making = { .work = work };
	uint64_t size;
	int r = convert_open_source(work, file, &chain, &source, &size);

	if (r < 0)
		return r;
	making_choose(request, request->target_format, size,
		      source ? image_content_vhdx(source) : NULL, &making.options);
	/* A raw file may end in the middle of a sector. */
	making.options.size = ALIGN_UP(size, (uint64_t)making.options.sector_size);
	r = making_begin(&making, request->target);
	if (r < 0)
		return r;
	if (!source)
		r = convert_from_foreign(&making, file);
	else if (!making.content)
		r = convert_to_foreign(&making, file, source);
	else
		r = convert_natively(&making, file, source);
	return r < 0 ? making_fail(&making, r) : making_end(&making, request->target);
}

int disk_convert(struct disk_work *work)
{
	struct disk_file file;
	int r = disk_file_open(work, false, false, &file);

	if (r < 0)
		return r;
	r = convert_file(work, &file);
	close(file.fd);
	return r;
}
