/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl firmware show, reset, export: the firmware of a VM, and what it has set. */
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- show ---- */

static void firmware_say_variables(struct invocation *invocation, struct json_object *variables)
{
	const char *state = json_member_text(variables, "state");

	if (strcmp(state, "new") == 0)
		output_say(invocation, "variables:  none yet: its next start makes them");
	else if (strcmp(state, "damaged") == 0)
		output_say(invocation,
			   "variables:  damaged: 'vmctl firmware reset' has them made anew");
	else
		output_say(invocation, "variables:  %s, %" PRIu64 " KiB", state,
			   json_object_get_uint64(json_object_object_get(variables, "size")) /
				   1024);
}

/* The order in which they are tried. */
static void firmware_say_entries(struct invocation *invocation, struct json_object *entries)
{
	size_t count = entries ? json_object_array_length(entries) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *entry = json_object_array_get_idx(entries, i);
		bool active = json_object_get_boolean(json_object_object_get(entry, "active"));
		bool next = json_object_get_boolean(json_object_object_get(entry, "next"));

		output_say(invocation, "%s  Boot%04X%s%s: %s, %s",
			   i == 0 ? "boots:    " : "          ",
			   (unsigned)json_object_get_int64(json_object_object_get(entry, "number")),
			   active ? "" : " (off)", next ? " (next)" : "",
			   json_member_text(entry, "description"), json_member_text(entry, "path"));
	}
}

static void firmware_say(struct invocation *invocation, struct json_object *tree)
{
	struct json_object *firmware = json_object_object_get(tree, "firmware");
	struct json_object *variables = json_object_object_get(tree, "variables");

	if (firmware)
		output_say(invocation, "firmware:   %s, of the package %s",
			   json_member_text(firmware, "path"),
			   json_member_text(firmware, "package"));
	else
		output_say(invocation, "firmware:   none: a kernel is loaded");
	if (variables) {
		firmware_say_variables(invocation, variables);
		firmware_say_entries(invocation, json_object_object_get(variables, "boot_entries"));
	}
}

enum status command_firmware_show(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	enum status status =
		service_ask_vm(invocation, "GetFirmware", SERVICE_TIMEOUT, NULL, &reply);
	int r;

	if (status != STATUS_OK)
		return status;
	r = service_read_json(reply, &tree);
	if (r >= 0)
		firmware_say(invocation, tree);
	if (r >= 0 && invocation->json)
		r = json_print(TAKE_PTR(tree));
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- reset ---- */

enum status command_firmware_reset(struct invocation *invocation)
{
	enum status status =
		service_ask_vm(invocation, "ResetVariables", SERVICE_TIMEOUT, NULL, NULL);

	if (status == STATUS_OK)
		output_say(
			invocation,
			"VM '%s' forgets what its firmware had set: its next start makes it anew",
			invocation->arguments[0]);
	return status;
}

/* ---- export ---- */

static int firmware_write(FILE *file, const void *bytes, size_t size)
{
	if (fwrite(bytes, 1, size, file) != size || fflush(file) != 0)
		return -errno;
	return 0;
}

/* A boot loader's secrets may be among them: they are not for everybody. */
static int firmware_write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	int r;

	if (!file)
		return -errno;
	r = firmware_write(file, bytes, size);
	if (fclose(file) != 0 && r == 0)
		r = -errno;
	if (r < 0)
		(void)unlink(path);
	return r;
}

enum status command_firmware_export(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	const char *path = invocation->arguments[1];
	enum status status =
		service_ask_vm(invocation, "ReadVariables", SERVICE_TIMEOUT, NULL, &reply);
	const void *bytes;
	size_t size;
	int r;

	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_read_array(reply, 'y', &bytes, &size);
	if (r < 0)
		return service_failed(r, NULL);
	r = strcmp(path, "-") == 0 ? firmware_write(stdout, bytes, size)
				   : firmware_write_file(path, bytes, size);
	if (r == 0)
		return STATUS_OK;
	usage_error(invocation, "cannot write '%s': %s", path, strerror(-r));
	return STATUS_FAILED;
}
