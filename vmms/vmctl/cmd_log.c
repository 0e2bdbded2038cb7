/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl log.
 *
 * Who follows listens before it reads, and knows by their sequence which events it has shown. A
 * gap, as a restart of vmms may leave, is filled by reading again.
 */
#include "vmms/vmctl/log_entry.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/subscription.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_INTERVAL  2000000 /* microseconds */
#define FOLLOWED_LINES 10      /* that are shown first, unless --lines says otherwise */

struct log {
	struct invocation *invocation;
	const char *path;
	struct json_object *events; /* with --json, where not followed */
	uint64_t shown;             /* sequence of the last event that was shown */
	bool follow, gap, ended;
};

/* ---- Showing ---- */

static void log_show(struct log *log, const struct log_entry *entry)
{
	if (entry->sequence <= log->shown)
		return;
	log->shown = entry->sequence;
	if (log->events)
		json_append(&log->events, log_entry_to_json(entry, NULL));
	else
		log_entry_print(entry, NULL, log->invocation->json);
}

/* ---- Reading ---- */

static int log_show_entries(struct log *log, sd_bus_message *reply)
{
	struct log_entry entry;
	int r;

	r = sd_bus_message_enter_container(reply, 'a', "(ttyss)");
	while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'r', "ttyss")) > 0) {
		r = log_entry_read(reply, &entry);
		if (r < 0)
			return r;
		log_show(log, &entry);
		r = sd_bus_message_exit_container(reply);
	}
	return r;
}

static enum status log_read_log(struct log *log, unsigned count)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	enum status status;
	int r;

	status = service_new_call(log->invocation, log->path, "GetLog", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "u", (uint32_t)count);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(log->invocation, call, SERVICE_TIMEOUT, &reply);
	if (status != STATUS_OK)
		return status;
	log->gap = false;
	r = log_show_entries(log, reply);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- Following ---- */

static int log_on_logged(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct log *log = data;
	struct log_entry entry;

	if (log_entry_read(message, &entry) < 0)
		return 0;
	if (entry.sequence == log->shown + 1)
		log_show(log, &entry);
	else if (entry.sequence > log->shown)
		log->gap = true;
	return 0;
}

static int log_on_removed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct log *log = data;
	const char *path;

	if (sd_bus_message_read(message, "o", &path) > 0 && strcmp(path, log->path) == 0)
		log->ended = true;
	return 0;
}

static enum status log_listen_to_vm(struct log *log)
{
	sd_bus *bus = log->invocation->bus;
	int r;

	r = sd_bus_match_signal(bus, NULL, DBUS_NAME, log->path, DBUS_INTERFACE_VM, "Logged",
				log_on_logged, log);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, DBUS_NAME, DBUS_PATH,
					"org.freedesktop.DBus.ObjectManager", "InterfacesRemoved",
					log_on_removed, log);
	if (r >= 0)
		r = subscription_begin(log->invocation);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* Users other than root may not be told of this VM: they look now and then, too. */
static enum status follow(struct log *log)
{
	uint64_t interval = geteuid() == 0 ? UINT64_MAX : LOOK_INTERVAL;
	enum status status = STATUS_OK;
	int r;

	while (status == STATUS_OK && !log->ended) {
		fflush(stdout);
		r = sd_bus_process(log->invocation->bus, NULL);
		if (r == 0)
			r = sd_bus_wait(log->invocation->bus, interval);
		if (r == 0)
			log->gap = true;
		if (r < 0 && r != -EINTR)
			return service_failed(r, NULL);
		if (log->gap && !log->ended)
			status = log_read_log(log, 0);
	}
	return status;
}

/* ---- The command ---- */

static enum status log_conclude(struct log *log)
{
	struct json_object *events = TAKE_PTR(log->events);

	if (!log->invocation->json || log->follow)
		return STATUS_OK;
	return json_print(json_make("events", events, NULL)) < 0 ? service_failed(-ENOMEM, NULL)
								 : STATUS_OK;
}

enum status command_log(struct invocation *invocation)
{
	struct log log = { .invocation = invocation,
			   .follow = invocation_has(invocation, "follow") };
	unsigned lines = log.follow ? FOLLOWED_LINES : 0;
	AUTO_FREE char *path = NULL;
	enum status status;

	if (!invocation_number(invocation, "lines", UINT32_MAX, &lines))
		return STATUS_USAGE;
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	log.path = path;
	if (invocation->json && !log.follow)
		log.events = json_object_new_array();
	if (status == STATUS_OK && log.follow)
		status = log_listen_to_vm(&log);
	if (status == STATUS_OK)
		status = log_read_log(&log, lines);
	if (status == STATUS_OK && log.follow)
		status = follow(&log);
	if (status == STATUS_OK)
		status = log_conclude(&log);
	json_object_put(log.events);
	return status;
}
