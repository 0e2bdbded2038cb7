/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a disk of descriptors: raw, of VHDX or VHD with all parents, or one that a server has. */
#include "vmwp/device/disk_open.h"

#include "common/base/cleanup.h"
#include "common/image/image.h"
#include "vmwp/device/disks.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static int disk_refuse_image(const struct definition_disk *definition, const char *why,
			     struct failure *failure)
{
	failure_set(failure, 0, "The image of disk %u:%u cannot be used: %s.",
		    definition->controller, definition->lun, why);
	return DISKS_E_REFUSED;
}

/*
 * The protocol does not tell what becomes of trimmed blocks. The server gives back clusters of
 * qcow2, which read as zeros then; of VMDK it keeps the data.
 */
static bool disk_unmap_zeroes(const struct definition_disk *definition)
{
	return image_format_find(definition->format) == IMAGE_QCOW2;
}

/* The descriptor is a connection to the image's server. */
static int disk_open_served(struct loop *loop, const struct definition_disk *definition, int fd,
			    const struct disk_nbd_owner *owner, struct disk **ret_disk,
			    struct failure *failure)
{
	const struct disk_nbd_options options = { .sector_size = definition->sector_size,
						  .read_only = definition->read_only,
						  .unmap_zeroes = disk_unmap_zeroes(definition),
						  .waits = true,
						  .owner = *owner };
	int r;

	r = disk_nbd_new(loop, fd, &options, ret_disk);
	return r ? disk_refuse_image(definition, nbd_error_text(r), failure) : 0;
}

/* A daemon of before has a server for images that are read here now. */
static bool disk_is_served(const struct definition_disk *definition, int fd)
{
	struct stat status;

	return !image_format_is_native(definition->format) ||
	       (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode));
}

/* A descriptor is closed, or has become a part of *image. */
static int disk_examine(const struct definition_disk *definition, bool read_only, int fd,
			struct image *image, struct failure *failure)
{
	/* VHD has such sectors, whatever is said. */
	bool vhd = definition->format && image_format_find(definition->format) == IMAGE_VHD;
	const struct image_options options = { .read_only = read_only,
					       .sector_size =
						       vhd ? VHD_SECTOR : definition->sector_size };
	int r = image_examine(fd, &options, image);

	if (!r)
		return 0;
	close(fd);
	return disk_refuse_image(definition, image_error_text(r), failure);
}

/* What is known of a chain until now: its last image, and that one's id, if it is VHD. */
struct disk_chain {
	struct disk *disk;
	uint8_t id[16];
};

/* One more, which stands on the others. */
static int disk_open_next(struct loop *loop, const struct definition_disk *definition,
			  bool read_only, int fd, struct disk_chain *chain, struct failure *failure)
{
	bool unsafe = definition->cache == DEFINITION_CACHE_UNSAFE;
	bool vhd = image_format_find(definition->format) == IMAGE_VHD;
	struct disk *parent = TAKE_PTR(chain->disk);
	struct image image;
	int r;

	r = disk_examine(definition, read_only, fd, &image, failure);
	if (r) {
		if (parent)
			disk_retire(parent, NULL, NULL);
		return r;
	}
	if (vhd)
		r = disk_vhd_open(loop, &image, parent, chain->id, unsafe, &chain->disk);
	else
		r = disk_vhdx_open(loop, &image, parent, unsafe, &chain->disk);
	return r ? disk_refuse_image(definition, vhd ? vhd_error_text(r) : vhdx_error_text(r),
				     failure)
		 : 0;
}

/* The last one stands by itself, the others each on the one after. Only the first is written. */
static int disk_open_chain(struct loop *loop, const struct definition_disk *definition, int *fds,
			   size_t count, struct disk **ret_disk, struct failure *failure)
{
	struct disk_chain chain = { .disk = NULL };

	for (size_t i = count; i-- > 0;) {
		int r = disk_open_next(loop, definition, definition->read_only || i > 0,
				       TAKE_FD(fds[i]), &chain, failure);

		if (r)
			return r;
	}
	*ret_disk = chain.disk;
	return 0;
}

static int disk_open_raw(struct loop *loop, const struct definition_disk *definition, int fd,
			 struct disk **ret_disk, struct failure *failure)
{
	struct image image;
	int r;

	r = disk_examine(definition, definition->read_only, fd, &image, failure);
	if (r == 0)
		r = disk_file_new(loop, &image, definition->sector_size, ret_disk);
	if (r == 0 && definition->cache == DEFINITION_CACHE_UNSAFE)
		disk_file_drop_flushes(*ret_disk);
	return r;
}

static int disk_open_image(struct loop *loop, const struct definition_disk *definition, int *fds,
			   size_t count, const struct disk_nbd_owner *owner, struct disk **ret_disk,
			   struct failure *failure)
{
	if (disk_is_served(definition, fds[0]))
		return disk_open_served(loop, definition, TAKE_FD(fds[0]), owner, ret_disk,
					failure);
	if (definition->format && image_format_find(definition->format) != IMAGE_RAW)
		return disk_open_chain(loop, definition, fds, count, ret_disk, failure);
	return disk_open_raw(loop, definition, TAKE_FD(fds[0]), ret_disk, failure);
}

int disk_open(struct loop *loop, const struct definition_disk *definition, int *fds, size_t count,
	      const struct disk_nbd_owner *owner, struct disk **ret_disk, struct failure *failure)
{
	const struct disk_limits limits = { .iops = definition->iops,
					    .bandwidth = definition->bandwidth };
	struct disk *disk;
	int r;

	r = disk_open_image(loop, definition, fds, count, owner, &disk, failure);
	if (r)
		return r;
	r = disk_limit(disk, loop, &limits);
	if (r < 0) {
		disk_retire(disk, NULL, NULL);
		return r;
	}
	*ret_disk = disk;
	return 0;
}
