/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager on a message bus: the connection, the check of callers, and answers. */
#include "vmms/bus/dbus.h"

#include "common/base/log.h"
#include "vmms/bus/dbus_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_INTERVAL 1000000 /* microseconds */

/* ---- Paths ---- */

static void bus_swap(char *text, char from, char to)
{
	for (; *text != '\0'; text++) {
		if (*text == from)
			*text = to;
	}
}

void dbus_object_path(const char *prefix, const struct guid *uuid, char path[DBUS_OBJECT_PATH_SIZE])
{
	char text[GUID_TEXT_SIZE];

	guid_format(uuid, text);
	bus_swap(text, '-', '_');
	snprintf(path, DBUS_OBJECT_PATH_SIZE, "%s/%s", prefix, text);
}

int dbus_object_path_parse(const char *path, const char *prefix, struct guid *ret_uuid)
{
	char text[GUID_TEXT_SIZE];
	size_t length = strlen(prefix);

	if (strncmp(path, prefix, length) != 0 || path[length] != '/' ||
	    strlen(path + length + 1) != sizeof(text) - 1)
		return -EINVAL;
	strcpy(text, path + length + 1);
	bus_swap(text, '_', '-');
	return guid_parse(text, ret_uuid);
}

int dbus_list_paths(const struct dbus_service *service, const struct dbus_object_list *objects,
		    char ***ret_nodes)
{
	size_t count = 0, i = 0;
	char **nodes;

	list_for_each (link, objects->list)
		count++;
	nodes = calloc(count + 1, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	list_for_each (link, objects->list) {
		char path[DBUS_OBJECT_PATH_SIZE];

		if (!objects->is_seen(service, link))
			continue;
		dbus_object_path(objects->prefix, objects->uuid(link), path);
		nodes[i] = strdup(path);
		if (!nodes[i++])
			goto fail;
	}
	*ret_nodes = nodes;
	return 0;
fail:
	while (i > 0)
		free(nodes[--i]);
	free(nodes);
	return -ENOMEM;
}

int dbus_register_objects(struct dbus_service *service, const char *prefix, const char *interface,
			  const sd_bus_vtable *vtable, sd_bus_object_find_t find,
			  sd_bus_node_enumerator_t list_paths)
{
	int r;

	r = sd_bus_add_fallback_vtable(service->bus, NULL, prefix, interface, vtable, find,
				       service);
	if (r < 0)
		return r;
	return sd_bus_add_node_enumerator(service->bus, NULL, prefix, list_paths, service);
}

/* ---- Answers ---- */

int dbus_refuse_definition(struct failure *failure, const char *text, const struct json_error *why)
{
	char line[32] = "";

	if (strchr(text, '\n'))
		snprintf(line, sizeof(line), "line %d: ", why->line);
	return failure_set(failure, DBUS_ERROR_INVALID_DEFINITION, "%s%s%s%s", line, why->key,
			   why->key[0] != '\0' ? ": " : "", why->message);
}

int dbus_reply_failure(sd_bus_message *call, const struct failure *failure)
{
	return sd_bus_reply_method_errorf(call, failure->name, "%s", failure->message);
}

int dbus_reply_json(sd_bus_message *call, struct json_object *tree)
{
	const char *text =
		tree ? json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN) : NULL;

	return text ? sd_bus_reply_method_return(call, "s", text)
		    : sd_bus_reply_method_errnof(call, ENOMEM, "out of memory");
}

void dbus_done(void *data, const struct failure *failure)
{
	sd_bus_message *call = data;
	int r;

	r = failure ? dbus_reply_failure(call, failure) : sd_bus_reply_method_return(call, "");
	if (r < 0)
		log_debug("a caller cannot be answered: %s", strerror(-r));
	sd_bus_message_unref(call);
}

static int bus_read_option(sd_bus_message *call, const struct dbus_option *options, size_t count,
			   const char *name, struct failure *failure)
{
	char signature[2] = "";
	int r;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(options[i].name, name) != 0)
			continue;
		signature[0] = options[i].type;
		r = sd_bus_message_read(call, "v", signature, options[i].value);
		return r < 0 ? failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
					   "option '%s' must be of type '%s'", name, signature)
			     : 0;
	}
	return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT, "there is no option '%s'", name);
}

