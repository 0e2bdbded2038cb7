/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.vmms1.Files: docs/dbus/org.vmms1.Files.md.
 *
 * Calls come over private buses from processes that forward them (vmms/bus/call_forwarder.h): one
 * that has the name, and earlier ones that have not ended. They pass the same check as all others.
 */
#include "common/base/error.h"
#include "common/base/log.h"
#include "vmms/bus/call_forwarder.h"
#include "vmms/bus/dbus_guest.h"
#include "vmms/bus/dbus_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define READY_TIMEOUT    5000    /* milliseconds */
#define RESTART_INTERVAL 1000000 /* microseconds */
#define WHOSE_SIZE       64      /* bytes */

struct forwarder {
	struct list link;
	struct dbus_service *service;
	struct helper *helper;
	sd_bus *bus;
	bool spent;  /* another has been started in its place */
	bool blamed; /* it keeps files of a user too many of whose processes do not end */
};

/* ---- The methods ---- */

#define METHOD(name, arguments, result, handler)                                    \
	SD_BUS_METHOD_WITH_ARGS(name, SD_BUS_##arguments, SD_BUS_##result, handler, \
				SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable files_vtable[] = {
	SD_BUS_VTABLE_START(0),
	METHOD("StartWithFiles", ARGS("a{sh}", files), NO_RESULT, dbus_start_with_files),
	METHOD("AttachDiskWithFile", ARGS("s", disk, "h", file), RESULT("u", controller, "u", lun),
	       dbus_attach_disk_with_file),
	METHOD("InsertMediumWithFile", ARGS("u", controller, "u", lun, "s", path, "h", file),
	       NO_RESULT, dbus_insert_medium_with_file),
	METHOD("Send", ARGS("h", socket, "a{sv}", options), RESULT("o", job), dbus_send),
	METHOD("Receive", ARGS("h", socket), NO_RESULT, dbus_receive),
	METHOD("CopyFile", ARGS("h", file, "s", path, "a{sv}", options), RESULT("o", job),
	       dbus_copy_file),
	METHOD("DumpMemory", ARGS("h", file), RESULT("o", job), dbus_dump_memory),
	METHOD("BackUp", ARGS("h", socket, "a{sv}", options), RESULT("o", job), dbus_back_up),
	METHOD("OpenConsole", ARGS("a{sv}", options), RESULT("h", console, "b", typing),
	       dbus_open_console),
	METHOD("OpenSocket", ARGS("u", port), RESULT("h", socket), dbus_open_socket),
	METHOD("TakePicture", NO_ARGS, RESULT("h", pixels, "u", width, "u", height),
	       dbus_take_picture),
	METHOD("OpenScreen", NO_ARGS, RESULT("h", viewer), dbus_open_screen),
	METHOD("WatchScreen", NO_ARGS, RESULT("h", viewer), dbus_watch_screen),
	METHOD("OpenCapture", ARGS("s", name, "a{sv}", options), RESULT("h", stream),
	       dbus_open_capture),
	SD_BUS_VTABLE_END,
};

static int dbus_files_serve(struct forwarder *forwarder, int fd)
{
	struct dbus_service *service = forwarder->service;
	sd_id128_t id;
	int r;

	r = sd_id128_randomize(&id);
	if (r >= 0)
		r = sd_bus_new(&forwarder->bus);
	if (r >= 0)
		r = sd_bus_set_fd(forwarder->bus, fd, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = sd_bus_set_server(forwarder->bus, true, id);
	if (r >= 0)
		r = sd_bus_negotiate_fds(forwarder->bus, true);
	if (r >= 0)
		r = sd_bus_start(forwarder->bus);
	if (r >= 0)
		r = sd_bus_add_filter(forwarder->bus, NULL, dbus_access_check, service);
	if (r >= 0)
		r = sd_bus_add_fallback_vtable(forwarder->bus, NULL, DBUS_VM_PREFIX,
					       DBUS_INTERFACE_FILES, files_vtable, dbus_find_vm,
					       service);
	return r < 0 ? r : sd_bus_attach_event(forwarder->bus, service->manager->loop, 0);
}

/* ---- The processes ---- */

static void dbus_files_forwarder_free(struct forwarder *forwarder)
{
	list_unlink(&forwarder->link);
	helper_free(forwarder->helper);
	dbus_access_forget_bus(&forwarder->service->access, forwarder->bus);
	sd_bus_close_unref(forwarder->bus);
	free(forwarder);
}

static int dbus_files_start_next(sd_event_source *source, uint64_t usec, void *data)
{
	struct dbus_service *service = data;
	int r = dbus_files_start(service);

	if (r < 0) {
		log_warning("calls with descriptors cannot be served: %s; trying again",
			    strerror(-r));
		sd_event_source_set_time_relative(source, RESTART_INTERVAL);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

static void dbus_files_start_soon(struct dbus_service *service, uint64_t delay)
{
	service->next_forwarder = sd_event_source_disable_unref(service->next_forwarder);
	if (sd_event_add_time_relative(service->manager->loop, &service->next_forwarder,
				       CLOCK_MONOTONIC, delay, 0, dbus_files_start_next,
				       service) < 0)
		log_error("calls with descriptors are not served any more: out of memory");
}

/* The user who sent something, as those are called whose processes do not end. */
static void dbus_files_find_sender(const struct dbus_service *service, const char *name,
				   char whose[WHOSE_SIZE])
{
	CLEANUP(sd_bus_creds_unrefp) sd_bus_creds *credentials = NULL;
	uid_t uid;

	if (sd_bus_get_name_creds(service->bus, name, SD_BUS_CREDS_EUID, &credentials) >= 0 &&
	    sd_bus_creds_get_euid(credentials, &uid) >= 0)
		snprintf(whose, WHOSE_SIZE, "%s of uid %u", DBUS_NAME_FILES, uid);
	else
		snprintf(whose, WHOSE_SIZE, "%s of those who have gone", DBUS_NAME_FILES);
}

/* Another takes its name, unless too many of that sender's do not end: then it keeps what comes. */
static void dbus_files_replace(struct forwarder *forwarder, const char *name, size_t size)
{
	struct dbus_service *service = forwarder->service;
	const struct helpers *helpers = service->manager->helpers;
	char sender[CALL_FORWARDER_NAME_MAX + 1], whose[WHOSE_SIZE];

	if (forwarder->spent || !service->bus || size >= sizeof(sender))
		return;
	memcpy(sender, name, size);
	sender[size] = '\0';
	dbus_files_find_sender(service, sender, whose);
	/* The first who had too many stays the one to blame. */
	if (!forwarder->blamed && helper_blame(forwarder->helper, whose) < 0)
		return;
	/* Of users there may be any number: who has none stuck is not let off among too many. */
	if (helpers_are_stuck(helpers, whose) ||
	    helpers_count_stuck(helpers, NULL) >= HELPERS_STUCK_ALL_MAX) {
		forwarder->blamed = true;
		return;
	}
	forwarder->spent = true;
	dbus_files_start_soon(service, 0);
}

static void dbus_files_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct forwarder *forwarder = owner;
	const char *text = bytes;

	if (fd >= 0)
		close(fd);
	if (*text == CALL_FORWARDER_SPENT)
		dbus_files_replace(forwarder, text + 1, size - 1);
	else if (*text == CALL_FORWARDER_DONE && forwarder->spent)
		dbus_files_forwarder_free(forwarder);
}

static void dbus_files_ended(void *owner, int result)
{
	struct forwarder *forwarder = owner;
	struct dbus_service *service = forwarder->service;

	forwarder->helper = NULL;
	if (!forwarder->spent)
		dbus_files_start_soon(service, RESTART_INTERVAL);
	dbus_files_forwarder_free(forwarder);
}

static const struct helper_callbacks callbacks = { .message = dbus_files_heard,
						   .ended = dbus_files_ended };

/* So that whoever waits for the daemon's name finds this one, too. */
static void dbus_files_wait_until_ready(int fd)
{
	struct pollfd polled = { .fd = fd };

	(void)poll(&polled, 1, READY_TIMEOUT);
}

static int dbus_files_run(struct forwarder *forwarder)
{
	struct dbus_service *service = forwarder->service;
	int sockets[2], ready[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int far = sockets[1];
	r = dbus_files_serve(forwarder, sockets[0]);
	if (r < 0)
		return r;
	if (pipe2(ready, O_CLOEXEC) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int ready_near = ready[0];
	int kept[] = { far, ready[1] };
	struct call_forwarder_config forwarding = { &service->settings, far, ready[1] };
	const struct helper_config config = { .whose = DBUS_NAME_FILES,
					      .work = call_forwarder_run,
					      .data = &forwarding,
					      .kept = kept,
					      .kept_count = ARRAY_SIZE(kept),
					      .callbacks = &callbacks,
					      .owner = forwarder };

	r = helper_new(service->manager->helpers, &config, &forwarder->helper);
	close(ready[1]);
	if (r == 0 && !service->has_name)
		dbus_files_wait_until_ready(ready_near);
	return r;
}

int dbus_files_start(struct dbus_service *service)
{
	struct forwarder *forwarder = calloc(1, sizeof(*forwarder));
	int r;

	if (!forwarder)
		return -ENOMEM;
	list_init(&forwarder->link);
	forwarder->service = service;
	r = dbus_files_run(forwarder);
	if (r < 0) {
		dbus_files_forwarder_free(forwarder);
		return r;
	}
	list_append(&service->forwarders, &forwarder->link);
	return 0;
}

void dbus_files_stop(struct dbus_service *service)
{
	service->next_forwarder = sd_event_source_disable_unref(service->next_forwarder);
	list_for_each (link, &service->forwarders)
		dbus_files_forwarder_free(container_of(link, struct forwarder, link));
}
