/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker. */
#include "vmwp/control/worker.h"

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/control.h"
#include "vmwp/control/control_backup.h"
#include "vmwp/control/control_dump.h"
#include "vmwp/control/control_fork.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/control_state.h"
#include "vmwp/control/worker_events.h"
#include "vmwp/device/devices.h"

#include <errno.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define LOOP_CAPACITY 8192
#define CLOSE_NS      (5ull * 1000000000)
#define NOTES_MAX     100                  /* lines at once about what the guest does */
#define NOTES_NS      (20ull * 1000000000) /* and after that one in this time */

/* ---- The end ---- */

static void worker_closed(void *data)
{
	struct worker *worker = data;

	loop_stop(worker->loop);
}

static void worker_close_late(struct loop_operation *operation, int result, bool more)
{
	struct worker *worker = container_of(operation, struct worker, close_timer.operation);

	if (result != -ETIME)
		return;
	log_warning("disk images are not closed, since the host does not answer");
	loop_stop(worker->loop);
}

static void worker_drained(void *data)
{
	struct worker *worker = data;
	struct disks *disks = worker->devices ? devices_get(worker->devices, DEVICE_STORAGE) : NULL;

	if (!disks) {
		loop_stop(worker->loop);
		return;
	}
	worker->close_timer.operation.complete = worker_close_late;
	loop_timer_start(worker->loop, &worker->close_timer, CLOSE_NS);
	disks_close(disks, worker_closed, worker);
}

static void worker_end(struct worker *worker)
{
	if (worker->ending)
		return;
	worker->ending = true;
	if (worker->console)
		console_drain(worker->console, worker_drained, worker);
	else
		loop_stop(worker->loop);
}

void worker_stop(struct worker *worker)
{
	if (worker->machine && machine_state(worker->machine) != MACHINE_STOPPED)
		machine_stop(worker->machine);
	else
		worker_end(worker);
}

#define END_USED_MAX    1024                                   /* bytes of what it used, as JSON */
#define END_MESSAGE_MAX (CONTROL_END_MAX - END_USED_MAX - 128) /* likewise */

