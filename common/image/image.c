/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening and locking disk images.
 *
 * Direct I/O is used where every sector the guest can address is a legal transfer. The kernel
 * tells the alignments by statx(2) for most file systems; where it does not, a trial read does.
 */
#include "common/image/image.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIAL_ALIGNMENT     4096
#define FILE_BLOCK_SIZE_MAX 4096u /* what file systems call preferred may be far more */

static int image_check_kind(const struct stat *status)
{
	return S_ISREG(status->st_mode) || S_ISBLK(status->st_mode) ? 0 : IMAGE_E_KIND;
}

static int image_lock(int fd, bool read_only)
{
	struct flock lock = {
		.l_type = read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? IMAGE_E_IN_USE : -errno;
}

/* beside_readers: another's lock is no hindrance that whoever may read the file can have. */
static int image_open_locked(int path_fd, const struct image_options *options, int flags,
			     bool beside_readers, int *ret_fd)
{
	AUTO_CLOSE int fd = -1;
	int r;

	fd = path_open(path_fd, flags | (options->direct ? O_DIRECT : 0));
	if (fd < 0 && errno == EINVAL && options->direct)
		fd = path_open(path_fd, flags);
	if (fd < 0)
		return errno == EBUSY || errno == EWOULDBLOCK ? IMAGE_E_IN_USE : -errno;
	r = options->unlocked ? 0 : image_lock(fd, options->read_only || beside_readers);
	if (r)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/*
 * Nobody has it open for writing: then the kernel grants its owner a lease. Where it does not say,
 * as on file systems of networks, somebody has.
 */
static bool image_is_written(int path_fd)
{
	AUTO_CLOSE int fd = path_open(path_fd, O_RDONLY | O_NONBLOCK);

	return fd < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) < 0 || fcntl(fd, F_SETLEASE, F_UNLCK) < 0;
}

static int image_open_path(const char *path, const struct image_options *options,
			   bool beside_readers, struct image *ret_image)
{
	AUTO_CLOSE int path_fd = -1, fd = -1;
	int flags = options->read_only ? O_RDONLY : O_RDWR;
	struct stat status;
	int r;

	path_fd = path_look(path, &status);
	if (path_fd < 0)
		return -errno;
	r = image_check_kind(&status);
	if (r)
		return r;
	/* To a drive of removable media it would mean that it need not have one. */
	if (S_ISREG(status.st_mode))
		flags |= O_NONBLOCK;
	else if (!options->read_only && !options->unlocked)
		flags |= O_EXCL;
	if (beside_readers &&
	    (options->read_only || !S_ISREG(status.st_mode) || image_is_written(path_fd)))
		return IMAGE_E_IN_USE;
	r = image_open_locked(path_fd, options, flags, beside_readers, &fd);
	if (r)
		return r;
	r = image_examine(fd, options, ret_image);
	if (r)
		return r;
	TAKE_FD(fd);
	return 0;
}

int image_open(const char *path, const struct image_options *options, struct image *ret_image)
{
	return image_open_path(path, options, false, ret_image);
}

int image_open_beside_readers(const char *path, const struct image_options *options,
			      struct image *ret_image)
{
	return image_open_path(path, options, true, ret_image);
}

/* What it was opened for decides; here it is only made fit for what the disk does. */
static int image_set_flags(int fd, bool direct)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return error_origin(-errno);
	if (flags & (O_APPEND | O_PATH))
		return IMAGE_E_ACCESS;
	flags &= ~O_NONBLOCK;
	if (direct && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0)
		return 0;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int image_adopt(int fd, const struct image_options *options, struct image *ret_image)
{
	struct image image;
	struct stat status;
	int r;

	if (path_look_at(fd, &status) < 0)
		return error_origin(-errno);
	r = image_check_kind(&status);
	if (r == 0)
		r = image_set_flags(fd, options->direct);
	if (r == 0)
		r = image_examine(fd, options, &image);
	if (r == 0)
		r = image_lock(fd, options->read_only);
	if (r == 0)
		*ret_image = image;
	return r;
}

static int image_measure(struct image *image, const struct stat *status, uint32_t sector_size)
{
	unsigned physical_block_size = 0;
	uint64_t size = (uint64_t)status->st_size;

	image->physical_block_size = MIN((uint32_t)status->st_blksize, FILE_BLOCK_SIZE_MAX);
	if (image->block_device) {
		if (ioctl(image->fd, BLKGETSIZE64, &size) < 0 ||
		    ioctl(image->fd, BLKPBSZGET, &physical_block_size) < 0)
			return error_origin(-errno);
		image->physical_block_size = physical_block_size;
	}
	image->physical_block_size = MAX(image->physical_block_size, sector_size);
	image->size = size - size % sector_size;
	return image->size ? 0 : IMAGE_E_EMPTY;
}

/* Whether a sector can be read into memory aligned as the guest's pages are. */
static bool image_trial_read(int fd, uint32_t sector_size)
{
	AUTO_FREE void *buffer = NULL;

	if (posix_memalign(&buffer, TRIAL_ALIGNMENT, TRIAL_ALIGNMENT))
		return false;
	return pread(fd, buffer, sector_size, sector_size) >= 0 || errno != EINVAL;
}

/*
 * Finds the alignments that direct I/O asks for, and turns it off where sectors do not meet them.
 */
static int image_settle_direct(struct image *image, int flags, uint32_t sector_size)
{
	struct statx status;

	image->memory_alignment = image->transfer_alignment = 1;
	image->direct = false;
	if (!(flags & O_DIRECT))
		return 0;
	if (statx(image->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) < 0)
		return error_origin(-errno);
	if (status.stx_mask & STATX_DIOALIGN) {
		image->memory_alignment = status.stx_dio_mem_align;
		image->transfer_alignment = status.stx_dio_offset_align;
		image->direct = status.stx_dio_mem_align && status.stx_dio_offset_align &&
				sector_size % status.stx_dio_offset_align == 0;
	} else {
		image->memory_alignment = image->transfer_alignment = sector_size;
		image->direct = image_trial_read(image->fd, sector_size);
	}
	if (image->direct)
		return 0;
	image->memory_alignment = image->transfer_alignment = 1;
	return fcntl(image->fd, F_SETFL, flags & ~O_DIRECT) < 0 ? -errno : 0;
}

/*
 * A hole beyond the end of a file changes nothing but the time when that was changed last, which
 * its owner can set back: who looks at it is to see what was written.
 */
static bool image_try_hole(const struct image *image)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	struct stat status;
	bool can;

	if (fstat(image->fd, &status) == 0)
		times[1] = status.st_mtim;
	can = fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)ALIGN_UP(image->size, (uint64_t)TRIAL_ALIGNMENT) + TRIAL_ALIGNMENT,
			TRIAL_ALIGNMENT) == 0;
	if (can)
		(void)!futimens(image->fd, times);
	return can;
}

