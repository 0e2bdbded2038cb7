/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chain of a disk's image.
 *
 * Among resources the image has the name of its disk, "disk:0:1"; files that are named follow it in
 * the order of the chain, as "disk:0:1+data" and "disk:0:1+backing:qcow2"; parents of an image that
 * the worker reads by itself as "disk:0:1+1", "disk:0:1+2".
 */
#include "vmms/image/image_chain_internal.h"

#include "common/base/path.h"
#include "common/base/text.h"
#include "common/image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK         IMAGE_CHAIN_MARK[0]
#define DATA         "data"
#define BACKING      "backing:"
#define SECTOR_SIZE  512 /* a backing file may be as small */
#define PATH_SHOWN   256
#define REASON_SHOWN 128

/* ---- Refusals ---- */

static const char *chain_show(const char *path, char shown[static PATH_SHOWN])
{
	text_repair(shown, PATH_SHOWN, path, strlen(path));
	return shown;
}

int chain_refuse_image(const struct chain *chain, struct failure *failure, const char *why)
{
	char path[PATH_SHOWN];

	return failure_set(failure, DBUS_ERROR_RESOURCE,
			   "cannot use disk image '%s' (controller %u, lun %u): %s",
			   chain_show(chain->path, path), chain->disk->controller, chain->disk->lun,
			   why);
}

int chain_refuse_named(const struct chain *chain, const struct named *named, const char *error,
		       const char *why, struct failure *failure)
{
	char image[PATH_SHOWN], path[PATH_SHOWN];

	return failure_set(failure, error,
			   "cannot use disk image '%s' (controller %u, lun %u): it names the %s "
			   "'%s', which cannot be used: %s",
			   chain_show(chain->path, image), chain->disk->controller,
			   chain->disk->lun, named->what, chain_show(named->path, path), why);
}

/* What it is not, or not by itself. */
static int chain_refuse_head(const struct chain *chain, int error, const char *named,
			     struct failure *failure)
{
	char why[PATH_SHOWN + 2 * REASON_SHOWN];

	if (error == IMAGE_FORMAT_E_OTHER)
		snprintf(why, sizeof(why), "it is not %s, as %s has it; correct that",
			 image_format_names[chain->format],
			 chain->count > 1 ? "the head of the image that it backs"
					  : "\"format\" in the VM's definition");
	else if (error == IMAGE_FORMAT_E_NAMES)
		snprintf(why, sizeof(why),
			 "it is not whole without %s, which no server can be given; make one "
			 "image of all with qemu-img(1): qemu-img convert",
			 named);
	else if (error == IMAGE_FORMAT_E_UNKNOWN)
		snprintf(why, sizeof(why),
			 "it names the backing file '%s', and does not say of which format that "
			 "is; say it with qemu-img(1): qemu-img rebase -u -F FORMAT -b FILE",
			 named);
	else if (error == IMAGE_FORMAT_E_PROTOCOL)
		snprintf(why, sizeof(why), "it names '%s', which is no path", named);
	else
		snprintf(why, sizeof(why), "it is no whole %s image: %s",
			 image_format_names[chain->format],
			 error < 0 ? strerror(-error) : "its head makes no sense");
	return chain_refuse_image(chain, failure, why);
}

int chain_refuse_open(const struct chain *chain, const struct named *named, int error,
		      struct failure *failure)
{
	const struct resources_request *request = chain->request;
	char why[REASON_SHOWN], rights[64];
	const char *vm = NULL;

	if (error != IMAGE_E_IN_USE) {
		snprintf(why, sizeof(why), "%s%s", image_error_text(error),
			 resources_rights_text(request, -error, rights));
		return chain_refuse_named(chain, named, DBUS_ERROR_RESOURCE, why, failure);
	}
	if (request->user)
		vm = request->user(request->user_data, named->path);
	if (vm)
		snprintf(why, sizeof(why), "it is in use by VM '%s'; stop that VM first", vm);
	else
		snprintf(why, sizeof(why),
			 "it is in use by another process, or mounted; lsof(8) shows by whom");
	return chain_refuse_named(chain, named, DBUS_ERROR_DISK_IN_USE, why, failure);
}

/* ---- Files that are named ---- */