/* Microseconds. */
static int64_t worker_clock(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

/* The numbers of a group, without its lists, which take more room. */
static struct json_object *worker_numbers(struct json_object *counters, const char *name)
{
	struct json_object *group, *numbers = json_object_new_object();

	if (!json_object_object_get_ex(counters, name, &group))
		return numbers;
	json_object_object_foreach(group, key, value)
	{
		if (json_object_is_type(value, json_type_int))
			json_add(&numbers, key, json_object_get(value));
	}
	return numbers;
}

/* What the VM has used, for its meter. NULL without memory. */
static struct json_object *worker_used(const struct worker *worker)
{
	AUTO_JSON struct json_object *counters = json_object_new_object();

	if (worker->devices)
		devices_counters(worker->devices, &counters);
	return json_make("boot_us", json_object_new_int64(worker_clock(CLOCK_BOOTTIME)), "cpu_us",
			 json_object_new_int64(worker_clock(CLOCK_PROCESS_CPUTIME_ID)), "disk",
			 worker_numbers(counters, "disk"), "network",
			 worker_numbers(counters, "network"), NULL);
}

/* Whether it is read does not depend on who is connected now. */
static void worker_write_end(const struct worker *worker, enum machine_reason reason,
			     const char *message)
{
	AUTO_JSON struct json_object *end = json_make(
		"reason", json_object_new_string(machine_reason_name(reason)), "message",
		json_make_text(message, END_MESSAGE_MAX), "used", worker_used(worker), NULL);
	const char *text;
	size_t size;

	if (worker->end_fd < 0 || !end)
		return;
	text = json_object_to_json_string_length(end, JSON_C_TO_STRING_PLAIN, &size);
	if (!text || mq_send(worker->end_fd, text, size, 0) < 0)
		log_warning("how the VM ended cannot be written down");
}

void worker_stopped(struct worker *worker, enum machine_reason reason, const char *message)
{
	worker->reason = reason;
	worker->failed = reason == MACHINE_ERROR;
	worker_write_end(worker, reason, message);
	worker_end(worker);
}

/* ---- What it is ---- */

struct json_object *worker_status(struct worker *worker)
{
	struct machine *machine = worker->machine;
	struct json_object *status;
	char version[16];

	worker_version_text(machine_vmbus_version(machine), version);
	status = json_make(
		"state", json_object_new_string(machine_state_name(machine_state(machine))),
		"engine", json_object_new_string(hvshim_engine_name(machine_engine(machine))),
		"vps", json_object_new_int64(worker->definition->processors.count), "vmbus_version",
		json_object_new_string(version), "resets", json_object_new_int64(worker->resets),
		"saved", json_object_new_boolean(control_state_is_saved(worker)), NULL);
	devices_status(worker->devices, &status);
	return status;
}

/* ---- Another daemon ---- */

int worker_adopt(struct worker *worker, int serial, int error)
{
	AUTO_CLOSE int serial_fd = serial, error_fd = error;
	int r;

	r = console_reconnect(worker->console, serial_fd);
	if (r < 0)
		return r;
	(void)TAKE_FD(serial_fd);
	if (dup2(error_fd, STDERR_FILENO) < 0)
		return error_origin(-errno);
	control_backup_abandon(worker);
	worker_tell_all(worker);
	return 0;
}

/* ---- Building ---- */

static size_t worker_filter_input(void *data, uint8_t *bytes, size_t size)
{
	struct worker *worker = data;

	size = terminal_filter(&worker->terminal, bytes, size);
	if (worker->terminal.quit)
		worker_stop(worker);
	return size;
}

static int worker_make_console(struct worker *worker, struct failure *failure)
{
	struct console_config config = {
		.loop = worker->loop,
		.chipset = machine_chipset(worker->machine),
		.filter = worker->serial_is_terminal ? worker_filter_input : NULL,
		.data = worker,
	};
	int fd = resources_take(worker->resources, "serial"), r;

	worker->end_fd = resources_take(worker->resources, "end");
	if (fd >= 0) {
		worker->serial_input_fd = fd;
		worker->serial_output_fd = -1;
	}
	config.input_fd = worker->serial_input_fd;
	config.output_fd = fd >= 0 ? fd : worker->serial_output_fd;
	r = console_new(&config, &worker->console);
	if (r < 0)
		return failure_set(failure, r, "The serial port cannot be used: %s.", strerror(-r));
	return 0;
}

static int worker_make_devices(struct worker *worker, struct failure *failure)
{
	const struct device_config config = {
		.loop = worker->loop,
		.machine = worker->machine,
		.bus = machine_bus(worker->machine),
		.definition = worker->definition,
		.resources = worker->resources,
		.callbacks = &worker_devices_callbacks,
		.data = worker,
		.alone = !worker->control,
	};

	return devices_new(&config, &worker->devices, failure);
}

static int worker_make(struct worker *worker, struct failure *failure)
{
	struct machine_config machine = {
		.definition = worker->definition,
		.resources = worker->resources,
		.loop = worker->loop,
		.callbacks = &worker_machine_callbacks,
		.data = worker,
	};
	int r;

	r = machine_new(&machine, &worker->machine, failure);
	if (r < 0)
		return r;
	r = worker_make_devices(worker, failure);
	if (r < 0)
		return r;
	r = worker_make_console(worker, failure);
	if (r < 0)
		return r;
	/* The last, which cannot fail: from here on the loop has something of it to wait for. */
	r = guest_sockets_listen(devices_get(worker->devices, DEVICE_SOCKETS), worker->loop,
				 resources_take(worker->resources, "sockets"));
	if (r < 0)
		log_warning("the host cannot reach sockets of the guest: %s", strerror(-r));
	return 0;
}

/* No guest has connected: nothing of what is freed is under way on the loop. */
static void worker_unmake(struct worker *worker)
{
	devices_discard(worker->devices);
	machine_free(worker->machine);
	definition_free(worker->definition);
	worker->devices = NULL;
	worker->machine = NULL;
	worker->definition = NULL;
}

int worker_build(struct worker *worker, struct definition *definition, struct failure *failure)
{
	int r = 0;

	worker->definition = definition;
	if (guid_is_null(&definition->uuid))
		r = guid_generate(&definition->uuid);
	if (r >= 0)
		r = worker_make(worker, failure);
	if (r < 0)
		worker_unmake(worker);
	return r;
}

/* ---- Signals, running, the worker as a whole ---- */

static void worker_signal(struct loop_operation *operation, int result, bool more)
{
	struct worker *worker = container_of(operation, struct worker, signal);

	if (result > 0)
		worker_stop(worker);
}

/*
 * SIGPIPE is what a peer that goes away would kill us with, and SIGXFSZ a file that may not grow
 * (vmms/vm/vm_file_limit.h).
 */
static int worker_take_signals(struct worker *worker)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
	    signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return error_origin(-errno);
	worker->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (worker->signal_fd < 0)
		return error_origin(-errno);
	worker->signal.complete = worker_signal;
	loop_poll(worker->loop, &worker->signal, worker->signal_fd, POLLIN);
	return 0;
}

int worker_init(struct worker *worker)
{
	int r;

	*worker = (struct worker){
		.serial_input_fd = -1,
		.serial_output_fd = -1,
		.signal_fd = -1,
		.end_fd = -1,
		.notes = { .most = NOTES_MAX, .interval = NOTES_NS },
	};
	list_init(&worker->leaving);
	r = loop_new(LOOP_CAPACITY, &worker->loop);
	if (r < 0)
		return r;
	r = resources_new(&worker->resources);
	if (r < 0)
		return r;
	return worker_take_signals(worker);
}

void worker_deinit(struct worker *worker)
{
	devices_free(worker->devices);
	machine_free(worker->machine);
	loop_free(worker->loop);
	/* Whose operations and buffers the loop may hold to its end. */
	control_server_free(worker->control);
	console_free(worker->console);
	control_dump_free(worker->dump);
	control_fork_free(worker->fork);
	control_backup_free(worker->backup);
	control_state_free(worker->state);
	definition_free(worker->definition);
	resources_free(worker->resources);
	close_fdp(&worker->serial_input_fd);
	close_fdp(&worker->serial_output_fd);
	close_fdp(&worker->signal_fd);
	close_fdp(&worker->end_fd);
}

int worker_run(struct worker *worker)
{
	return loop_run(worker->loop);
}
