/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All virtual switches of the daemon: reading them from their folder, and finding in the host's
 * network what is left of a daemon that was killed.
 */
#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/base/folder.h"
#include "vmms/network/vswitches_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Broken files ---- */

void vswitches_forget_broken(struct vswitches *switches)
{
	list_for_each (link, &switches->broken) {
		struct broken_vswitch *broken = container_of(link, struct broken_vswitch, link);

		list_unlink(&broken->link);
		free(broken->name);
		free(broken->path);
		free(broken);
	}
}

static char *load_copy_as_utf8(const char *text)
{
	size_t size = strlen(text);
	char *copy = malloc(size + 1);

	if (copy)
		text_repair(copy, size + 1, text, size);
	return copy;
}

static int load_add_broken(struct vswitches *switches, const char *name, const char *path,
			   const struct json_error *error)
{
	struct broken_vswitch *broken = calloc(1, sizeof(*broken));
	char text[JSON_ERROR_TEXT_MAX];

	if (!broken)
		return -ENOMEM;
	list_append(&switches->broken, &broken->link);
	broken->name = load_copy_as_utf8(name);
	broken->path = load_copy_as_utf8(path);
	broken->error = *error;
	if (!broken->name || !broken->path)
		return -ENOMEM;
	json_error_describe(broken->path, (unsigned)error->line, error->key, error->message, text,
			    sizeof(text));
	log_error("%s", text);
	return 0;
}

/* ---- Files ---- */

static int load_add(struct vswitches *switches, struct vswitch_definition *definition)
{
	struct vswitch *vswitch;
	int r;

	r = vswitch_new(switches, definition, &vswitch);
	if (r < 0)
		return r;
	vswitch->reading = switches->reading;
	snprintf(vswitch->reason, sizeof(vswitch->reason), "not brought up yet");
	vswitches_insert(switches, vswitch);
	switches->observer->added(switches->observer_data, vswitch);
	return 0;
}

static bool load_is_same(const struct vswitch_definition *a, const struct vswitch_definition *b)
{
	return json_equal(vswitch_definition_to_json(a), vswitch_definition_to_json(b));
}

/* The file of a switch that is known has been changed by hand. */
static void load_change(struct vswitches *switches, struct vswitch *vswitch,
			struct vswitch_definition *definition)
{
	struct failure failure;

	if (vswitches_change(switches, vswitch, definition, false, &failure) < 0)
		log_warning("%s", failure.message);
}

static void load_refuse(struct json_error *error, const char *key, const char *message)
{
	*error = (struct json_error){ 0 };
	snprintf(error->key, sizeof(error->key), "%s", key);
	snprintf(error->message, sizeof(error->message), "%s", message);
}

/* Takes over the definition. Return: false, with the error filled, if it is none of this file. */
static bool load_check_file(struct vswitches *switches, const char *name,
			    const struct vswitch_definition *definition, struct json_error *error)
{
	struct vswitch *twin = vswitches_find_uuid(switches, &definition->uuid);

	if (strcmp(definition->name, name) != 0)
		load_refuse(error, "name", "must be the name of the file, without .json");
	else if (guid_is_null(&definition->uuid))
		load_refuse(error, "uuid", "is missing; uuidgen(1) makes one");
	else if (twin && strcmp(twin->definition->name, name) != 0)
		load_refuse(error, "uuid", "is that of another switch; give this one another");
	else
		return true;
	return false;
}

static int load_file(void *data, const char *name, const char *path)
{
	struct vswitches *switches = data;
	struct vswitch_definition *definition;
	struct vswitch *vswitch;
	struct json_error error;
	int r;

	r = vswitch_definition_load(path, &definition, &error);
	if (r == -ENOMEM || r == -ENOENT)
		return r == -ENOENT ? 0 : r;
	if (r < 0 && r != -EINVAL)
		load_refuse(&error, "", strerror(-r));
	if (r < 0)
		return load_add_broken(switches, name, path, &error);
	if (!load_check_file(switches, name, definition, &error)) {
		vswitch_definition_free(definition);
		return load_add_broken(switches, name, path, &error);
	}
	vswitch = vswitches_find(switches, name);
	if (!vswitch)
		return load_add(switches, definition);
	vswitch->reading = switches->reading;
	if (load_is_same(vswitch->definition, definition))
		vswitch_definition_free(definition);
	else
		load_change(switches, vswitch, definition);
	return 0;
}

static void load_forget_unread(struct vswitches *switches)
{
	list_for_each (link, &switches->list) {
		struct vswitch *vswitch = container_of(link, struct vswitch, link);

		if (vswitch->reading == switches->reading ||
		    switches->vms->find_user(switches->vms_data, vswitch->definition->name))
			continue;
		log_info("switch %s: its file is gone", vswitch->definition->name);
		vswitches_forget(switches, vswitch);
	}
}

int vswitches_load(struct vswitches *switches)
{
	int r;

	switches->reading++;
	vswitches_forget_broken(switches);
	r = folder_each(switches->folder, load_file, switches);
	if (r == 0)
		load_forget_unread(switches);
	return r;
}

int vswitches_reload(struct vswitches *switches, struct failure *failure)
{
	int r;

	vswitches_look(switches);
	r = vswitches_load(switches);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE, "cannot read the switches in %s: %s",
				   folder_path(switches->folder), strerror(-r));
	vswitches_bring_up_all(switches);
	return 0;
}

void vswitches_bring_up_all(struct vswitches *switches)
{
	struct failure failure;

	list_for_each (link, &switches->list) {
		struct vswitch *vswitch = container_of(link, struct vswitch, link);

		/* That it may take its interface was settled when it was made. */
		if (!vswitch_works(vswitch) &&
		    vswitches_bring_up(switches, vswitch, true, &failure) < 0)
			log_warning("%s", failure.message);
	}
}

/* ---- What was left ---- */

#define STALE_MAX 256 /* links looked at at a time */

struct stale {
	struct vswitches *switches;
	size_t count;
	struct {
		struct network_link link;
		char interface[IFNAMSIZ];
	} items[STALE_MAX];
};

static int load_find_stale(void *data, const struct network_link *link)
{
	struct stale *stale = data;
	struct vswitch_alias alias;

	if (stale->count == STALE_MAX || strcmp(link->kind, "bridge") != 0 ||
	    !vswitch_alias_parse(link->alias, stale->switches->directory, &alias) ||
	    vswitches_find_uuid(stale->switches, &alias.uuid))
		return 0;
	stale->items[stale->count].link = *link;
	strcpy(stale->items[stale->count++].interface, alias.interface);
	return 0;
}

void vswitches_remove_stale(struct vswitches *switches)
{
	AUTO_FREE struct stale *stale = calloc(1, sizeof(*stale));
	int r;

	if (!stale || !switches->network)
		return;
	stale->switches = switches;
	r = network_each_link(switches->network, load_find_stale, stale);
	for (size_t i = 0; r == 0 && i < stale->count; i++) {
		log_info("%s is left of a switch that is no more, and removed",
			 stale->items[i].link.name);
		r = vswitch_dismantle(switches->network, &stale->items[i].link,
				      stale->items[i].interface);
	}
	if (r < 0)
		log_warning("the host's network cannot be cleaned up: %s", strerror(-r));
}
