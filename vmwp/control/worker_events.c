/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker's machine and devices tell. */
#include "vmwp/control/worker_events.h"

#include "common/base/log.h"
#include "common/wire/vmbus.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/worker.h"
#include "vsp/socket/sockets.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Says what a guest can make happen as often as it likes: not that often. */
static void worker_note(struct worker *worker, enum log_level level, const char *format, ...)
	PRINTF_LIKE(3, 4);

static void worker_note(struct worker *worker, enum log_level level, const char *format, ...)
{
	char text[512];
	unsigned refused;
	va_list arguments;

	if (!rate_limit_take(&worker->notes, loop_now(), &refused))
		return;
	if (refused > 0)
		log_warning("the guest does too much to tell it all; left out: %u lines", refused);
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_write(level, "%s", text);
}

/* ---- What the machine tells ---- */

static void worker_machine_state(void *data, enum machine_state state, enum machine_reason reason,
				 const char *message)
{
	struct worker *worker = data;

	if (message[0])
		log_error("%s", message);
	if (state == MACHINE_RUNNING)
		devices_resume(worker->devices);
	else
		devices_pause(worker->devices);
	if (reason == MACHINE_REQUESTED)
		log_info("the VM is %s", machine_state_name(state));
	else if (state == MACHINE_RUNNING)
		worker_note(worker, LOG_LEVEL_INFO, "the VM is running: %s",
			    machine_reason_name(reason));
	else
		log_info("the VM is %s: %s", machine_state_name(state),
			 machine_reason_name(reason));
	if (worker->control)
		control_server_state(worker->control, state, reason, message);
	if (state != MACHINE_STOPPED)
		return;
	worker_stopped(worker, reason, message);
}

static void worker_machine_reset(void *data, enum machine_reason reason, const char *message)
{
	struct worker *worker = data;

	if (message[0])
		worker_note(worker, LOG_LEVEL_WARNING, "%s", message);

	devices_reset(worker->devices);
	worker->resets++;
	worker_note(worker, LOG_LEVEL_INFO, "the VM was reset: %s", machine_reason_name(reason));
	if (worker->control)
		control_server_reset(worker->control, reason, worker->resets);
}

static void worker_machine_crash(void *data, const struct hvshim_crash *crash)
{
	struct worker *worker = data;

	worker_note(worker, LOG_LEVEL_WARNING,
		    "the guest crashed: parameters %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64
		    " %" PRIx64 ", %zu bytes of text",
		    crash->parameters[0], crash->parameters[1], crash->parameters[2],
		    crash->parameters[3], crash->parameters[4], crash->text_size);
	worker->crash = *crash;
	worker->crashed = true;
	if (worker->control)
		control_server_crash(worker->control, crash);
}

void worker_version_text(uint32_t version, char text[16])
{
	text[0] = 0;
	if (version)
		snprintf(text, 16, "%u.%u", VMBUS_VERSION_MAJOR(version),
			 VMBUS_VERSION_MINOR(version));
}

static void worker_machine_vmbus(void *data, uint32_t version)
{
	struct worker *worker = data;
	char text[16];

	worker_version_text(version, text);
	if (version)
		worker_note(worker, LOG_LEVEL_INFO, "the guest connected to VMBus, version %s",
			    text);
	else
		worker_note(worker, LOG_LEVEL_INFO, "the guest left VMBus");
	if (worker->control)
		control_server_vmbus(worker->control, version);
}

static void worker_machine_firmware(void *data, enum firmware_word word)
{
	struct worker *worker = data;

	if (word != FIRMWARE_SAYS_NOTHING)
		worker_note(worker, LOG_LEVEL_WARNING, "the firmware boots nothing: %s",
			    firmware_word_names[word]);
	if (worker->control)
		control_server_firmware(worker->control, word);
}

static void worker_machine_notice(void *data, const char *text)
{
	log_warning("%s", text);
}

/* Any thread. */
static void worker_machine_console(void *data, bool output)
{
	struct worker *worker = data;

	if (output)
		console_output_ready(worker->console);
	else
		console_input_room(worker->console);
}

const struct machine_callbacks worker_machine_callbacks = {
	.state = worker_machine_state,
	.reset = worker_machine_reset,
	.crash = worker_machine_crash,
	.vmbus = worker_machine_vmbus,
	.notice = worker_machine_notice,
	.firmware = worker_machine_firmware,
	.console = worker_machine_console,
};

/* ---- What devices tell ---- */

static void worker_heartbeat(void *data, const char *status)
{
	struct worker *worker = data;

	worker_note(worker, LOG_LEVEL_INFO, "the guest's heartbeat is %s", status);
	if (worker->control)
		control_server_heartbeat(worker->control, status);
}

