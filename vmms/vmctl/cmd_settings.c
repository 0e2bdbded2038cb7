/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl set, boot-order, edit, export: the definition of a VM, read and changed.
 *
 * A change is made to what the definition is now, and says so to vmms, which refuses it if somebody
 * else has been faster. Settings are then made again, to what it is by then; a person has to look.
 */
#include "vmms/vmctl/definition_text.h"
#include "vmms/vmctl/disk_text.h"
#include "vmms/vmctl/editor.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/setting.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRIES 8 /* to make settings while others change the same VM */

/* ---- What all of them do ---- */

struct subject {
	char *path; /* of the VM, on the bus */
	char *text; /* its definition, with what terminals would obey escaped as JSON does it */
};

static void settings_subject_deinit(struct subject *subject)
{
	free(subject->path);
	free(subject->text);
}

static enum status settings_find_subject(struct invocation *invocation, struct subject *ret_subject)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *text = NULL;
	enum status status;
	int r;

	status = service_find_vm(invocation, invocation->arguments[0], &ret_subject->path);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, ret_subject->path,
				       DBUS_INTERFACE_VM, "Definition", &error, &text);
	if (r < 0)
		return service_failed(r, &error);
	ret_subject->text = text_escape_json_new(text, strlen(text));
	return ret_subject->text ? STATUS_OK : service_failed(-ENOMEM, NULL);
}

/* The keys that wait for the next start, of an answer or a property. */
static int settings_read_keys(sd_bus_message *message, struct json_object **ret_keys)
{
	AUTO_JSON struct json_object *keys = json_object_new_array();
	const char *key;
	int r;

	r = sd_bus_message_enter_container(message, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read(message, "s", &key)) > 0)
		json_append(&keys, json_object_new_string(key));
	if (r >= 0)
		*ret_keys = TAKE_PTR(keys);
	return r;
}

static bool settings_has_key(struct json_object *keys, const char *key)
{
	for (size_t i = 0; i < json_object_array_length(keys); i++) {
		if (strcmp(json_object_get_string(json_object_array_get_idx(keys, i)), key) == 0)
			return true;
	}
	return false;
}

/* Of the keys those that the others have, or have not. */
static struct json_object *settings_choose(struct json_object *keys, struct json_object *others,
					   bool have)
{
	struct json_object *chosen = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(keys); i++) {
		struct json_object *key = json_object_array_get_idx(keys, i);

		if (settings_has_key(others, json_object_get_string(key)) == have)
			json_append(&chosen, json_object_get(key));
	}
	return chosen;
}

/* Return: whether there were any. Takes over the keys. */
static bool settings_print_keys(const char *title, struct json_object *keys)
{
	size_t count = keys ? json_object_array_length(keys) : 0;

	for (size_t i = 0; i < count; i++)
		printf("%s%s", i == 0 ? title : ", ",
		       json_object_get_string(json_object_array_get_idx(keys, i)));
	if (count > 0)
		putchar('\n');
	json_object_put(keys);
	return count > 0;
}

/* What the VM's definition has become, against what it was. */
static enum status settings_print_change(struct invocation *invocation,
					 const struct subject *subject, struct json_object *pending)
{
	AUTO_JSON struct json_object *before = NULL, *after = NULL, *changed = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *text = NULL;
	struct json_error why;
	bool any;
	int r;

	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, subject->path, DBUS_INTERFACE_VM,
				       "Definition", &error, &text);
	if (r >= 0)
		r = json_parse(text, strlen(text), &after, &why);
	if (r >= 0)
		r = json_parse(subject->text, strlen(subject->text), &before, &why);
	if (r < 0)
		return service_failed(r, &error);
	changed = json_differing_keys(before, after);
	if (!changed)
		return service_failed(-ENOMEM, NULL);
	if (invocation->json)
		return json_print(json_make("changed", TAKE_PTR(changed), "pending",
					    json_object_get(pending), NULL)) < 0
			       ? service_failed(-ENOMEM, NULL)
			       : STATUS_OK;
	any = settings_print_keys("changed: ", settings_choose(changed, pending, false));
	any |= settings_print_keys("from the next start: ",
				   settings_choose(changed, pending, true));
	if (!any)
		puts("nothing has changed");
	settings_print_keys("waiting for the next start since before: ",
			    settings_choose(pending, changed, false));
	return STATUS_OK;
}

