/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl quick-create: a guest that is made here, as a VM that runs.
 *
 * What can be refused is refused before the minutes that a guest takes. A guest that cannot become
 * a VM is removed; a VM that does not start is there, and can be started when that is mended.
 */
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/guest_maker.h"
#include "vmms/vmctl/spool.h"
#include "vmms/vmctl/ssh_port.h"
#include "vmms/vmctl/table.h"

#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/definition/definition.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_DEFAULT      "debian"
#define SUITE_DEFAULT     "bookworm"
#define DISK_SIZE_DEFAULT (UINT64_C(8) << 30)  /* bytes */
#define DISK_SIZE_MIN     (UINT64_C(1) << 30)  /* a Debian and its packages */
#define DISK_SIZE_MAX     (UINT64_C(64) << 40) /* bytes */
#define DISK_SIZE_UNIT    4096                 /* bytes */
#define MEMORY_DEFAULT    "1G"
#define VPS_DEFAULT       2
#define SYSTEM_FOLDER     "/var/lib/vmms/images"
#define SSH_PORT          22

struct quick {
	const char *name;
	char *folder, *image; /* absolute; image NULL: of packages */
	char size[24];        /* bytes */
	unsigned vps, ssh_port;
	uint64_t memory; /* bytes */
};

static void quick_create_quick_deinit(struct quick *quick)
{
	free(quick->folder);
	free(quick->image);
}

/* ---- What is asked for ---- */

static enum status quick_create_refuse_size(struct invocation *invocation, const char *what,
					    const char *text, uint64_t minimum, uint64_t maximum)
{
	char guess[PARSE_SIZE_TEXT];
	bool guessed = parse_size_guess(text, minimum, maximum, guess);

	return usage_error(invocation, "%s, not '%s'%s%s%s", what, text, guessed ? "; " : "", guess,
			   guessed ? "?" : "");
}

static enum status quick_create_read_size(struct invocation *invocation, struct quick *quick)
{
	const char *text = invocation_value(invocation, "disk-size");
	uint64_t size = DISK_SIZE_DEFAULT;

	if (text && (parse_size(text, &size) < 0 || size < DISK_SIZE_MIN || size > DISK_SIZE_MAX ||
		     size % DISK_SIZE_UNIT != 0))
		return quick_create_refuse_size(invocation,
						"--disk-size must be a size from 1G to 64T", text,
						DISK_SIZE_MIN, DISK_SIZE_MAX);
	snprintf(quick->size, sizeof(quick->size), "%" PRIu64, size);
	return STATUS_OK;
}

static enum status quick_create_read_memory(struct invocation *invocation, struct quick *quick)
{
	const char *text = invocation_value(invocation, "memory") ?: MEMORY_DEFAULT;

	if (parse_size(text, &quick->memory) < 0 || quick->memory < DEFINITION_MEMORY_MIN ||
	    quick->memory > DEFINITION_MEMORY_MAX || quick->memory % DEFINITION_MEMORY_UNIT != 0)
		return quick_create_refuse_size(invocation, "--memory must be a multiple of 2M",
						text, DEFINITION_MEMORY_MIN, DEFINITION_MEMORY_MAX);
	return STATUS_OK;
}

/* Where the caller may put things, and vmms finds them with the caller's rights. */
static int quick_create_choose_folder(struct invocation *invocation, struct quick *quick)
{
	const char *named = invocation_value(invocation, "directory");
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	AUTO_FREE char *folder = NULL, *absolute = NULL;
	int r;

	if (named)
		r = asprintf(&folder, "%s", named);
	else if (geteuid() == 0)
		r = asprintf(&folder, SYSTEM_FOLDER);
	else if (data && data[0] == '/')
		r = asprintf(&folder, "%s/vmms", data);
	else
		r = asprintf(&folder, "%s/.local/share/vmms", home ?: "");
	if (r < 0) {
		folder = NULL;
		return -ENOMEM;
	}
	absolute = absolute_path(folder);
	if (!absolute || asprintf(&quick->folder, "%s/%s", absolute, quick->name) < 0)
		return -ENOMEM;
	return 0;
}

static enum status quick_create_read_options(struct invocation *invocation, struct quick *quick)
{
	const char *image = invocation_value(invocation, "image");
	enum status status;