/*
 * Asks for something that would be refused or do nothing, and learns from how. A device without
 * discard says so before it looks at the range, which here is not aligned to anything.
 */
static bool image_can_discard(const struct image *image)
{
	uint64_t bad_range[2] = { 1, 0 };

	if (image->read_only)
		return false;
	if (image->block_device)
		return ioctl(image->fd, BLKDISCARD, bad_range) == 0 || errno == EINVAL;
	return image_try_hole(image);
}

int image_examine(int fd, const struct image_options *options, struct image *ret_image)
{
	struct image image = { .fd = fd, .read_only = options->read_only };
	struct stat status;
	int flags, r;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &status) < 0)
		return error_origin(-errno);
	r = image_check_kind(&status);
	if (r)
		return r;
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY ||
	    (!options->read_only && (flags & O_ACCMODE) != O_RDWR))
		return IMAGE_E_ACCESS;
	image.block_device = S_ISBLK(status.st_mode);
	r = image_measure(&image, &status, options->sector_size);
	if (r)
		return r;
	r = image_settle_direct(&image, flags, options->sector_size);
	if (r)
		return r;
	image.discard = image_can_discard(&image);
	*ret_image = image;
	return 0;
}

const char *image_error_text(int error)
{
	static const char *const texts[] = {
		[IMAGE_E_IN_USE] = "it is in use: another VM has it open, or it is mounted",
		[IMAGE_E_KIND] = "it is neither a regular file nor a block device",
		[IMAGE_E_EMPTY] = "it is smaller than one sector",
		[IMAGE_E_ACCESS] = "its descriptor is not open for the access that the disk needs, "
				   "or for appending",
	};

	if (error < 0)
		return strerrordesc_np(-error) ? strerrordesc_np(-error) : "unknown error";
	return (size_t)error < ARRAY_SIZE(texts) && texts[error] ? texts[error] : "no error";
}
