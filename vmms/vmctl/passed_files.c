/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that vmctl opens, as whoever calls it, and passes to vmms (--pass).
 *
 * A VM of another user's names what that user likes. With the caller's rights nothing of it is
 * opened that the caller has not named, too, and nothing that a symbolic link leads to, since that
 * may be the other user's.
 */
#include "vmms/vmctl/passed_files.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/definition/definition.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PASSED_MAX 16 /* in one message, by dbus-daemon(1) as it comes */

/* What is passed of one VM. */
struct passing {
	sd_bus_message *call;
	const struct definition *definition;
	bool foreign; /* the VM is another user's */
};

static enum status files_open_file(const char *path, bool read_only, bool links, int *ret_fd)
{
	/*
	 * Nobody is to wait for a FIFO; vmms says what is wrong with it, and takes the flag away.
	 */
	const struct open_how how = {
		.flags = (uint64_t)(read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_NOCTTY |
			 O_CLOEXEC,
		.resolve = links ? 0 : RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd < 0) {
		AUTO_FREE char *shown = text_escape_new(path, strlen(path));

		fprintf(stderr, "vmctl: %s: %s\n", shown ? shown : "",
			!links && errno == ELOOP
				? "a symbolic link is part of that path, which may "
				  "be the VM's owner's; have the definition name "
				  "the file itself"
				: strerror(errno));
		return STATUS_FAILED;
	}
	*ret_fd = fd;
	return STATUS_OK;
}

enum status passed_file_open(const char *path, bool read_only, int *ret_fd)
{
	return files_open_file(path, read_only, true, ret_fd);
}

static enum status files_append(const struct passing *passing, const char *name, const char *path,
				bool read_only)
{
	AUTO_CLOSE int fd = -1;
	enum status status = files_open_file(path, read_only, !passing->foreign, &fd);
	int r;

	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(passing->call, "{sh}", name, fd);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status files_append_disks(const struct passing *passing)
{
	const struct definition *definition = passing->definition;
	enum status status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];
		char name[48];

		if (!disk->path)
			continue;
		snprintf(name, sizeof(name), "disk:%u:%u", disk->controller, disk->lun);
		status = files_append(passing, name, disk->path, disk->read_only);
	}
	return status;
}

static size_t files_count_files(const struct definition *definition)
{
	size_t count = (definition->boot.kernel != NULL) + (definition->boot.initrd != NULL);

	for (size_t i = 0; i < definition->disk_count; i++)
		count += definition->disks[i].path != NULL;
	return count;
}

static enum status files_append_all(const struct passing *passing)
{
	const struct definition *definition = passing->definition;
	enum status status;

	if (files_count_files(definition) > PASSED_MAX) {
		fprintf(stderr,
			"vmctl: a message bus passes %d files at once, and the VM has %zu; attach "
			"some of its disks when it runs\n",
			PASSED_MAX, files_count_files(definition));
		return STATUS_FAILED;
	}
	status = definition->boot.kernel
			 ? files_append(passing, "kernel", definition->boot.kernel, true)
			 : STATUS_OK;
	if (status == STATUS_OK && definition->boot.initrd)
		status = files_append(passing, "initrd", definition->boot.initrd, true);
	return status == STATUS_OK ? files_append_disks(passing) : status;
}

/* ---- Whose files they are ---- */

/* owner: as vmms says; "": all VMs are those of the caller, whose daemon it is. */
static bool files_is_foreign(const char *owner)
{
	const struct passwd *caller = getpwuid(geteuid());

	return owner[0] != '\0' && !(caller && strcmp(caller->pw_name, owner) == 0);
}

static bool files_is_named(const struct invocation *invocation, const char *path)
{
	for (size_t i = 0; i < invocation->option_count; i++) {
		if (strcmp(invocation->options[i].row->name, "file") == 0 &&
		    strcmp(invocation->options[i].value, path) == 0)
			return true;
	}
	return false;
}

static void files_check_named(const struct invocation *invocation, const char *path,
			      unsigned *missing)
{
	AUTO_FREE char *shown = NULL;

	if (!path || files_is_named(invocation, path))
		return;
	if ((*missing)++ == 0)
		fputs("vmctl: the VM is another user's, who has chosen these paths, and with "
		      "--pass "
		      "they would be opened with your rights; where that is what you want, name "
		      "each with --file:\n",
		      stderr);
	shown = text_escape_new(path, strlen(path));
	fprintf(stderr, "  %s\n", shown ?: "");
}

/* All that is missing is said at once. */
static enum status files_check_all_named(const struct invocation *invocation,
					 const struct definition *definition)
{
	unsigned missing = 0;

	files_check_named(invocation, definition->boot.kernel, &missing);
	files_check_named(invocation, definition->boot.initrd, &missing);
	for (size_t i = 0; i < definition->disk_count; i++)
		files_check_named(invocation, definition->disks[i].path, &missing);
	return missing == 0 ? STATUS_OK : STATUS_FAILED;
}

static int files_get_text(struct invocation *invocation, const char *path, const char *property,
			  sd_bus_error *error, char **ret_text)
{
	return sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
					  property, error, ret_text);
}

enum status passed_files_append(struct invocation *invocation, const char *path,
				sd_bus_message *call)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *text = NULL, *owner = NULL;
	struct passing passing = { .call = call };
	struct json_error why;
	enum status status;
	int r;

	r = files_get_text(invocation, path, "Definition", &error, &text);
	if (r >= 0)
		r = files_get_text(invocation, path, "Owner", &error, &owner);
	if (r < 0)
		return service_failed(r, &error);
	r = definition_parse(text, strlen(text), &definition, &why);
	if (r < 0)
		return service_failed(r, NULL);
	passing.definition = definition;
	passing.foreign = files_is_foreign(owner);
	status = passing.foreign ? files_check_all_named(invocation, definition) : STATUS_OK;
	if (status == STATUS_OK)
		r = sd_bus_message_open_container(call, 'a', "{sh}");
	if (r < 0)
		return service_failed(r, NULL);
	if (status == STATUS_OK)
		status = files_append_all(&passing);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_close_container(call);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}