/* late: set, and nothing said, if somebody else has been faster; NULL: a failure like others. */
static enum status settings_change(struct invocation *invocation, const struct subject *subject,
				   const char *text, bool *late)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	AUTO_JSON struct json_object *pending = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	enum status status;
	int r;

	status = service_new_call(invocation, subject->path, "Change", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "sa{sv}", text, 1, "base", "s", subject->text);
	if (r < 0)
		return service_failed(r, NULL);
	r = service_call(invocation, call, SERVICE_NO_TIMEOUT, &error, &reply);
	if (r < 0 && late && sd_bus_error_has_name(&error, DBUS_ERROR_CONFLICT)) {
		*late = true;
		sd_bus_error_free(&error);
		return STATUS_FAILED;
	}
	if (r < 0)
		return service_failed(r, &error);
	r = settings_read_keys(reply, &pending);
	return r < 0 ? service_failed(r, NULL)
		     : settings_print_change(invocation, subject, pending);
}

/* ---- set ---- */

/* The rest of the text after that beginning; NULL: it has another. */
static const char *after(const char *text, const char *beginning)
{
	size_t length = strlen(beginning);

	return strncmp(text, beginning, length) == 0 ? text + length : NULL;
}

/* The disk at that place; borrowed; NULL: there is none. */
static struct json_object *settings_find_disk(struct json_object *tree, unsigned index)
{
	struct json_object *disks = json_object_object_get(tree, "disks");

	return json_object_is_type(disks, json_type_array) ? json_object_array_get_idx(disks, index)
							   : NULL;
}

static bool settings_names_format(const struct invocation *invocation, unsigned index)
{
	char key[40];

	snprintf(key, sizeof(key), "disks[%u].format=", index);
	for (size_t i = 1; i < invocation->argument_count; i++)
		if (after(invocation->arguments[i], key))
			return true;
	return false;
}

/* A disk that has got another image has the format of that, as if it were attached. */
static int settings_look_at_disk(const struct invocation *invocation, struct json_object *tree,
				 unsigned index)
{
	struct json_object *disk = settings_find_disk(tree, index);
	const char *path = json_object_get_string(json_object_object_get(disk, "path"));
	int r;

	if (!disk || !path || settings_names_format(invocation, index))
		return 0;
	r = disk_text_find_file(path);
	if (r < 0)
		return r;
	json_object_object_del(disk, "format");
	return disk_text_find_format(&disk);
}

/* What is at a path that is new is looked at: that is missing is better said now. */
static enum status settings_look_at_path(const struct invocation *invocation,
					 struct json_object *tree, const char *setting)
{
	const char *path = after(setting, "boot.kernel=") ?: after(setting, "boot.initrd=");
	unsigned index;
	int end = 0, r = 0;

	if (path && path[0] == '/')
		r = disk_text_find_file(path);
	else if (sscanf(setting, "disks[%u].path=%n", &index, &end) == 1 && end > 0 &&
		 setting[end] == '/')
		r = settings_look_at_disk(invocation, tree, index);
	return r < 0 ? disk_text_status(r) : STATUS_OK;
}

