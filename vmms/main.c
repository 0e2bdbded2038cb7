/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Virtual Machine Management Service.
 *
 * One thread, one loop: the bus, the workers and the consoles. Stages: settings, the store, the
 * bus; then readiness is told, and the loop runs until a signal ends it. Guests are shut down then,
 * or left to the next daemon.
 */
#include "common/base/error.h"
#include "common/base/log.h"
#include "vmms/base/socket_folder.h"
#include "vmms/bus/dbus.h"
#include "vmms/host/host.h"
#include "vmms/metrics/metrics_server.h"
#include "vmms/settings.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#define STOP_MARGIN 30 /* seconds, beyond what guests and workers have */

struct service {
	struct settings settings;
	sd_event *loop;
	struct units *units;
	struct manager *manager;
	struct host_report *report;
	struct dbus_service *bus;
	struct metrics_server *metrics;
	bool ending;  /* when all VMs are at rest */
	bool leaving; /* everything stays as it is, for the next daemon */
};

/* ---- What the manager tells ---- */

static void service_notify_status(const struct service *service)
{
	unsigned count = 0, running = 0;

	list_for_each (link, &service->manager->vms) {
		count++;
		running += container_of(link, struct vm, link)->run.worker != NULL;
	}
	(void)sd_notifyf(false, "STATUS=%u VMs, %u with a worker", count, running);
}

static void service_vm_added(void *data, struct vm *vm)
{
	struct service *service = data;

	dbus_vm_added(service->bus, vm);
	service_notify_status(service);
}

static void service_vm_removed(void *data, struct vm *vm)
{
	struct service *service = data;

	dbus_vm_removed(service->bus, vm);
}

/* All VMs are counted then, which is not to be done at each change of each of a thousand. */
static bool service_are_of_worker(const char *const *properties)
{
	for (; *properties; properties++) {
		if (strcmp(*properties, "WorkerPID") == 0)
			return true;
	}
	return false;
}

static void service_vm_changed(void *data, struct vm *vm, const char *const *properties)
{
	struct service *service = data;

	dbus_vm_changed(service->bus, vm, properties);
	if (service_are_of_worker(properties))
		service_notify_status(service);
}

static void service_vm_logged(void *data, struct vm *vm, const struct vm_log_entry *entry)
{
	dbus_vm_logged(((struct service *)data)->bus, vm, entry);
}

static void service_broken_changed(void *data)
{
	struct service *service = data;

	dbus_broken_changed(service->bus);
}

static void service_stopped(void *data)
{
	struct service *service = data;

	dbus_guests_stopped(service->bus);
	if (service->ending)
		(void)sd_event_exit(service->loop, 0);
}

static const struct manager_observer observer = {
	.vm_added = service_vm_added,
	.vm_removed = service_vm_removed,
	.vm_changed = service_vm_changed,
	.vm_logged = service_vm_logged,
	.broken_changed = service_broken_changed,
	.stopped = service_stopped,
};

static void service_switch_added(void *data, struct vswitch *vswitch)
{
	dbus_switch_added(((struct service *)data)->bus, vswitch);
}

static void service_switch_removed(void *data, struct vswitch *vswitch)
{
	dbus_switch_removed(((struct service *)data)->bus, vswitch);
}

static void service_switch_changed(void *data, struct vswitch *vswitch)
{
	dbus_switch_changed(((struct service *)data)->bus, vswitch);
}

static const struct vswitches_observer switches_observer = {
	.added = service_switch_added,
	.removed = service_switch_removed,
	.changed = service_switch_changed,
};

static void service_job_added(void *data, struct job *job)
{
	dbus_job_added(((struct service *)data)->bus, job);
}

static void service_job_removed(void *data, struct job *job)
{
	dbus_job_removed(((struct service *)data)->bus, job);
}

static void service_job_changed(void *data, struct job *job, const char *const *properties)
{
	dbus_job_changed(((struct service *)data)->bus, job, properties);
}

static const struct jobs_observer jobs_observer = {
	.added = service_job_added,
	.removed = service_job_removed,
	.changed = service_job_changed,
};

/* ---- Signals ---- */

