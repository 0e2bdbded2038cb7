/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl attach, detach, insert, eject. */
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/passed_files.h"
#include "vmms/vmctl/service.h"

#include "common/base/cleanup.h"
#include "common/definition.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- attach ---- */

/* The disk that the options describe; NULL: refused, which has been said. */
static struct json_object *describe_disk(struct invocation *invocation)
{
	static const char *const numbers[][2] = { { "controller", "controller" },
						  { "lun", "lun" },
						  { "sector-size", "sector_size" } };
	static const char *const texts[][2] = { { "serial", "serial" },
						{ "cache", "cache" },
						{ "format", "format" } };
	AUTO_JSON struct json_object *disk = json_object_new_object();
	AUTO_FREE char *path = NULL;
	unsigned number;
	int r;

	if (invocation->argument_count > 1) {
		path = absolute_path(invocation->arguments[1]);
		json_add(&disk, "path", path ? json_object_new_string(path) : NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (!invocation_has(invocation, numbers[i][0]))
			continue;
		if (!invocation_number(invocation, numbers[i][0], UINT16_MAX, &number))
			return NULL;
		json_add(&disk, numbers[i][1], json_object_new_int64(number));
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (invocation_has(invocation, texts[i][0]))
			json_add(&disk, texts[i][1],
				 json_object_new_string(invocation_value(invocation, texts[i][0])));
	}
	if (invocation_has(invocation, "read-only"))
		json_add(&disk, "read_only", json_object_new_boolean(true));
	if (invocation_has(invocation, "dvd"))
		json_add(&disk, "type", json_object_new_string("dvd"));
	r = disk_text_find_format(&disk);
	if (!disk)
		service_failed(-ENOMEM, NULL);
	return r < 0 ? NULL : TAKE_PTR(disk);
}

static enum status print_place(struct invocation *invocation, sd_bus_message *reply)
{
	uint32_t controller, lun;
	int r;

	r = sd_bus_message_read(reply, "uu", &controller, &lun);
	if (r < 0)
		return service_failed(r, NULL);
	if (invocation->json)
		printf("{ \"controller\": %u, \"lun\": %u }\n", controller, lun);
	else
		printf("controller %u, lun %u\n", controller, lun);
	return STATUS_OK;
}

/* What --pass adds to a call: the file itself. */
static enum status append_file(struct invocation *invocation, const char *path, bool read_only,
			       sd_bus_message *call)
{
	AUTO_CLOSE int fd = -1;
	enum status status;
	int r;

	if (!invocation_has(invocation, "pass"))
		return STATUS_OK;
	status = passed_file_open(path, read_only, &fd);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "h", fd);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status command_attach(struct invocation *invocation)
{
	bool pass = invocation_has(invocation, "pass");
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	AUTO_JSON struct json_object *disk = describe_disk(invocation);
	AUTO_FREE char *path = NULL;
	enum status status;
	int r;

	if (!disk)
		return STATUS_USAGE;
	if (pass && invocation->argument_count < 2)
		return usage_error(invocation, "--pass goes with a file");
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path,
					  pass ? "AttachDiskWithFile" : "AttachDisk", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "s", json_object_to_json_string(disk));
	if (r < 0)
		return service_failed(r, NULL);
	status = append_file(
		invocation, invocation->arguments[1],
		invocation_has(invocation, "read-only") || invocation_has(invocation, "dvd"), call);
	if (status != STATUS_OK)
		return status;
	status = service_send(invocation, call, SERVICE_NO_TIMEOUT, &reply);
	return status == STATUS_OK ? print_place(invocation, reply) : status;
}

/* ---- detach, insert, eject ---- */

/* A call for the disk that the options name. */
static enum status new_disk_call(struct invocation *invocation, const char *method,
				 sd_bus_message **ret_call)
{
	unsigned controller = 0, lun = 0;
	AUTO_FREE char *path = NULL;
	enum status status;
	int r;

	if (!invocation_has(invocation, "lun"))
		return usage_error(invocation, "which disk? --lun N; 'vmctl show' lists them");
	if (!invocation_number(invocation, "controller", DEFINITION_CONTROLLERS_MAX - 1,
			       &controller) ||
	    !invocation_number(invocation, "lun", DEFINITION_LUNS_MAX - 1, &lun))
		return STATUS_USAGE;
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, method, ret_call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(*ret_call, "uu", (uint32_t)controller, (uint32_t)lun);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status command_detach(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;

	status = new_disk_call(invocation, "DetachDisk", &call);
	if (status == STATUS_OK)
		status = service_send(invocation, call, SERVICE_NO_TIMEOUT, NULL);
	return status;
}

enum status command_insert(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *path = absolute_path(invocation->arguments[1]);
	enum status status;
	int r;

	status = new_disk_call(invocation,
			       invocation_has(invocation, "pass") ? "InsertMediumWithFile"
								  : "InsertMedium",
			       &call);
	if (status != STATUS_OK)
		return status;
	r = path ? sd_bus_message_append(call, "s", path) : -ENOMEM;
	if (r < 0)
		return service_failed(r, NULL);
	status = append_file(invocation, path, true, call);
	if (status != STATUS_OK)
		return status;
	return service_send(invocation, call, SERVICE_NO_TIMEOUT, NULL);
}

enum status command_eject(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;
	int r;

	status = new_disk_call(invocation, "EjectMedium", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "a{sv}", 1, "force", "b",
				  (int)invocation_has(invocation, "force"));
	if (r < 0)
		return service_failed(r, NULL);
	return service_send(invocation, call, SERVICE_NO_TIMEOUT, NULL);
}