static enum status settings_apply(struct invocation *invocation, struct json_object *tree,
				  const char *setting)
{
	int r = setting_apply(tree, setting);

	if (r == SETTING_E_FORM)
		return usage_error(invocation,
				   "'%s' is not KEY=VALUE, with a key of vmms-vm.json(5)", setting);
	if (r == SETTING_E_PLACE)
		return usage_error(invocation, "'%s': the definition has no such place", setting);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* Options that are short for a key. */
static const struct {
	const char *option, *key;
} shorts[] = { { "memory", "memory.size" }, { "vps", "processors.count" } };

static enum status settings_apply_short(struct invocation *invocation, struct json_object *tree,
					const char *option, const char *key)
{
	AUTO_FREE char *setting = NULL;

	if (!invocation_has(invocation, option))
		return STATUS_OK;
	if (asprintf(&setting, "%s=%s", key, invocation_value(invocation, option)) < 0)
		return service_failed(-ENOMEM, NULL);
	return settings_apply(invocation, tree, setting);
}

static enum status settings_apply_all(struct invocation *invocation, struct json_object *tree)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && i < ARRAY_SIZE(shorts); i++)
		status = settings_apply_short(invocation, tree, shorts[i].option, shorts[i].key);
	for (size_t i = 1; status == STATUS_OK && i < invocation->argument_count; i++)
		status = settings_apply(invocation, tree, invocation->arguments[i]);
	for (size_t i = 1; status == STATUS_OK && i < invocation->argument_count; i++)
		status = settings_look_at_path(invocation, tree, invocation->arguments[i]);
	return status;
}

static enum status settings_set_once(struct invocation *invocation, bool *late)
{
	CLEANUP(settings_subject_deinit) struct subject subject = { 0 };
	AUTO_JSON struct json_object *tree = NULL;
	struct json_error error;
	enum status status;

	status = settings_find_subject(invocation, &subject);
	if (status != STATUS_OK)
		return status;
	if (json_parse(subject.text, strlen(subject.text), &tree, &error) < 0)
		return service_failed(-EBADMSG, NULL);
	status = settings_apply_all(invocation, tree);
	if (status != STATUS_OK)
		return status;
	return settings_change(invocation, &subject, json_object_to_json_string(tree), late);
}

static enum status settings_set(struct invocation *invocation)
{
	enum status status = STATUS_FAILED;
	bool late = true;

	for (unsigned tries = TRIES; late && tries > 0; tries--) {
		late = false;
		status = settings_set_once(invocation, tries > 1 ? &late : NULL);
	}
	return status;
}

enum status command_set(struct invocation *invocation)
{
	if (invocation->argument_count < 2 && !invocation_has(invocation, "memory") &&
	    !invocation_has(invocation, "vps"))
		return usage_error(invocation, "it takes KEY=VALUE, --memory or --vps");
	return settings_set(invocation);
}

/* ---- boot-order ---- */

static enum status settings_say_boot_order(struct invocation *invocation, struct json_object *tree)
{
	struct json_object *order = json_object_object_get(tree, "boot_order");
	size_t count = json_array_size(order);

	if (invocation->json)
		return json_print(json_make(
			       "boot_order",
			       order ? json_object_get(order) : json_object_new_array(), NULL)) < 0
			       ? service_failed(-ENOMEM, NULL)
			       : STATUS_OK;
	for (size_t i = 0; i < count; i++)
		output_say(invocation, "%s",
			   json_object_get_string(json_object_array_get_idx(order, i)));
	if (count == 0)
		output_say(invocation, "%s",
			   json_object_object_get(tree, "generation")
				   ? "default: as the firmware has it"
				   : "none: a kernel is loaded");
	return STATUS_OK;
}

static enum status settings_show_boot_order(struct invocation *invocation)
{
	CLEANUP(settings_subject_deinit) struct subject subject = { 0 };
	AUTO_JSON struct json_object *tree = NULL;
	struct json_error error;
	enum status status = settings_find_subject(invocation, &subject);

	if (status != STATUS_OK)
		return status;
	if (json_parse(subject.text, strlen(subject.text), &tree, &error) < 0)
		return service_failed(-EBADMSG, NULL);
	return settings_say_boot_order(invocation, tree);
}

/* "boot_order=[…]" of the words; freed by the caller; NULL without memory. */
static char *settings_boot_order_new(const char *const *words, size_t count)
{
	AUTO_JSON struct json_object *order = json_object_new_array();
	bool is_default = count == 1 && strcmp(words[0], "default") == 0;
	char *setting;

	for (size_t i = 0; i < count && !is_default; i++)
		json_append(&order, json_object_new_string(words[i]));
	if (!order || asprintf(&setting, "boot_order=%s",
			       is_default ? "" : json_object_to_json_string(order)) < 0)
		return NULL;
	return setting;
}