int dbus_read_options(sd_bus_message *call, const struct dbus_option *options, size_t count,
		      struct failure *failure)
{
	const char *name;
	int r;

	r = sd_bus_message_enter_container(call, 'a', "{sv}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
		r = sd_bus_message_read(call, "s", &name);
		if (r < 0)
			return r;
		r = bus_read_option(call, options, count, name, failure);
		if (r < 0)
			return r;
		r = sd_bus_message_exit_container(call);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(call);
}

/* ---- The connection ---- */

static int bus_reconnect(sd_event_source *source, uint64_t usec, void *data);

static void bus_disconnect(struct dbus_service *service)
{
	dbus_access_forget(&service->access);
	dbus_signal_forget(service);
	dbus_files_stop(service);
	service->has_name = false;
	service->bus = sd_bus_close_unref(service->bus);
}

static int bus_lost(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;

	log_warning("the message bus is gone; trying again until it is back");
	/* Not now: the bus is still calling us. */
	return sd_event_source_set_enabled(service->reconnect, SD_EVENT_ONESHOT);
}

static int bus_register_objects(struct dbus_service *service)
{
	int r;

	r = sd_bus_add_filter(service->bus, NULL, dbus_access_check, service);
	if (r < 0)
		return r;
	r = sd_bus_add_object_manager(service->bus, NULL, DBUS_PATH);
	if (r < 0)
		return r;
	r = dbus_manager_register(service);
	if (r < 0)
		return r;
	r = dbus_vm_register(service);
	if (r < 0)
		return r;
	r = dbus_switch_register(service);
	if (r < 0)
		return r;
	r = dbus_job_register(service);
	if (r < 0)
		return r;
	return sd_bus_match_signal(service->bus, NULL, "org.freedesktop.DBus.Local",
				   "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
				   "Disconnected", bus_lost, service);
}

static int bus_try_connect(struct dbus_service *service)
{
	int r;

	r = dbus_open(&service->settings, false, &service->bus);
	if (r < 0)
		return r;
	r = bus_register_objects(service);
	if (r < 0)
		return r;
	r = sd_bus_attach_event(service->bus, service->manager->loop, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		return r;
	r = dbus_files_start(service);
	if (r < 0)
		return r;
	/* Last, so that whoever waits for the name finds everything. */
	r = sd_bus_request_name(service->bus, DBUS_NAME, 0);
	service->has_name = r >= 0;
	return r;
}

static int bus_reconnect(sd_event_source *source, uint64_t usec, void *data)
{
	struct dbus_service *service = data;

	bus_disconnect(service);
	if (bus_try_connect(service) >= 0) {
		log_info("connected to the message bus again");
		return 0;
	}
	bus_disconnect(service);
	sd_event_source_set_time_relative(source, RECONNECT_INTERVAL);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int dbus_service_new(struct manager *manager, struct host_report *report,
		     const struct dbus_settings *settings, struct dbus_service **ret_service)
{
	CLEANUP(dbus_service_freep) struct dbus_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return -ENOMEM;
	service->manager = manager;
	service->report = report;
	service->settings = *settings;
	list_init(&service->stop_calls);
	list_init(&service->forwarders);
	list_init(&service->subscribers);
	r = dbus_access_init(&service->access, manager->loop, manager->helpers, settings->group);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(manager->loop, &service->reconnect, CLOCK_MONOTONIC, 0, 0,
				       bus_reconnect, service);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(service->reconnect, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = bus_try_connect(service);
	if (r < 0)
		return r;
	*ret_service = TAKE_PTR(service);
	return 0;
}

void dbus_service_free(struct dbus_service *service)
{
	if (!service)
		return;
	sd_event_source_disable_unref(service->reconnect);
	if (service->manager)
		dbus_guests_stopped(service);
	dbus_access_deinit(&service->access);
	dbus_signal_forget(service);
	dbus_files_stop(service);
	service->bus = sd_bus_flush_close_unref(service->bus);
	free(service);
}