	if (invocation->argument_count > 0)
		quick->name = invocation->arguments[0];
	if (!definition_name_is_valid(quick->name))
		return usage_error(invocation,
				   "'%s' is no name for a VM: it takes letters, digits, '-', '_' "
				   "and '.', a letter or digit first",
				   quick->name);
	if (image && (invocation_has(invocation, "suite") || invocation_has(invocation, "mirror")))
		return usage_error(invocation, "--suite and --mirror are for a guest of packages, "
					       "not for an --image");
	if (!invocation_number(invocation, "vps", DEFINITION_PROCESSORS_MAX, &quick->vps) ||
	    !invocation_number(invocation, "ssh-port", UINT16_MAX, &quick->ssh_port))
		return STATUS_USAGE;
	if (quick->vps == 0)
		return usage_error(invocation, "--vps must be at least 1");
	status = quick_create_read_size(invocation, quick);
	if (status == STATUS_OK)
		status = quick_create_read_memory(invocation, quick);
	if (status != STATUS_OK)
		return status;
	quick->image = image ? absolute_path(image) : NULL;
	if ((image && !quick->image) || quick_create_choose_folder(invocation, quick) < 0)
		return service_failed(-ENOMEM, NULL);
	return STATUS_OK;
}

/* The service is there, lets the caller in, and has no VM of that name. */
static enum status quick_create_check_name(struct invocation *invocation, const struct quick *quick)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, DBUS_PATH,
					   DBUS_INTERFACE_MANAGER, "GetVM");
	if (r >= 0)
		r = sd_bus_message_append(call, "s", quick->name);
	if (r >= 0)
		r = service_call(invocation, call, SERVICE_TIMEOUT, &error, &reply);
	if (r >= 0) {
		usage_error(invocation, "there is a VM '%s' already; take another name",
			    quick->name);
		return STATUS_FAILED;
	}
	if (!sd_bus_error_has_name(&error, DBUS_ERROR_NO_SUCH_VM))
		return service_failed(r, &error);
	sd_bus_error_free(&error);
	return STATUS_OK;
}

/* ---- The guest ---- */

/* What is "-" is a file of this process, by a path. */
static const char *quick_create_key_path(const char *value, char path[static 64], int *input)
{
	if (strcmp(value, "-") != 0)
		return value;
	if (*input < 0)
		*input = spool_input();
	snprintf(path, 64, "/proc/%d/fd/%d", getpid(), *input);
	return *input < 0 ? "-" : path;
}

static enum status quick_create_make_guest(struct invocation *invocation, const struct quick *quick,
					   struct guest *ret_guest)
{
	const char *words[COMMAND_OPTIONS_MAX + 8] = { quick->folder, quick->name, quick->size };
	const char *program = quick->image ? "guest-from-image" : "guest-from-packages";
	AUTO_CLOSE int input = -1;
	char key_path[64];
	size_t count = 3;

	if (quick->image) {
		words[count++] = quick->image;
	} else {
		words[count++] = invocation_value(invocation, "suite") ?: SUITE_DEFAULT;
		words[count++] = invocation_value(invocation, "mirror") ?: "";
	}
	for (size_t i = 0; i < invocation->option_count; i++) {
		if (strcmp(invocation->options[i].row->name, "ssh-key") == 0)
			words[count++] = quick_create_key_path(invocation->options[i].value,
							       key_path, &input);
	}
	return guest_make(invocation, program, words, quick->name, ret_guest);
}

/* ---- The VM ---- */

static struct json_object *quick_create_make_disks(const struct guest *guest)
{
	struct json_object *disks = json_object_new_array();

	json_append(&disks, json_make("lun", json_object_new_int64(0), "path",
				      guest_file(guest, "disk.raw"), NULL));
	/* A disk, not a DVD: those are found by each kernel and initramfs. */
	if (guest->seed)
		json_append(&disks, json_make("lun", json_object_new_int64(1), "path",
					      guest_file(guest, "seed.iso"), "read_only",
					      json_object_new_boolean(true), NULL));
	return disks;
}

static struct json_object *quick_create_make_adapters(const struct quick *quick)
{
	struct json_object *forwards = json_object_new_array(), *adapters;
	char forward[24];

	snprintf(forward, sizeof(forward), "%u:%u", quick->ssh_port, SSH_PORT);
	json_append(&forwards, json_object_new_string(forward));
	adapters = json_object_new_array();
	json_append(&adapters, json_make("forward", forwards, NULL));
	return adapters;
}