enum status command_boot_order(struct invocation *invocation)
{
	const char **words = invocation->arguments;
	const size_t count = invocation->argument_count;
	AUTO_FREE char *setting = NULL;
	const char *changed[2];
	enum status status;

	if (count == 1)
		return settings_show_boot_order(invocation);
	setting = settings_boot_order_new(words + 1, count - 1);
	if (!setting)
		return service_failed(-ENOMEM, NULL);
	changed[0] = words[0];
	changed[1] = setting;
	invocation->arguments = changed;
	invocation->argument_count = ARRAY_SIZE(changed);
	status = settings_set(invocation);
	invocation->arguments = words;
	invocation->argument_count = count;
	return status;
}

/* ---- edit ---- */

/*
 * Another text may be taken: the one that was refused is edited once more, if the user wants that.
 */
static bool settings_is_tried_again(enum status status)
{
	char answer[16] = "";

	if (status == STATUS_OK || status == STATUS_NO_SERVICE || status == STATUS_NOT_PERMITTED)
		return false;

	fputs("vmctl: edit it again? [Y/n] ", stderr);
	if (!fgets(answer, sizeof(answer), stdin)) {
		fputc('\n', stderr);
		return false;
	}
	return answer[0] != 'n' && answer[0] != 'N';
}

/* Until it is taken, or given up. Return: as the last try. */
static enum status settings_edit(struct invocation *invocation, const struct subject *subject,
				 struct editor *editor)
{
	bool late = false;
	enum status status;

	do {
		AUTO_FREE char *text = NULL;
		int r = editor_run(editor, &text);

		if (r < 0) {
			usage_error(invocation, "nothing has been changed: the editor '%s' failed",
				    editor->command);
			return STATUS_FAILED;
		}
		if (strcmp(text, subject->text) == 0) {
			fputs("vmctl: nothing has been changed\n", stderr);
			return STATUS_OK;
		}
		status = settings_change(invocation, subject, text, &late);
	} while (!late && settings_is_tried_again(status));
	if (late)
		fputs("vmctl: somebody else has changed the definition meanwhile; edit what it is "
		      "now\n",
		      stderr);
	return status;
}

/* Without an editor: the whole text comes from a file. */
static enum status settings_take(struct invocation *invocation, const struct subject *subject,
				 const char *path)
{
	AUTO_FREE char *text = definition_text_read(path);

	if (!text) {
		usage_error(invocation, "cannot read the definition '%s': %s", path,
			    strerror(errno));
		return STATUS_FAILED;
	}
	return settings_change(invocation, subject, text, NULL);
}

enum status command_edit(struct invocation *invocation)
{
	CLEANUP(settings_subject_deinit) struct subject subject = { 0 };
	CLEANUP(editor_deinit) struct editor editor = { 0 };
	const char *source = invocation_value(invocation, "from");
	enum status status;
	int r;

	status = settings_find_subject(invocation, &subject);
	if (status == STATUS_OK && source)
		return settings_take(invocation, &subject, source);
	if (status != STATUS_OK)
		return status;
	r = editor_begin(&editor, invocation->arguments[0], subject.text);
	if (r < 0)
		return service_failed(r, NULL);
	status = settings_edit(invocation, &subject, &editor);
	if (status != STATUS_OK)
		fprintf(stderr, "vmctl: what you wrote is in %s\n", editor.path);
	else
		editor_remove(&editor);
	return status;
}

/* ---- export ---- */

enum status command_export(struct invocation *invocation)
{
	CLEANUP(settings_subject_deinit) struct subject subject = { 0 };
	enum status status;

	if (!invocation_has(invocation, "definition"))
		return usage_error(invocation, "it is the definition alone that can be exported: "
					       "--definition");
	status = settings_find_subject(invocation, &subject);
	if (status != STATUS_OK)
		return status;
	return output_write(invocation, subject.text);
}