/* NULL: nobody wants to know, or the devices are being made. */
static struct guest_addresses *worker_find_addresses(const struct worker *worker)
{
	return worker->devices ? devices_get(worker->devices, DEVICE_ADDRESSES) : NULL;
}

static void worker_guest(void *data, const struct ic_kvp_guest *guest)
{
	struct worker *worker = data;
	struct guest_addresses *addresses = worker_find_addresses(worker);

	if (worker->control)
		control_server_guest(worker->control, guest);
	if (addresses)
		guest_addresses_guest(addresses);
}

static void worker_guest_refreshed(void *data)
{
	struct guest_addresses *addresses = worker_find_addresses(data);

	if (addresses)
		guest_addresses_refreshed(addresses);
}

static void worker_network_connected(void *data, const char *adapter)
{
	struct guest_addresses *addresses = worker_find_addresses(data);

	if (addresses)
		guest_addresses_connected(addresses, adapter);
}

static void worker_addresses(void *data, const char *adapter, const char *addresses)
{
	struct worker *worker = data;

	control_server_addresses(worker->control, adapter, addresses);
}

static void worker_memory(void *data, struct json_object *report)
{
	struct worker *worker = data;

	if (worker->control)
		control_server_memory(worker->control, report);
	else
		json_object_put(report);
}

static void worker_thawed(void *data, const char *reason)
{
	struct worker *worker = data;

	log_warning("the guest's file systems are thawed, unasked: %s", reason);
	if (worker->control)
		control_server_thawed(worker->control, reason);
}

/* Without a daemon there is nobody on the host's ports. */
static void worker_socket(void *data, uint32_t request, uint32_t port)
{
	struct worker *worker = data;

	if (worker->control)
		control_server_connect(worker->control, request, port);
	else
		sockets_answer(guest_sockets_all(devices_get(worker->devices, DEVICE_SOCKETS)),
			       request, -1);
}

static void worker_ejected(void *data, unsigned controller, unsigned lun)
{
	struct worker *worker = data;

	worker_note(worker, LOG_LEVEL_INFO, "the guest ejected the medium of DVD drive %u:%u",
		    controller, lun);
	if (worker->control)
		control_server_ejected(worker->control, controller, lun);
}

static void worker_disk_changed(void *data, unsigned controller, unsigned lun,
				struct json_object *report)
{
	struct worker *worker = data;

	worker_note(worker, LOG_LEVEL_WARNING, "disk %u:%u: %s", controller, lun,
		    json_object_to_json_string(report));
	if (worker->control)
		control_server_disk(worker->control, controller, lun, report);
	else
		json_object_put(report);
}

static void worker_disk_pause(void *data, const char *why)
{
	struct worker *worker = data;

	machine_pause_for_disk(worker->machine, why);
}

static void worker_disk_go_on(void *data)
{
	struct worker *worker = data;

	machine_resume_for_disk(worker->machine);
}

static void worker_disk_stop(void *data, const char *why)
{
	struct worker *worker = data;

	machine_stop_for_disk(worker->machine, why);
}

static void worker_network_ended(void *data, const char *adapter)
{
	struct worker *worker = data;

	log_warning("the network of adapter %s has ended", adapter);
	if (worker->control)
		control_server_network(worker->control, adapter, "closed");
}

const struct devices_callbacks worker_devices_callbacks = {
	.heartbeat = worker_heartbeat,
	.ejected = worker_ejected,
	.disk_changed = worker_disk_changed,
	.disk_pause = worker_disk_pause,
	.disk_go_on = worker_disk_go_on,
	.disk_stop = worker_disk_stop,
	.network_ended = worker_network_ended,
	.network_connected = worker_network_connected,
	.guest = worker_guest,
	.guest_refreshed = worker_guest_refreshed,
	.addresses = worker_addresses,
	.thawed = worker_thawed,
	.socket = worker_socket,
	.memory = worker_memory,
};

/* ---- Another daemon ---- */

/* ---- Another daemon ---- */

void worker_tell_all(struct worker *worker)
{
	const struct ic_kvp *kvp = devices_get(worker->devices, DEVICE_KVP);
	const struct guest_memory *memory = devices_get(worker->devices, DEVICE_BALLOON);

	control_server_vmbus(worker->control, machine_vmbus_version(worker->machine));
	control_server_firmware(worker->control, machine_firmware_word(worker->machine));
	control_server_heartbeat(worker->control, devices_heartbeat(worker->devices));
	if (kvp && ic_kvp_is_connected(kvp))
		control_server_guest(worker->control, ic_kvp_guest(kvp));
	disk_healths_tell(disks_healths(devices_get(worker->devices, DEVICE_STORAGE)));
	if (memory)
		control_server_memory(worker->control, guest_memory_report(memory));
	if (worker->crashed)
		control_server_crash(worker->control, &worker->crash);
}