/* A guest may have more time than the unit's TimeoutStopSec=. */
static void service_notify_stopping(const struct service *service)
{
	unsigned timeout = service->settings.manager.shutdown_timeout;
	unsigned seconds = manager_stop_time(service->manager, timeout) + STOP_MARGIN;

	log_info("stopping: at most %u seconds", seconds);
	(void)sd_notifyf(false, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", seconds * 1000000ULL);
}

static int service_on_interrupt(sd_event_source *source, const struct signalfd_siginfo *info,
				void *data)
{
	struct service *service = data;
	bool again = service->ending;

	service->ending = true;
	if (!again)
		service_notify_stopping(service);
	manager_stop(service->manager, again ? 0 : service->settings.manager.shutdown_timeout);
	return 0;
}

/* What systemd sends. When the host goes down, guests have been stopped before, by StopGuests. */
static int service_on_terminate(sd_event_source *source, const struct signalfd_siginfo *info,
				void *data)
{
	struct service *service = data;

	if (!service->settings.keep_guests)
		return service_on_interrupt(source, info, data);
	if (service->ending) {
		service_notify_stopping(service); /* and go on with it */
		return 0;
	}
	/* Without guests nothing is left behind, no bridge either. */
	service->leaving = !manager_is_at_rest(service->manager);
	log_info("ending%s", service->leaving ? "; guests run on" : "");
	(void)sd_notify(false, "STOPPING=1");
	return sd_event_exit(service->loop, 0);
}

static int service_on_reload(sd_event_source *source, const struct signalfd_siginfo *info,
			     void *data)
{
	struct service *service = data;
	struct failure failure;

	(void)sd_notify(false, "RELOADING=1");
	if (manager_reload(service->manager, &failure) < 0)
		log_error("%s", failure.message);
	(void)sd_notify(false, "READY=1");
	return 0;
}

static int service_watch_signals(struct service *service)
{
	static const struct {
		int signal;
		sd_event_signal_handler_t handler;
	} signals[] = { { SIGTERM, service_on_terminate },
			{ SIGINT, service_on_interrupt },
			{ SIGHUP, service_on_reload } };
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&mask, signals[i].signal);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return error_origin(-errno);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		r = sd_event_add_signal(service->loop, NULL, signals[i].signal, signals[i].handler,
					service);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- Stages ---- */

/* Every VM takes some descriptors; its worker, which inherits the limit, takes many more. */
static void service_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void service_make_socket_path(const struct service *service, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" SOCKET_FOLDERS, service->settings.manager.runtime_directory);
}

/* VMs run without it, too. */
static void service_prepare_sockets(const struct service *service)
{
	char path[PATH_MAX];
	int r;

	service_make_socket_path(service, path);
	r = socket_folder_prepare(path);
	if (r < 0)
		log_warning("%s has no file system of its own, so that owners of VMs can fill the "
			    "one that it is on: %s",
			    path, strerror(-r));
}

static int service_start_manager(struct service *service)
{
	struct manager_settings *settings = &service->settings.manager;
	int r;

	if (mkdir(settings->runtime_directory, 0711) < 0 && errno != EEXIST) {
		log_error("cannot make %s: %s", settings->runtime_directory, strerror(errno));
		return -errno;
	}
	r = units_new(service->loop, &service->settings.bus, service->settings.units,
		      &service->units);
	if (r < 0) {
		log_error("out of memory");
		return r;
	}
	settings->units = service->units;
	service_prepare_sockets(service);
	r = manager_new(service->loop, settings, &service->manager);
	if (r == -EBUSY)
		log_error("another vmms uses %s; stop it, or give this one another --state-dir",
			  settings->state_directory);
	else if (r < 0)
		log_error("cannot use %s: %s", settings->state_directory, strerror(-r));
	if (r < 0)
		return r;
	r = host_report_new(service->loop, settings->worker, settings->runtime_directory,
			    &service->report);
	if (r < 0)
		log_error("out of memory");
	return r;
}

static int service_start_bus(struct service *service)
{
	int r;

	r = dbus_service_new(service->manager, service->report, &service->settings.bus,
			     &service->bus);
	if (r == -EEXIST)
		log_error("another vmms is on that bus already; stop it first");
	else if (r == -EACCES || r == -EPERM)
		log_error("the bus does not let this user own %s: run as root with the policy "
			  "installed, or use --user",
			  DBUS_NAME);
	else if (r < 0)
		log_error("cannot connect to the message bus: %s", strerror(-r));
	if (r == 0) {
		manager_observe(service->manager, &observer, service);
		vswitches_observe(service->manager->switches, &switches_observer, service);
		jobs_observe(service->manager->jobs, &jobs_observer, service);
	}
	return r;
}

static int service_run(struct service *service)
{
	int r;

	service_raise_descriptor_limit();
	r = sd_event_default(&service->loop);
	if (r < 0) {
		log_error("cannot make an event loop: %s", strerror(-r));
		return r;
	}
	/* Told from the loop that it goes round, if the service manager wants to know. */
	r = sd_event_set_watchdog(service->loop, true);
	if (r < 0)
		log_warning("no watchdog: %s", strerror(-r));
	r = service_watch_signals(service);
	if (r < 0) {
		log_error("cannot watch signals: %s", strerror(-r));
		return r;
	}
	r = service_start_manager(service);
	if (r < 0)
		return r;
	r = service_start_bus(service);
	if (r < 0)
		return r;
	r = metrics_server_new(service->manager, service->settings.runtime_directory,
			       service->settings.metrics_port, &service->metrics);
	if (r < 0) {
		log_error("out of memory");
		return r;
	}
	(void)sd_notify(false, "READY=1");
	service_notify_status(service);
	manager_start_automatically(service->manager);
	r = sd_event_loop(service->loop);
	if (r < 0)
		log_error("the event loop failed: %s", strerror(-r));
	return r;
}

/* Who leaves does as if it were killed: what it would free, it would take away from the guests. */
static void service_deinit(struct service *service)
{
	bool at_work = service->manager;
	char sockets[PATH_MAX];

	if (service->leaving)
		return;
	if (service->manager) {
		manager_observe(service->manager, NULL, NULL);
		vswitches_observe(service->manager->switches, NULL, NULL);
		jobs_observe(service->manager->jobs, NULL, NULL);
	}
	metrics_server_free(service->metrics);
	dbus_service_free(service->bus);
	host_report_free(service->report);
	manager_free(service->manager);
	units_free(service->units);
	sd_event_unref(service->loop);
	service_make_socket_path(service, sockets);
	if (at_work)
		socket_folder_release(sockets);
}

int main(int argc, char *argv[])
{
	static struct service service;
	int r;

	log_set_name("vmms");
	r = settings_read(argc, argv, &service.settings);
	if (r == SETTINGS_E_DONE)
		return EXIT_SUCCESS;
	if (r == SETTINGS_E_USAGE)
		return 2;
	if (r < 0) {
		log_error("no place for state: give --state-dir and --runtime-dir");
		return EXIT_FAILURE;
	}
	r = service_run(&service);
	service_deinit(&service);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