/* Relative to the folder of the image, as QEMU has it. */
static int chain_find_path(const char *image, const char *name, char path[static PATH_MAX])
{
	const char *slash = strrchr(image, '/');
	int folder = name[0] == '/' || !slash ? 0 : (int)(slash - image) + 1;

	return snprintf(path, PATH_MAX, "%.*s%s", folder, image, name) < PATH_MAX ? 0
										  : -ENAMETOOLONG;
}

static bool chain_is_same(const struct stat *one, const struct stat *other)
{
	if (S_ISBLK(one->st_mode) && S_ISBLK(other->st_mode))
		return one->st_rdev == other->st_rdev;
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Return: 0; -ELOOP; -errno. */
static int chain_look_for_loop(const struct chain *chain, const char *path)
{
	AUTO_CLOSE int path_fd = -1;
	struct stat status;

	path_fd = path_look(path, &status);
	if (path_fd < 0)
		return -errno;
	for (unsigned i = 0; i < chain->count; i++) {
		if (chain_is_same(&status, &chain->files[i]))
			return -ELOOP;
	}
	return 0;
}

static bool chain_has_room(const struct chain *chain)
{
	unsigned count = 0;

	for (size_t i = 0; i < chain->resources->count; i++)
		count += strchr(chain->resources->items[i].name, MARK) != NULL;
	return chain->count < IMAGE_CHAIN_MAX && count < RESOURCES_NAMED_MAX;
}

static int chain_open_locked(const struct chain *chain, struct named *named,
			     struct failure *failure)
{
	const struct image_options options = { .read_only = named->read_only,
					       .direct = chain->disk->cache ==
							 DEFINITION_CACHE_DIRECT,
					       .sector_size = SECTOR_SIZE };
	struct image image;
	int r;

	r = chain_look_for_loop(chain, named->path);
	if (r == -ELOOP)
		return chain_refuse_named(chain, named, DBUS_ERROR_RESOURCE,
					  "it is in the chain of files already that names it",
					  failure);
	if (r == 0)
		r = resources_open_image(chain->resources, chain->request, named->path, &options,
					 &image);
	if (r != 0)
		return chain_refuse_open(chain, named, r, failure);
	named->fd = image.fd;
	return 0;
}

int chain_add_file(struct chain *chain, const struct named *named, const char *role,
		   const char *format)
{
	char disk[RESOURCES_NAME_MAX], name[2 * RESOURCES_NAME_MAX];

	resources_disk_name(chain->disk, disk);
	snprintf(name, sizeof(name), "%s%c%s%s", disk, MARK, role, format);
	resources_add(chain->resources, name, named->fd);
	return fstat(named->fd, &chain->files[chain->count++]) < 0 ? -errno : 0;
}

int chain_open_named(struct chain *chain, struct named *named, struct failure *failure)
{
	char shown[PATH_SHOWN];

	if (named->name && chain_find_path(chain->path, named->name, named->path) < 0)
		return chain_refuse_image(chain, failure,
					  "the path of a file that it names is too long");
	if (!chain_has_room(chain))
		return chain_refuse_image(
			chain, failure,
			"it names one file more than a disk, or all disks of a VM, may "
			"have; make one image of some with qemu-img(1): qemu-img "
			"convert, or qemu-img rebase");
	resources_look(chain->request, chain_show(named->path, shown));
	return chain_open_locked(chain, named, failure);
}

static int chain_open_data(struct chain *chain, const char *name, struct failure *failure)
{
	struct named named = { .what = "file with its data",
			       .name = name,
			       .read_only = chain->disk->read_only || chain->count > 1 };
	int r;

	r = chain_open_named(chain, &named, failure);
	if (r == 0 && chain_add_file(chain, &named, DATA, "") < 0)
		r = chain_refuse_open(chain, &named, -errno, failure);
	return r;
}

static int chain_open_backing(struct chain *chain, const struct image_names *names,
			      struct failure *failure)
{
	struct named named = { .what = "backing file", .name = names->backing, .read_only = true };
	int r;

	r = chain_open_named(chain, &named, failure);
	if (r < 0)
		return r;
	if (chain_add_file(chain, &named, BACKING, image_format_names[names->backing_format]) < 0)
		return chain_refuse_open(chain, &named, -errno, failure);
	chain->fd = named.fd;
	chain->format = names->backing_format;
	memcpy(chain->path, named.path, sizeof(chain->path));
	return 0;
}

/* ---- The image whose head is read ---- */

/* Of a block device, who may write it is up to the host. */
int chain_check_writers(const struct chain *chain, struct failure *failure)
{
	struct stat status;

	if (fstat(chain->fd, &status) < 0)
		return chain_refuse_head(chain, -errno, "", failure);
	if (S_ISBLK(status.st_mode))
		return 0;
	if (status.st_uid != geteuid() && status.st_uid != 0)
		return chain_refuse_image(
			chain, failure,
			"it names other files, and belongs neither to the VM's owner "
			"nor to root; chown(1) it");
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return chain_refuse_image(
			chain, failure,
			"it names other files, and others than its owner may write "
			"it; chmod go-w it");
	return 0;
}

static int chain_open_next(struct chain *chain, bool *ret_more, struct failure *failure)
{
	off_t size = lseek(chain->fd, 0, SEEK_END);
	const struct image_bytes bytes =
		image_bytes_of_file(chain->fd, size > 0 ? (uint64_t)size : 0);
	struct image_names names;
	int r;

	*ret_more = false;
	r = image_format_check(&bytes, chain->format, &names);
	if ((chain->format == IMAGE_VHDX || chain->format == IMAGE_VHD) && chain->count == 1 &&
	    (r == 0 || r == IMAGE_FORMAT_E_NAMES))
		return image_parents_open(chain, failure);
	if (r != 0)
		return chain_refuse_head(chain, r, names.named, failure);
	if (!names.data[0] && !names.backing[0])
		return 0;
	r = chain_check_writers(chain, failure);
	if (r == 0 && names.data[0])
		r = chain_open_data(chain, names.data, failure);
	if (r == 0 && names.backing[0]) {
		*ret_more = true;
		r = chain_open_backing(chain, &names, failure);
	}
	return r;
}

int image_chain_open(struct resources *resources, const struct resources_request *request,
		     const struct definition_disk *disk, int fd, struct failure *failure)
{
	int format = image_format_find(disk->format), r = 0;
	struct chain chain = { .resources = resources,
			       .request = request,
			       .disk = disk,
			       .count = 1,
			       .fd = fd,
			       .format = (enum image_format)MAX(format, 0) };
	bool more = true;

	snprintf(chain.path, sizeof(chain.path), "%s", disk->path);
	if (fstat(fd, &chain.files[0]) < 0)
		r = chain_refuse_head(&chain, -errno, "", failure);
	while (r == 0 && more)
		r = chain_open_next(&chain, &more, failure);
	return r;
}

/* ---- Among resources ---- */

/* What is said of it after the mark. Return: whether that is known. */
static bool chain_read_role(const char *role, struct image_file *file)
{
	int format;

	file->data = strcmp(role, DATA) == 0;
	file->format = IMAGE_RAW;
	if (file->data)
		return true;
	if (strncmp(role, BACKING, strlen(BACKING)) != 0)
		return false;
	format = image_format_find(role + strlen(BACKING));
	file->format = (enum image_format)MAX(format, 0);
	return format >= 0;
}

size_t image_chain_find(const struct opened_files *opened, const struct definition_disk *disk,
			struct image_file files[static IMAGE_CHAIN_MAX])
{
	int format = image_format_find(disk->format);
	char name[RESOURCES_NAME_MAX];
	size_t count = 0, length;

	resources_disk_name(disk, name);
	length = strlen(name);
	for (size_t i = 0; i < opened->count && count < IMAGE_CHAIN_MAX; i++) {
		const char *other = opened->items[i].name;
		struct image_file *file = &files[count];

		if (strncmp(other, name, length) != 0)
			continue;
		*file = (struct image_file){ .held = &opened->items[i],
					     .format = (enum image_format)MAX(format, 0) };
		if ((count == 0 && other[length] == '\0') ||
		    (count > 0 && other[length] == MARK &&
		     chain_read_role(other + length + 1, file)))
			count++;
	}
	return count;
}
