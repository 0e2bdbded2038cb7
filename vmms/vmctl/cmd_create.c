/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl create: a definition from a file, or made of options.
 *
 * Options become a definition as they are; whether it makes sense is for vmms to say, which has the
 * one reader of definitions. Only disks without a lun are given one here.
 */
#include "vmms/vmctl/adapter_options.h"
#include "vmms/vmctl/create.h"
#include "vmms/vmctl/definition_text.h"
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/missing.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/definition/definition.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_LINE_DEFAULT "console=ttyS0"

/* ---- From a file ---- */

static bool create_goes_with_file(const char *option)
{
	for (const struct option_row *row = global_options; row->name; row++) {
		if (strcmp(row->name, option) == 0)
			return true;
	}
	return strcmp(option, "from") == 0 || strcmp(option, "name") == 0;
}

/* The text, or with --name what the tree says that is made of it. */
static enum status create_read_definition(struct invocation *invocation, const char *path,
					  char **ret_text, struct json_object **ret_tree)
{
	const char *name = invocation_value(invocation, "name");
	struct json_error error;

	for (size_t i = 0; i < invocation->option_count; i++) {
		if (!create_goes_with_file(invocation->options[i].row->name))
			return usage_error(invocation, "--from goes with --name alone: the rest is "
						       "in the file");
	}
	*ret_text = definition_text_read(path);
	if (!*ret_text) {
		usage_error(invocation, "cannot read the definition '%s': %s", path,
			    strerror(errno));
		return STATUS_FAILED;
	}
	/* What cannot be parsed is for vmms to refuse. */
	if (name && json_parse(*ret_text, strlen(*ret_text), ret_tree, &error) == 0)
		definition_text_rename(*ret_tree, name);
	return STATUS_OK;
}

/* ---- From options ---- */

static struct json_object *create_path_value(const char *path)
{
	AUTO_FREE char *absolute = absolute_path(path);

	return absolute ? json_object_new_string(absolute) : NULL;
}

static struct json_object *create_make_boot(const struct invocation *invocation)
{
	const char *append = invocation_value(invocation, "append");
	const char *initrd = invocation_value(invocation, "initrd");
	struct json_object *boot;

	boot = json_make("kernel", create_path_value(invocation_value(invocation, "kernel")),
			 "command_line",
			 json_object_new_string(append ? append : COMMAND_LINE_DEFAULT), NULL);
	if (initrd)
		json_add(&boot, "initrd", create_path_value(initrd));
	return boot;
}

static struct json_object *create_make_dvd(const char *text)
{
	struct json_object *dvd = json_make("type", json_object_new_string("dvd"), NULL);

	if (strcmp(text, "empty") != 0)
		json_add(&dvd, "path", create_path_value(text));
	return dvd;
}

static bool create_is_number(struct json_object *disk, const char *key, unsigned number)
{
	struct json_object *value;

	if (!json_object_object_get_ex(disk, key, &value))
		return number == 0 && strcmp(key, "controller") == 0;
	return json_object_get_int64(value) == number;
}

static bool create_lun_is_taken(struct json_object *disks, unsigned controller, unsigned lun)
{
	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);

		if (create_is_number(disk, "controller", controller) &&
		    create_is_number(disk, "lun", lun))
			return true;
	}
	return false;
}

/* Disks that name no lun get the lowest that is left of their controller. */
static void create_give_luns(struct json_object *disks)
{
	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i), *value;
		unsigned controller = 0, lun = 0;

		if (json_object_object_get_ex(disk, "lun", NULL))
			continue;
		if (json_object_object_get_ex(disk, "controller", &value))
			controller = (unsigned)json_object_get_int64(value);
		while (create_lun_is_taken(disks, controller, lun))
			lun++;
		json_add(&disk, "lun", json_object_new_int64(lun));
	}
}

static enum status create_add_drive(struct invocation *invocation, const char *option,
				    const char *value, struct json_object **disks)
{
	AUTO_FREE char *word = NULL;
	struct json_object *disk = NULL;
	int r = 0;

	if (strcmp(option, "dvd") == 0)
		disk = create_make_dvd(value);
	else
		r = disk_text_parse(value, &disk, &word);
	if (r == -EINVAL)
		return usage_error(invocation, "--disk %s: what is '%s'?", value, word);
	r = disk_text_find_format(&disk);
	if (r < 0) {
		json_object_put(disk);
		return disk_text_status(r);
	}
	json_append(disks, disk);
	return STATUS_OK;
}