static struct json_object *quick_create_make_definition(const struct quick *quick,
							const struct guest *guest)
{
	struct json_object *boot, *memory, *processors;

	boot = json_make("kernel", guest_file(guest, "vmlinuz"), "initrd",
			 guest_file(guest, "initrd.img"), "command_line",
			 json_object_new_string(guest->command_line), NULL);
	memory = json_make("size", json_object_new_int64((int64_t)quick->memory), NULL);
	processors = json_make("count", json_object_new_int64(quick->vps), NULL);
	return json_make("version", json_object_new_int64(DEFINITION_VERSION), "name",
			 json_object_new_string(quick->name), "boot", boot, "memory", memory,
			 "processors", processors, "disks", quick_create_make_disks(guest),
			 "network_adapters", quick_create_make_adapters(quick), NULL);
}

/* *ret_path: freed by the caller. */
static enum status create(struct invocation *invocation, const struct quick *quick,
			  const struct guest *guest, char **ret_path)
{
	AUTO_JSON struct json_object *tree = quick_create_make_definition(quick, guest);
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status;
	const char *path;
	int r;

	if (!tree)
		return service_failed(-ENOMEM, NULL);
	status = service_call_manager(invocation, "CreateVM", SERVICE_TIMEOUT, &reply, "s",
				      json_object_to_json_string(tree));
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_read(reply, "o", &path);
	*ret_path = r >= 0 ? strdup(path) : NULL;
	return *ret_path ? STATUS_OK : service_failed(r < 0 ? r : -ENOMEM, NULL);
}

static enum status quick_create_start(struct invocation *invocation, const struct quick *quick,
				      const char *path)
{
	enum status status = service_call_vm(invocation, path, "Start");

	if (status != STATUS_OK)
		fprintf(stderr,
			"vmctl: %s has been made, but did not start; 'vmctl start %s' tries "
			"again\n",
			quick->name, quick->name);
	return status;
}

/* ---- What became of it ---- */

static void quick_create_print_result(const struct quick *quick, const struct guest *guest,
				      bool started)
{
	if (started)
		printf("%s has been made, and starts.\n\n", quick->name);
	else
		printf("%s has been made; 'vmctl start %s' starts it.\n\n", quick->name,
		       quick->name);
	printf("  files      %s\n", quick->folder);
	printf("  console    vmctl console %s\n", quick->name);
	printf("  ssh        ssh -p %u %s@127.0.0.1\n", quick->ssh_port, guest->user);
	printf("  user       %s, who may use sudo\n", guest->user);
	printf("  password   %s (it is not shown again)\n", guest->password);
}

static int quick_create_print_json(const struct quick *quick, const struct guest *guest,
				   const char *path, bool started)
{
	return json_print(json_make(
		"name", json_object_new_string(quick->name), "path", json_object_new_string(path),
		"folder", json_object_new_string(quick->folder), "started",
		json_object_new_boolean(started), "user", json_object_new_string(guest->user),
		"password", json_object_new_string(guest->password), "ssh_port",
		json_object_new_int64(quick->ssh_port), NULL));
}

/* The password is shown also if the VM did not start: it is the guest's from now on. */
static enum status quick_create_conclude(struct invocation *invocation, const struct quick *quick,
					 const struct guest *guest, const char *path)
{
	bool wanted = !invocation_has(invocation, "no-start");
	enum status status = wanted ? quick_create_start(invocation, quick, path) : STATUS_OK;
	bool started = wanted && status == STATUS_OK;

	if (!invocation->json)
		quick_create_print_result(quick, guest, started);
	else if (quick_create_print_json(quick, guest, path, started) < 0)
		return service_failed(-ENOMEM, NULL);
	return status;
}

enum status command_quick_create(struct invocation *invocation)
{
	CLEANUP(quick_create_quick_deinit)
	struct quick quick = { .name = NAME_DEFAULT, .vps = VPS_DEFAULT };
	CLEANUP(guest_deinit) struct guest guest = { 0 };
	AUTO_FREE char *path = NULL;
	enum status status;

	status = quick_create_read_options(invocation, &quick);
	if (status == STATUS_OK)
		status = quick_create_check_name(invocation, &quick);
	if (status == STATUS_OK && quick.ssh_port == 0)
		status = ssh_port_choose(invocation, &quick.ssh_port);
	if (status == STATUS_OK)
		status = quick_create_make_guest(invocation, &quick, &guest);
	if (status != STATUS_OK)
		return status;
	status = create(invocation, &quick, &guest, &path);
	if (status != STATUS_OK) {
		guest_remove(&guest);
		return status;
	}
	return quick_create_conclude(invocation, &quick, &guest, path);
}
