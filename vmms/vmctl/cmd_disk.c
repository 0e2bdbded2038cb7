/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl attach, detach, insert, eject. */
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/passed_files.h"
#include "vmms/vmctl/service.h"

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/definition/definition.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- attach ---- */

/* *ret_disk: what the options describe; a new reference. */
static enum status disk_describe_disk(struct invocation *invocation, struct json_object **ret_disk)
{
	static const struct {
		const char *option, *key;
		unsigned maximum;
	} numbers[] = { { "controller", "controller", UINT16_MAX },
			{ "lun", "lun", UINT16_MAX },
			{ "sector-size", "sector_size", UINT16_MAX },
			{ "iops", "iops", UINT32_MAX } };
	static const char *const texts[][2] = { { "serial", "serial" },
						{ "cache", "cache" },
						{ "on-error", "on_error" },
						{ "bandwidth", "bandwidth" },
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
		if (!invocation_has(invocation, numbers[i].option))
			continue;
		if (!invocation_number(invocation, numbers[i].option, numbers[i].maximum, &number))
			return STATUS_USAGE;
		json_add(&disk, numbers[i].key, json_object_new_int64(number));
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
	if (r == 0 && path && !invocation_has(invocation, "format"))
		r = disk_text_find_file(path);
	if (r < 0)
		return disk_text_status(r);
	*ret_disk = TAKE_PTR(disk);
	return *ret_disk ? STATUS_OK : service_failed(-ENOMEM, NULL);
}

static enum status disk_print_place(struct invocation *invocation, sd_bus_message *reply)
{
	uint32_t controller, lun;
	int r;

	r = sd_bus_message_read(reply, "uu", &controller, &lun);
	if (r < 0)
		return service_failed(r, NULL);
	if (invocation->json)
		printf("{ \"controller\": %u, \"lun\": %u }\n", controller, lun);
	else if (invocation->argument_count > 1)
		output_say(invocation, "'%s' attached to VM '%s': controller %u, lun %u",
			   invocation->arguments[1], invocation->arguments[0], controller, lun);
	else
		output_say(invocation, "empty DVD drive attached to VM '%s': controller %u, lun %u",
			   invocation->arguments[0], controller, lun);
	return STATUS_OK;
}

/* What --pass adds to a call: the file itself. */
static enum status disk_append_file(struct invocation *invocation, const char *path, bool read_only,
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
	AUTO_JSON struct json_object *disk = NULL;
	AUTO_FREE char *path = NULL;
	enum status status;
	int r;

	status = disk_describe_disk(invocation, &disk);
	if (status != STATUS_OK)
		return status;
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
	status = disk_append_file(
		invocation, invocation->arguments[1],
		invocation_has(invocation, "read-only") || invocation_has(invocation, "dvd"), call);
	if (status != STATUS_OK)
		return status;
	status = service_send(invocation, call, SERVICE_NO_TIMEOUT, &reply);
	return status == STATUS_OK ? disk_print_place(invocation, reply) : status;
}

/* ---- detach, insert, eject ---- */

static enum status disk_conclude(struct invocation *invocation, sd_bus_message *call,
				 const char *done)
{
	enum status status = service_send(invocation, call, SERVICE_NO_TIMEOUT, NULL);
	const char *controller = invocation_value(invocation, "controller");

	if (status == STATUS_OK)
		output_say(invocation, "controller %s, lun %s of VM '%s': %s",
			   controller ? controller : "0", invocation_value(invocation, "lun"),
			   invocation->arguments[0], done);
	return status;
}

/* The place that the options name. */
static enum status disk_read_place(struct invocation *invocation, unsigned *ret_controller,
				   unsigned *ret_lun)
{
	*ret_controller = 0;
	if (!invocation_has(invocation, "lun"))
		return usage_error(invocation, "which disk? --lun N; 'vmctl show' lists them");
	if (!invocation_number(invocation, "controller", DEFINITION_CONTROLLERS_MAX - 1,
			       ret_controller) ||
	    !invocation_number(invocation, "lun", DEFINITION_LUNS_MAX - 1, ret_lun))
		return STATUS_USAGE;
	return STATUS_OK;
}

/* A call for the disk that the options name. */
static enum status disk_new_disk_call(struct invocation *invocation, const char *method,
				      sd_bus_message **ret_call)
{
	unsigned controller, lun;
	AUTO_FREE char *path = NULL;
	enum status status;
	int r;

	status = disk_read_place(invocation, &controller, &lun);
	if (status != STATUS_OK)
		return status;
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, method, ret_call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(*ret_call, "uu", (uint32_t)controller, (uint32_t)lun);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- The disk that a guest has its root file system on ---- */

/*
 * Which of the VM's disks, counted from 0, the kernel's command line has for its root: "/dev/sdb"
 * names the second; a label or a uuid may be on any, and mostly is on the first. -1: none.
 */
static int disk_find_root(const char *command_line)
{
	const char *root = strstr(command_line, "root=");

	if (!root || (root != command_line && root[-1] != ' '))
		return -1;
	root += strlen("root=");
	if (strncmp(root, "/dev/sd", 7) == 0 && root[7] >= 'a' && root[7] <= 'z')
		return root[7] - 'a';
	return strncmp(root, "/dev/", 5) == 0 && strncmp(root, "/dev/disk/", 10) != 0 ? -1 : 0;
}

static int64_t disk_member(struct json_object *disk, const char *key)
{
	return json_object_get_int64(json_object_object_get(disk, key));
}

static bool disk_is_dvd(struct json_object *disk)
{
	return strcmp(json_object_get_string(json_object_object_get(disk, "type")) ?: "", "dvd") ==
	       0;
}

/* How many disks, drives left out, come before that place in the order that a guest finds them. */
static int disk_count_before(struct json_object *disks, unsigned controller, unsigned lun)
{
	int count = 0;

	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);
		int64_t other = disk_member(disk, "controller");

		count += !disk_is_dvd(disk) &&
			 (other < controller ||
			  (other == controller && disk_member(disk, "lun") < lun));
	}
	return count;
}

