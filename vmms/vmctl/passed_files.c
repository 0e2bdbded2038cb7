/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that vmctl opens, as whoever calls it, and passes to vmms (--pass). */
#include "vmms/vmctl/passed_files.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/definition.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PASSED_MAX 16 /* in one message, by dbus-daemon(1) as it comes */

enum status passed_file_open(const char *path, bool read_only, int *ret_fd)
{
	/* Nobody is to wait for a FIFO; vmms says what is wrong with it, and takes the flag away.
	 */
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0) {
		AUTO_FREE char *shown = text_escape_new(path, strlen(path));

		fprintf(stderr, "vmctl: %s: %s\n", shown ? shown : "", strerror(errno));
		return STATUS_FAILED;
	}
	*ret_fd = fd;
	return STATUS_OK;
}

static enum status append(sd_bus_message *call, const char *name, const char *path, bool read_only)
{
	AUTO_CLOSE int fd = -1;
	enum status status = passed_file_open(path, read_only, &fd);
	int r;

	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "{sh}", name, fd);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status append_disks(sd_bus_message *call, const struct definition *definition)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];
		char name[48];

		if (!disk->path)
			continue;
		snprintf(name, sizeof(name), "disk:%u:%u", disk->controller, disk->lun);
		status = append(call, name, disk->path, disk->read_only);
	}
	return status;
}

static size_t count_files(const struct definition *definition)
{
	size_t count = definition->boot.initrd ? 2 : 1;

	for (size_t i = 0; i < definition->disk_count; i++)
		count += definition->disks[i].path != NULL;
	return count;
}

static enum status append_all(sd_bus_message *call, const struct definition *definition)
{
	enum status status;

	if (count_files(definition) > PASSED_MAX) {
		fprintf(stderr,
			"vmctl: a message bus passes %d files at once, and the VM has %zu; attach "
			"some of its disks when it runs\n",
			PASSED_MAX, count_files(definition));
		return STATUS_FAILED;
	}
	status = append(call, "kernel", definition->boot.kernel, true);
	if (status == STATUS_OK && definition->boot.initrd)
		status = append(call, "initrd", definition->boot.initrd, true);
	return status == STATUS_OK ? append_disks(call, definition) : status;
}

enum status passed_files_append(struct invocation *invocation, const char *path,
				sd_bus_message *call)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *text = NULL;
	struct json_error why;
	enum status status;
	int r;

	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
				       "Definition", &error, &text);
	if (r < 0)
		return service_failed(r, &error);
	r = definition_parse(text, strlen(text), &definition, &why);
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "{sh}");
	if (r < 0)
		return service_failed(r, NULL);
	status = append_all(call, definition);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_close_container(call);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}
