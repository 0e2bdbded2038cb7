/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl events: what happens to VMs from now on, until ^C.
 *
 * Signals tell of them; users other than root, who may be told of some VMs and not of others, look now
 * and then, too. Both keep of each VM which event was shown last, and both read the log where they
 * may have missed one.
 */
#include "vmms/vmctl/log_entry.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/subscription.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_INTERVAL 1000000 /* microseconds */
#define LOOK_EVENTS   100     /* of each VM, at once */

struct followed {
	char *name, *path;
	uint64_t shown; /* sequence of the last event that was shown, or was there before */
	bool seen;      /* in the list that is just being read */
};

struct events {
	struct invocation *invocation;
	const char *wanted; /* path of the one VM; NULL: all */
	struct followed *vms;
	size_t count;
	bool listed; /* what is new in the list from now on has been created meanwhile */
	bool stale;  /* something may have been missed */
	bool ended;  /* the one VM has been deleted */
};

static void events_deinit(struct events *events)
{
	for (size_t i = 0; i < events->count; i++) {
		free(events->vms[i].name);
		free(events->vms[i].path);
	}
	free(events->vms);
}

static struct followed *events_find(struct events *events, const char *path)
{
	for (size_t i = 0; i < events->count; i++) {
		if (strcmp(events->vms[i].path, path) == 0)
			return &events->vms[i];
	}
	return NULL;
}

static int events_set_name(struct followed *vm, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	free(vm->name);
	vm->name = copy;
	return 0;
}

static void events_show(struct events *events, struct followed *vm, const struct log_entry *entry)
{
	if (entry->sequence <= vm->shown)
		return;
	vm->shown = entry->sequence;
	log_entry_print(entry, vm->name, events->invocation->json);
}

/* ---- One VM ---- */

/* silent: nothing is shown of what is there. A VM that is gone is for the next list. */
static int events_look(struct events *events, struct followed *vm, bool silent)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	struct log_entry entry;
	int r;

	r = sd_bus_call_method(events->invocation->bus, DBUS_NAME, vm->path, DBUS_INTERFACE_VM,
			       "GetLog", NULL, &reply, "u", (uint32_t)(silent ? 1 : LOOK_EVENTS));
	if (r < 0)
		return 0;
	r = sd_bus_message_enter_container(reply, 'a', "(ttyss)");
	while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'r', "ttyss")) > 0) {
		r = log_entry_read(reply, &entry);
		if (r < 0)
			return r;
		if (silent)
			vm->shown = entry.sequence;
		else
			events_show(events, vm, &entry);
		r = sd_bus_message_exit_container(reply);
	}
	return r;
}

static int events_add(struct events *events, const char *name, const char *path)
{
	struct followed *vms = reallocarray(events->vms, events->count + 1, sizeof(*vms));
	struct followed *vm;

	if (!vms)
		return -ENOMEM;
	events->vms = vms;
	vm = &vms[events->count];
	*vm = (struct followed){ .name = strdup(name), .path = strdup(path), .seen = true };
	if (!vm->name || !vm->path) {
		free(vm->name);
		free(vm->path);
		return -ENOMEM;
	}
	events->count++;
	return events_look(events, vm, !events->listed);
}

/* It was deleted, and its log with it. */
static void events_remove_vm(struct events *events, struct followed *vm)
{
	const struct log_entry entry = { .sequence = vm->shown + 1,
					 .time = (uint64_t)time(NULL) * 1000000,
					 .priority = 6,
					 .event = "deleted",
					 .message = "deleted" };

	log_entry_print(&entry, vm->name, events->invocation->json);
	events->ended = events->wanted != NULL;
	free(vm->name);
	free(vm->path);
	*vm = events->vms[--events->count];
}

/* ---- All of them ---- */

static int events_take_row(struct events *events, const char *name, const char *path)
{
	struct followed *vm = events_find(events, path);
	int r;

	if (events->wanted && strcmp(events->wanted, path) != 0)
		return 0;
	if (!vm)
		return events_add(events, name, path);
	vm->seen = true;
	r = events_set_name(vm, name);
	return r < 0 ? r : events_look(events, vm, false);
}