static bool disk_seems_to_be_root(struct json_object *definition, unsigned controller, unsigned lun)
{
	struct json_object *boot = json_object_object_get(definition, "boot");
	struct json_object *disks = json_object_object_get(definition, "disks");
	const char *line = json_object_get_string(json_object_object_get(boot, "command_line"));

	if (!line || !json_object_is_type(disks, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);

		if (disk_member(disk, "controller") == controller &&
		    disk_member(disk, "lun") == lun && !disk_is_dvd(disk))
			return disk_find_root(line) == disk_count_before(disks, controller, lun);
	}
	return false;
}

static bool disk_ask(const char *name, unsigned controller, unsigned lun)
{
	char answer[16] = "";

	fprintf(stderr,
		"vmctl: the guest of VM '%s' runs, and seems to have its root file system on the "
		"disk "
		"at controller %u, lun %u. Detach it? [y/N] ",
		name, controller, lun);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Whether the disk may go: one that a guest cannot do without is asked about. */
static enum status disk_check_root(struct invocation *invocation, const char *path,
				   unsigned controller, unsigned lun)
{
	AUTO_JSON struct json_object *definition = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *state = NULL, *text = NULL;
	struct json_error why;
	int r;

	if (invocation_has(invocation, "force"))
		return STATUS_OK;
	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM, "State",
				       &error, &state);
	if (r >= 0)
		r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
					       "RunningDefinition", &error, &text);
	if (r >= 0)
		r = json_parse(text, strlen(text), &definition, &why);
	if (r < 0)
		return service_failed(r, &error);
	if (strcmp(state, "running") != 0 || !disk_seems_to_be_root(definition, controller, lun))
		return STATUS_OK;
	if (isatty(STDIN_FILENO))
		return disk_ask(invocation->arguments[0], controller, lun) ? STATUS_OK
									   : STATUS_FAILED;
	fprintf(stderr,
		"vmctl: the guest of VM '%s' runs, and seems to have its root file system on that "
		"disk; "
		"with --force it is detached all the same\n",
		invocation->arguments[0]);
	return STATUS_FAILED;
}

static enum status disk_cancel_detach(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *path = NULL;
	enum status status;

	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "CancelDetach", &call);
	return status == STATUS_OK ? service_send(invocation, call, SERVICE_LONG_TIMEOUT, NULL)
				   : status;
}

enum status command_detach(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	unsigned controller, lun;
	enum status status;

	if (invocation_has(invocation, "cancel"))
		return disk_cancel_detach(invocation);
	status = disk_new_disk_call(invocation, "DetachDisk", &call);
	if (status != STATUS_OK)
		return status;
	status = disk_read_place(invocation, &controller, &lun);
	if (status == STATUS_OK)
		status =
			disk_check_root(invocation, sd_bus_message_get_path(call), controller, lun);
	if (status == STATUS_OK)
		status = disk_conclude(invocation, call, "detached");
	return status;
}

enum status command_insert(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *path = absolute_path(invocation->arguments[1]);
	enum status status;
	int r;

	status = disk_new_disk_call(invocation,
				    invocation_has(invocation, "pass") ? "InsertMediumWithFile"
								       : "InsertMedium",
				    &call);
	if (status != STATUS_OK)
		return status;
	r = path ? sd_bus_message_append(call, "s", path) : -ENOMEM;
	if (r < 0)
		return service_failed(r, NULL);
	status = disk_append_file(invocation, path, true, call);
	if (status != STATUS_OK)
		return status;
	return disk_conclude(invocation, call, "inserted");
}

enum status command_eject(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;
	int r;

	status = disk_new_disk_call(invocation, "EjectMedium", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "a{sv}", 1, "force", "b",
				  (int)invocation_has(invocation, "force"));
	if (r < 0)
		return service_failed(r, NULL);
	return disk_conclude(invocation, call, "ejected");
}
