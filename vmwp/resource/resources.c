/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The open descriptors that a VM runs on, by name. */
#include "vmwp/resource/resources.h"

#include "common/base/list.h"
#include "common/base/parse.h"
#include "common/image/image.h"
#include "vmwp/resource/network_open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct resource {
	struct list link;
	char name[RESOURCES_NAME_MAX];
	int fd;
};

struct resources {
	struct list list;
};

int resources_new(struct resources **ret_resources)
{
	struct resources *resources = calloc(1, sizeof(*resources));

	if (!resources)
		return -ENOMEM;
	list_init(&resources->list);
	*ret_resources = resources;
	return 0;
}

static void resource_free(struct resource *resource)
{
	list_unlink(&resource->link);
	if (resource->fd >= 0)
		close(resource->fd);
	free(resource);
}

void resources_free(struct resources *resources)
{
	if (!resources)
		return;
	list_for_each (link, &resources->list)
		resource_free(container_of(link, struct resource, link));
	free(resources);
}

void resources_disk_name(unsigned controller, unsigned lun, char name[RESOURCES_NAME_MAX])
{
	snprintf(name, RESOURCES_NAME_MAX, "disk:%u:%u", controller, lun);
}

void resources_parent_name(unsigned controller, unsigned lun, unsigned number,
			   char name[RESOURCES_NAME_MAX])
{
	snprintf(name, RESOURCES_NAME_MAX, "disk:%u:%u+%u", controller, lun, number);
}

/* Of a disk, or of one of its parents. */
static bool resources_is_disk_name(const char *name)
{
	unsigned controller, lun, number = 0;
	char canonical[RESOURCES_NAME_MAX];

	if (sscanf(name, "disk:%2u:%2u+%2u", &controller, &lun, &number) < 2 ||
	    controller >= DEFINITION_CONTROLLERS_MAX || lun >= DEFINITION_LUNS_MAX ||
	    number > RESOURCES_PARENTS_MAX)
		return false;
	if (number)
		resources_parent_name(controller, lun, number, canonical);
	else
		resources_disk_name(controller, lun, canonical);
	return strcmp(name, canonical) == 0;
}

void resources_changes_name(unsigned controller, unsigned lun, char name[RESOURCES_NAME_MAX])
{
	snprintf(name, RESOURCES_NAME_MAX, "changes:%u:%u", controller, lun);
}

static bool resources_is_changes_name(const char *name)
{
	unsigned controller, lun;
	char canonical[RESOURCES_NAME_MAX];

	if (sscanf(name, "changes:%2u:%2u", &controller, &lun) != 2 ||
	    controller >= DEFINITION_CONTROLLERS_MAX || lun >= DEFINITION_LUNS_MAX)
		return false;
	resources_changes_name(controller, lun, canonical);
	return strcmp(name, canonical) == 0;
}

void resources_memory_name(size_t region, char name[RESOURCES_NAME_MAX])
{
	snprintf(name, RESOURCES_NAME_MAX, "memory:%zu", region);
}

static bool resources_is_memory_name(const char *name)
{
	char canonical[RESOURCES_NAME_MAX];
	unsigned region;

	if (sscanf(name, "memory:%3u", &region) != 1 || region >= RESOURCES_REGIONS_MAX)
		return false;
	resources_memory_name(region, canonical);
	return strcmp(name, canonical) == 0;
}

void resources_tap_name(const char *adapter, unsigned queue, char name[RESOURCES_NAME_MAX])
{
	snprintf(name, RESOURCES_NAME_MAX, "net:%s:%u", adapter, queue);
}

void resources_socket_name(const char *adapter, char name[RESOURCES_NAME_MAX])
{
	snprintf(name, RESOURCES_NAME_MAX, "net:%s", adapter);
}

/* "net:NAME" or "net:NAME:QUEUE". */
static bool resources_is_network_name(const char *name)
{
	char adapter[RESOURCES_NAME_MAX], canonical[RESOURCES_NAME_MAX];
	const char *queue;

	if (strncmp(name, "net:", 4) != 0 || strlen(name) >= sizeof(adapter))
		return false;
	strcpy(adapter, name + 4);
	adapter[strcspn(adapter, ":")] = '\0';
	if (!definition_adapter_name_is_valid(adapter))
		return false;
	queue = strchr(name + 4, ':');
	for (unsigned i = 0; queue && i < DEFINITION_ADAPTER_QUEUES_MAX; i++) {
		resources_tap_name(adapter, i, canonical);
		if (strcmp(name, canonical) == 0)
			return true;
	}
	return !queue;
}