static enum status create_make_disks(struct invocation *invocation, struct json_object **ret_disks)
{
	AUTO_JSON struct json_object *disks = json_object_new_array();
	enum status status;

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *option = invocation->options[i].row->name;

		if (strcmp(option, "disk") != 0 && strcmp(option, "dvd") != 0)
			continue;
		status = create_add_drive(invocation, option, invocation->options[i].value, &disks);
		if (status != STATUS_OK)
			return status;
	}
	if (!disks)
		return service_failed(-ENOMEM, NULL);
	create_give_luns(disks);
	*ret_disks = TAKE_PTR(disks);
	return STATUS_OK;
}

/*
 * An adapter for each --switch, or one with the user-mode network; ports are forwarded by the first
 * that has that network.
 */
static enum status create_add_adapters(struct invocation *invocation, struct json_object **tree)
{
	struct json_object *adapters = json_object_new_array(), *first = NULL;

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *value = invocation->options[i].value;
		struct json_object *adapter;

		if (strcmp(invocation->options[i].row->name, "switch") != 0)
			continue;
		adapter = json_make("switch", json_object_new_string(value), NULL);
		if (!first && strcmp(value, DEFINITION_SWITCH_DEFAULT) == 0)
			first = adapter;
		json_append(&adapters, adapter);
	}
	if (!invocation_has(invocation, "switch") && !invocation_has(invocation, "no-network")) {
		first = json_object_new_object();
		json_append(&adapters, first);
	}
	if (invocation_has(invocation, "forward") && !first) {
		json_object_put(adapters);
		return usage_error(invocation, "--forward needs the user-mode network: --switch "
					       "default");
	}
	if (adapters && invocation_has(invocation, "forward"))
		json_add(&first, "forward", adapter_options_forwards(invocation));
	json_add(tree, "network_adapters", adapters);
	return STATUS_OK;
}

static struct json_object *create_make_without(const struct invocation *invocation)
{
	struct json_object *without = json_object_new_array();

	for (size_t i = 0; i < invocation->option_count; i++)
		if (strcmp(invocation->options[i].row->name, "without") == 0)
			json_append(&without, json_object_new_string(invocation->options[i].value));
	return without;
}

static enum status create_make_processors(struct invocation *invocation,
					  struct json_object **ret_processors)
{
	static const struct {
		const char *option, *key;
	} rows[] = {
		{ "vps", "count" },
		{ "sockets", "sockets" },
		{ "cores", "cores" },
		{ "threads", "threads" },
	};
	struct json_object *processors = json_object_new_object();
	unsigned number = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!invocation_has(invocation, rows[i].option))
			continue;
		if (!invocation_number(invocation, rows[i].option, DEFINITION_PROCESSORS_MAX,
				       &number)) {
			json_object_put(processors);
			return STATUS_USAGE;
		}
		json_add(&processors, rows[i].key, json_object_new_int64(number));
	}
	if (invocation_has(invocation, "cpu"))
		json_add(&processors, "model",
			 json_object_new_string(invocation_value(invocation, "cpu")));
	json_add(&processors, "without", create_make_without(invocation));
	*ret_processors = processors;
	return STATUS_OK;
}

/* Nodes that leave all open. */
static enum status create_add_nodes(struct invocation *invocation, struct json_object **tree)
{
	struct json_object *nodes;
	unsigned count = 0;

	if (!invocation_has(invocation, "numa"))
		return STATUS_OK;
	if (!invocation_number(invocation, "numa", DEFINITION_NUMA_MAX, &count))
		return STATUS_USAGE;
	nodes = json_object_new_array();
	for (unsigned i = 0; i < count; i++)
		json_append(&nodes, json_object_new_object());
	json_add(tree, "numa", nodes);
	return STATUS_OK;
}

static enum status create_check_options(struct invocation *invocation)
{
	static const char *const of_kernels[] = { "kernel", "initrd", "append" };

