/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl import: a VM that was exported from Hyper-V.
 *
 * The configuration is read here, with the caller's rights; vmms gets a definition as from 'create'.
 * Disks stay where they are.
 */
#include "vmms/import/import.h"
#include "vmms/vmctl/create.h"
#include "vmms/vmctl/definition_text.h"
#include "vmms/vmctl/import_files.h"
#include "vmms/vmctl/missing.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/file.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct import_call {
	struct invocation *invocation;
	struct import_files files;
	struct import import;
};

/* ---- The configuration ---- */

static enum status import_failed(const char *path, const char *why)
{
	AUTO_FREE char *visible = text_escape_new(path, strlen(path));

	fprintf(stderr, "vmctl: %s: %s\n", visible ? visible : "", why);
	return STATUS_FAILED;
}

static enum status import_parse(struct import_call *call, const char *path)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct import_error error = { "" };
	AUTO_FREE char *bytes = NULL;
	size_t size;
	int r;

	r = file_read(path, IMPORT_FILE_MAX, &bytes, &size);
	if (r == 0)
		r = import_read(bytes, size, &tree, &error);
	if (r == 0)
		r = import_make(tree, &call->import, &error);
	return r == 0 ? STATUS_OK : import_failed(path, *error.text ? error.text : strerror(-r));
}

static enum status import_open(struct import_call *call)
{
	const char *path = call->invocation->arguments[0], *configuration = path;
	size_t length = strlen(path);
	int r;

	r = import_files_find(path, &call->files);
	if (r < 0)
		return import_failed(path, strerror(-r));
	if (length < 5 || (strcasecmp(path + length - 5, ".vmcx") != 0 &&
			   strcasecmp(path + length - 4, ".xml") != 0))
		r = import_files_configuration(&call->files, &configuration);
	if (r == -ENOTUNIQ)
		return import_failed(path, "there are several VMs; name the .vmcx or .xml of one");
	if (r == -ENOENT)
		return import_failed(path, "this is no VM exported from Hyper-V: there is no file "
					   "GUID.vmcx or GUID.xml");
	return import_parse(call, configuration);
}

/* ---- What is another here ---- */

/* The last --switch that names it, else NULL. */
static const char *import_switch_here(const struct import_call *call, const char *theirs)
{
	size_t length = strlen(theirs);
	const char *here = NULL;

	for (size_t i = 0; i < call->invocation->option_count; i++) {
		const char *value = call->invocation->options[i].value;

		if (strcmp(call->invocation->options[i].row->name, "switch") == 0 &&
		    strncmp(value, theirs, length) == 0 && value[length] == '=')
			here = value + length + 1;
	}
	return here;
}

static void import_connect(struct import_call *call, struct json_object *adapter, size_t number)
{
	AUTO_FREE char *theirs = NULL;
	struct json_object *value;
	const char *here;

	if (!json_object_object_get_ex(adapter, "switch", &value))
		return;
	theirs = strdup(json_object_get_string(value));
	here = theirs ? import_switch_here(call, theirs) : NULL;
	json_object_object_del(adapter, "switch");
	if (here)
		json_add(&adapter, "switch", json_object_new_string(here));
	else
		json_append_format(&call->import.notes,
				   "adapter %zu was connected to the switch '%s', and has the "
				   "user-mode network now: --switch '%s=SWITCH' connects it",
				   number, theirs ? theirs : "", theirs ? theirs : "");
}

static const char *import_format(const char *path)
{
	static const struct {
		const char *end, *format;
	} rows[] = {
		{ ".vhdx", "vhdx" }, { ".avhdx", "vhdx" }, { ".vhd", "vhd" }, { ".avhd", "vhd" }
	};
	size_t size = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t end = strlen(rows[i].end);

		if (size > end && strcasecmp(path + size - end, rows[i].end) == 0)
			return rows[i].format;
	}
	return "raw";
}

/* A disk without its file makes no VM; a DVD drive is empty then. */
static enum status import_place_disk(struct import_call *call, struct json_object *disk)
{
	bool dvd = json_object_object_get_ex(disk, "type", NULL);
	struct json_object *value;
	const char *theirs, *path;

	if (!json_object_object_get_ex(disk, "path", &value))
		return STATUS_OK;
	theirs = json_object_get_string(value);
	path = import_files_disk(&call->files, theirs);
	if (path) {
		if (!dvd)
			json_add(&disk, "format", json_object_new_string(import_format(path)));
		json_add(&disk, "path", json_object_new_string(path));
		return disk ? STATUS_OK : service_failed(-ENOMEM, NULL);
	}
	if (!dvd)
		return import_failed(theirs, "there is no such disk in the folder of the export");
	json_append_format(&call->import.notes, "the medium of a DVD drive: '%s'", theirs);
	json_object_object_del(disk, "path");
	return STATUS_OK;
}

static enum status import_place_all(struct import_call *call)
{
	struct json_object *tree = call->import.definition;
	struct json_object *disks = json_object_object_get(tree, "disks");
	struct json_object *adapters = json_object_object_get(tree, "network_adapters");
	const char *name = invocation_value(call->invocation, "name");
	size_t count = json_array_size(disks);
	enum status status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && i < count; i++)
		status = import_place_disk(call, json_object_array_get_idx(disks, i));
	count = json_array_size(adapters);
	for (size_t i = 0; status == STATUS_OK && i < count; i++)
		import_connect(call, json_object_array_get_idx(adapters, i), i);
	if (!name)
		name = json_object_get_string(json_object_object_get(tree, "name"));
	if (invocation_has(call->invocation, "copy"))
		definition_text_rename(tree, name);
	else
		json_add(&tree, "name", json_object_new_string(name));
	return status;
}

/* ---- The command ---- */

static void import_print_notes(const struct import_call *call)
{
	size_t count = json_array_size(call->import.notes);

	for (size_t i = 0; i < count; i++) {
		struct json_object *note = json_object_array_get_idx(call->import.notes, i);
		const char *text = json_object_get_string(note);
		AUTO_FREE char *visible = text_escape_new(text, strlen(text));

		fprintf(stderr, "vmctl: not as it was: %s\n", visible ? visible : "");
	}
}

static enum status import_finish(struct import_call *call)
{
	struct json_object *tree = call->import.definition;

	import_print_notes(call);
	if (invocation_has(call->invocation, "dry-run"))
		return json_print(json_object_get(tree)) < 0 ? STATUS_FAILED : STATUS_OK;
	if (missing_report(call->invocation, tree) > 0) {
		fputs("vmctl: no VM has been created\n", stderr);
		return STATUS_USAGE;
	}
	return create_vm(call->invocation, json_object_to_json_string(tree));
}

enum status command_import(struct invocation *invocation)
{
	struct import_call call = { .invocation = invocation };
	enum status status;

	for (size_t i = 0; i < invocation->option_count; i++)
		if (strcmp(invocation->options[i].row->name, "switch") == 0 &&
		    !strchr(invocation->options[i].value, '='))
			return usage_error(invocation, "--switch takes THEIRS=HERE");
	status = import_open(&call);
	if (status == STATUS_OK)
		status = import_place_all(&call);
	if (status == STATUS_OK)
		status = import_finish(&call);
	import_deinit(&call.import);
	import_files_deinit(&call.files);
	return status;
}