static enum status events_look_at_all(struct events *events)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	struct listed_vm row;
	enum status status;
	int r = 0;

	events->stale = false;
	status = service_list_vms(events->invocation, &reply);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < events->count; i++)
		events->vms[i].seen = false;
	while (r >= 0 && (r = service_next_vm(reply, &row)) > 0)
		r = events_take_row(events, row.name, row.path);
	for (size_t i = events->count; r >= 0 && i > 0; i--) {
		if (!events->vms[i - 1].seen)
			events_remove_vm(events, &events->vms[i - 1]);
	}
	events->listed = true;
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- Signals ---- */

static int events_on_logged(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct events *events = data;
	struct followed *vm = events_find(events, sd_bus_message_get_path(message));
	struct log_entry entry;

	if (vm && log_entry_read(message, &entry) > 0 && entry.sequence == vm->shown + 1)
		events_show(events, vm, &entry);
	else
		events->stale = true;
	return 0;
}

/* The name is what is looked for: sa{sv}as. */
static int events_on_properties(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct followed *vm = events_find(data, sd_bus_message_get_path(message));
	const char *key, *name;

	if (!vm || sd_bus_message_skip(message, "s") < 0 ||
	    sd_bus_message_enter_container(message, 'a', "{sv}") < 0)
		return 0;
	while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
		if (sd_bus_message_read(message, "s", &key) < 0)
			return 0;
		if (strcmp(key, "Name") == 0)
			return sd_bus_message_read(message, "v", "s", &name) > 0
				       ? events_set_name(vm, name)
				       : 0;
		if (sd_bus_message_skip(message, "v") < 0 ||
		    sd_bus_message_exit_container(message) < 0)
			return 0;
	}
	return 0;
}

/* VMs come and go. */
static int events_on_change(sd_bus_message *message, void *data, sd_bus_error *error)
{
	((struct events *)data)->stale = true;
	return 0;
}

static enum status events_listen_to_all(struct events *events)
{
	sd_bus *bus = events->invocation->bus;
	static const char *const changes[] = { "InterfacesAdded", "InterfacesRemoved" };
	int r;

	r = sd_bus_match_signal(bus, NULL, DBUS_NAME, events->wanted, DBUS_INTERFACE_VM, "Logged",
				events_on_logged, events);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, DBUS_NAME, events->wanted,
					"org.freedesktop.DBus.Properties", "PropertiesChanged",
					events_on_properties, events);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(changes); i++)
		r = sd_bus_match_signal(bus, NULL, DBUS_NAME, DBUS_PATH,
					"org.freedesktop.DBus.ObjectManager", changes[i],
					events_on_change, events);
	if (r >= 0)
		r = subscription_begin(events->invocation);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status events_follow(struct events *events)
{
	uint64_t interval = geteuid() == 0 ? UINT64_MAX : LOOK_INTERVAL;
	enum status status = STATUS_OK;
	int r;

	while (status == STATUS_OK && !events->ended) {
		fflush(stdout);
		if (ferror(stdout))
			return STATUS_FAILED;
		r = sd_bus_process(events->invocation->bus, NULL);
		if (r > 0)
			continue;
		if (r == 0 && !events->stale)
			r = sd_bus_wait(events->invocation->bus, interval);
		if (r < 0 && r != -EINTR)
			return service_failed(r, NULL);
		if (r == 0)
			status = events_look_at_all(events);
	}
	return status;
}

/* ---- The command ---- */

enum status command_events(struct invocation *invocation)
{
	CLEANUP(events_deinit) struct events events = { .invocation = invocation };
	AUTO_FREE char *path = NULL;
	enum status status = STATUS_OK;

	if (invocation->argument_count > 0)
		status = service_find_vm(invocation, invocation->arguments[0], &path);
	events.wanted = path;
	if (status == STATUS_OK)
		status = events_listen_to_all(&events);
	if (status == STATUS_OK)
		status = events_look_at_all(&events);
	return status == STATUS_OK ? events_follow(&events) : status;
}