/* A name that a descriptor may have. */
static bool resource_name_is_valid(const char *name)
{
	static const char *const names[] = { "kvm",      "kernel",  "initrd",
					     "bios",     "uefi",    "serial",
					     "end",      "sockets", "uefi-variables",
					     "variables" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return resources_is_disk_name(name) || resources_is_changes_name(name) ||
	       resources_is_memory_name(name) || resources_is_network_name(name);
}

static struct resource *resources_find(struct resources *resources, const char *name)
{
	list_for_each (link, &resources->list) {
		struct resource *resource = container_of(link, struct resource, link);

		if (strcmp(resource->name, name) == 0)
			return resource;
	}
	return NULL;
}

int resources_put(struct resources *resources, const char *name, int fd)
{
	struct resource *resource;
	int r = -EINVAL;

	if (!resource_name_is_valid(name))
		goto error;
	r = -ENOMEM;
	resource = calloc(1, sizeof(*resource));
	if (!resource)
		goto error;
	close(resources_take(resources, name));
	snprintf(resource->name, sizeof(resource->name), "%s", name);
	resource->fd = fd;
	list_append(&resources->list, &resource->link);
	return 0;

error:
	close(fd);
	return r;
}

int resources_take(struct resources *resources, const char *name)
{
	struct resource *resource = resources_find(resources, name);
	int fd;

	if (!resource)
		return -1;
	fd = TAKE_FD(resource->fd);
	resource_free(resource);
	return fd;
}

static int resources_open_file(struct resources *resources, const char *name, const char *path,
			       int flags, struct failure *failure)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return failure_set(failure, -errno, "Cannot open %s: %s.", path, strerror(errno));
	return resources_put(resources, name, fd);
}

/* By hand there is nobody else to put an image in order. Return: NULL; why that cannot be. */
static const char *resources_recover(const struct definition_disk *disk, int fd)
{
	int format = disk->format ? image_format_find(disk->format) : IMAGE_RAW, r = 0;
	uint64_t most;

	if (format == IMAGE_VHDX)
		r = vhdx_recover(fd, !disk->read_only, &most);
	else if (format == IMAGE_VHD)
		r = vhd_recover(fd, !disk->read_only, &most);
	if (!r)
		return NULL;
	return format == IMAGE_VHD ? vhd_error_text(r) : vhdx_error_text(r);
}

static int resources_open_disk(struct resources *resources, const struct definition_disk *disk,
			       struct failure *failure)
{
	const struct image_options options = {
		.read_only = disk->read_only,
		.direct = disk->cache == DEFINITION_CACHE_DIRECT,
		.sector_size = disk->sector_size,
	};
	char name[RESOURCES_NAME_MAX];
	struct image image;
	const char *why;
	int r;

	if (!disk->path)
		return 0;
	if (!image_format_is_native(disk->format))
		return failure_set(
			failure, -EINVAL,
			"The disk image %s is of qcow2 or VMDK, which takes a server that only "
			"vmms starts.",
			disk->path);
	r = image_open(disk->path, &options, &image);
	if (r)
		return failure_set(failure, r < 0 ? r : -EINVAL,
				   "Cannot use the disk image %s: %s.", disk->path,
				   image_error_text(r));
	why = resources_recover(disk, image.fd);
	if (why) {
		close(image.fd);
		return failure_set(failure, -EINVAL, "Cannot use the disk image %s: %s.",
				   disk->path, why);
	}
	resources_disk_name(disk->controller, disk->lun, name);
	return resources_put(resources, name, image.fd);
}

int resources_open(struct resources *resources, const struct definition *definition,
		   struct failure *failure)
{
	const struct definition_firmware *firmware = definition_firmware(definition);
	int r;

	r = resources_open_file(resources, "kvm", "/dev/kvm", O_RDWR, failure);
	if (r < 0)
		return r;
	if (firmware) {
		r = resources_open_file(resources, firmware->name, firmware->path, O_RDONLY,
					failure);
		if (r == 0 && firmware->variables)
			r = resources_open_file(resources, "uefi-variables", firmware->variables,
						O_RDONLY, failure);
		if (r < 0)
			return r;
	}
	if (!firmware && !definition->boot.kernel)
		return failure_set(failure, -EINVAL,
				   "The definition names no kernel to boot: give "
				   "\"boot\": {\"kernel\": …}.");
	if (definition->boot.kernel) {
		r = resources_open_file(resources, "kernel", definition->boot.kernel, O_RDONLY,
					failure);
		if (r < 0)
			return r;
	}
	if (definition->boot.initrd) {
		r = resources_open_file(resources, "initrd", definition->boot.initrd, O_RDONLY,
					failure);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < definition->disk_count; i++) {
		r = resources_open_disk(resources, &definition->disks[i], failure);
		if (r < 0)
			return r;
	}
	for (unsigned i = 0; i < definition->network.adapter_count; i++) {
		r = network_open(resources, &definition->network.adapters[i],
				 definition->processors.count, failure);
		if (r < 0)
			return r;
	}
	return 0;
}