	if (!invocation_has(invocation, "name") ||
	    !(invocation_has(invocation, "kernel") || invocation_has(invocation, "generation")))
		return usage_error(invocation,
				   "it takes --name and --kernel or --generation, or --from");
	for (size_t i = 0; i < ARRAY_SIZE(of_kernels); i++)
		if (invocation_has(invocation, "generation") &&
		    invocation_has(invocation, of_kernels[i]))
			return usage_error(invocation,
					   "--generation goes without --%s: the firmware loads "
					   "what is on the first disk",
					   of_kernels[i]);
	return STATUS_OK;
}

static enum status create_make_definition(struct invocation *invocation,
					  struct json_object **ret_tree)
{
	AUTO_JSON struct json_object *tree = NULL;
	const char *const texts[] = { "engine", "notes" };
	struct json_object *disks, *processors;
	enum status status;

	status = create_check_options(invocation);
	if (status != STATUS_OK)
		return status;
	status = create_make_disks(invocation, &disks);
	if (status != STATUS_OK)
		return status;
	status = create_make_processors(invocation, &processors);
	if (status != STATUS_OK) {
		json_object_put(disks);
		return status;
	}
	tree = json_make("version", json_object_new_int64(DEFINITION_VERSION), "name",
			 json_object_new_string(invocation_value(invocation, "name")), "processors",
			 processors, "disks", disks, NULL);
	if (invocation_has(invocation, "generation"))
		json_add(&tree, "generation",
			 json_object_new_int64(*invocation_value(invocation, "generation") - '0'));
	else
		json_add(&tree, "boot", create_make_boot(invocation));
	if (invocation_has(invocation, "memory"))
		json_add(&tree, "memory",
			 json_make("size",
				   json_object_new_string(invocation_value(invocation, "memory")),
				   NULL));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (invocation_has(invocation, texts[i]))
			json_add(&tree, texts[i],
				 json_object_new_string(invocation_value(invocation, texts[i])));
	}
	status = create_add_nodes(invocation, &tree);
	if (status != STATUS_OK)
		return status;
	status = create_add_adapters(invocation, &tree);
	if (status != STATUS_OK)
		return status;
	if (!tree)
		return service_failed(-ENOMEM, NULL);
	*ret_tree = TAKE_PTR(tree);
	return STATUS_OK;
}

/* ---- The command ---- */

static enum status create_print_created(struct invocation *invocation, sd_bus_message *reply)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *name = NULL;
	const char *path;
	int r;

	r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
					       "Name", &error, &name);
	if (r < 0)
		return service_failed(r, &error);
	output_say(invocation, "VM '%s' created; 'vmctl start %s' starts it", name, name);
	if (!invocation->json)
		return STATUS_OK;
	r = json_print(json_make("path", json_object_new_string(path), "name",
				 json_object_new_string(name), NULL));
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status create_vm(struct invocation *invocation, const char *definition)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status;

	status = service_call_manager(invocation, "CreateVM", SERVICE_TIMEOUT, &reply, "s",
				      definition);
	return status == STATUS_OK ? create_print_created(invocation, reply) : status;
}

/* Of a definition that was written elsewhere, what is missing may come after it. */
static enum status create_from_file(struct invocation *invocation, const char *path)
{
	AUTO_JSON struct json_object *tree = NULL;
	AUTO_FREE char *text = NULL;
	struct json_error error;
	enum status status;

	status = create_read_definition(invocation, path, &text, &tree);
	if (status != STATUS_OK)
		return status;
	assert(text);
	status = create_vm(invocation, tree ? json_object_to_json_string(tree) : text);
	if (status == STATUS_USAGE)
		fprintf(stderr, "vmctl: (in the definition %s)\n", path);
	if (status != STATUS_OK || (!tree && json_parse(text, strlen(text), &tree, &error) < 0))
		return status;
	if (missing_report(invocation, tree) > 0)
		fputs("vmctl: the VM cannot be started before that is there\n", stderr);
	return status;
}

enum status command_create(struct invocation *invocation)
{
	AUTO_JSON struct json_object *tree = NULL;
	const char *path = invocation_value(invocation, "from");
	enum status status;

	if (path)
		return create_from_file(invocation, path);
	status = create_make_definition(invocation, &tree);
	if (status != STATUS_OK)
		return status;
	if (missing_report(invocation, tree) > 0) {
		fputs("vmctl: no VM has been created\n", stderr);
		return STATUS_USAGE;
	}
	return create_vm(invocation, json_object_to_json_string(tree));
}
