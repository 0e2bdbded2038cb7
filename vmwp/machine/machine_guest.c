/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the guest does to the machine.
 *
 * Everything happens on the loop's thread, except incidents: a vp that turns the machine off,
 * resets it or triple-faults notes that in `incident`, where the first one wins, posts a task, and
 * stops. The task acts by the definition's policy.
 */
#include "common/firmware/firmware.h"
#include "vmwp/machine/machine_internal.h"

#include "common/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Incidents ---- */

void machine_handle_incident(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, incident_task);
	enum incident incident = atomic_load(&machine->incident);

	if (!machine_is_up(machine))
		return;
	if (incident != INCIDENT_NONE && incident != INCIDENT_ERROR && machine_crash_act(machine))
		return;
	switch (incident) {
	case INCIDENT_NONE:
		break;
	case INCIDENT_POWER_OFF:
		machine_end(machine, MACHINE_STOPPING, MACHINE_GUEST_SHUTDOWN);
		break;
	case INCIDENT_HIBERNATED:
		machine_end(machine, MACHINE_STOPPING, MACHINE_GUEST_HIBERNATED);
		break;
	case INCIDENT_RESET:
		machine_act(machine, machine->definition->actions.reboot, MACHINE_GUEST_RESET);
		break;
	case INCIDENT_TRIPLE_FAULT:
		machine_act(machine, machine->definition->actions.triple_fault,
			    MACHINE_TRIPLE_FAULT);
		break;
	case INCIDENT_ERROR:
		machine_end(machine, MACHINE_STOPPING, MACHINE_ERROR);
		break;
	}
}

/* [vp] Of several incidents the first counts: the machine is about to end anyway. */
static void machine_raise(struct machine *machine, enum incident incident,
			  const struct failure *failure)
{
	enum incident none = INCIDENT_NONE;

	if (!atomic_compare_exchange_strong(&machine->incident, &none, incident))
		return;
	if (failure)
		machine->incident_failure = *failure;
	loop_post(machine->loop, &machine->incident_task);
}

/* [vp] */
static bool machine_vp_exit(void *data, struct vid_vp *vp, const struct vid_exit *exit, int error)
{
	struct machine *machine = data;
	struct failure failure = { 0 };
	enum incident incident = INCIDENT_ERROR;

	if (exit)
		incident = vp_exit_handle(power_cycle_hvshim(machine->power_cycle),
					  machine->chipset, vp, exit, &failure);
	else
		failure_set(&failure, error, "Vp %u failed in KVM: %s.", vid_vp_index(vp),
			    strerror(-error));
	if (incident == INCIDENT_NONE)
		return true;
	machine_raise(machine, incident, &failure);
	return false;
}

const struct vps_callbacks machine_vps_callbacks = { .exit = machine_vp_exit };

/* ---- What the personality and VMBus tell ---- */

static void machine_message(void *data, uint32_t connection_id,
			    const struct hvshim_message *message)
{
	struct machine *machine = data;

	if (message->type == VMBUS_HV_MESSAGE_TYPE)
		vmbus_receive_message(machine->bus, connection_id, message->payload, message->size);
}

static void machine_slot_free(void *data, uint32_t vp)
{
	struct machine *machine = data;

	vmbus_slot_free(machine->bus, vp);
}

static void machine_reported_crash(void *data, const struct hvshim_crash *crash)
{
	struct machine *machine = data;

	if (machine_is_up(machine))
		machine_crash(machine, crash);
}

static void machine_reset_msr(void *data)
{
	struct machine *machine = data;

	if (machine_is_up(machine) && !machine_crash_act(machine))
		machine_act(machine, machine->definition->actions.reboot, MACHINE_GUEST_RESET);
}

const struct hvshim_callbacks machine_hvshim_callbacks = {
	.message = machine_message,
	.slot_free = machine_slot_free,
	.crash = machine_reported_crash,
	.reset = machine_reset_msr,
};

static void machine_tell_firmware_word(struct machine *machine, enum firmware_word word)
{
	if (machine->firmware_told == word)
		return;
	machine->firmware_told = word;
	machine->callbacks->firmware(machine->data, word);
}

static void machine_system_runs(struct machine *machine)
{
	atomic_store(&machine->system_runs, true);
	atomic_store(&machine->firmware_heard, FIRMWARE_SAYS_NOTHING);
	reset_loop_forget(&machine->reset_loop);
	machine_tell_firmware_word(machine, FIRMWARE_SAYS_NOTHING);
}

void machine_firmware_begins(struct machine *machine)
{
	atomic_store(&machine->system_runs, false);
	atomic_store(&machine->firmware_heard, FIRMWARE_SAYS_NOTHING);
	machine_tell_firmware_word(machine, FIRMWARE_SAYS_NOTHING);
}

enum firmware_word machine_firmware_word(const struct machine *machine)
{
	return machine->firmware_told;
}

static void machine_connected(void *data, uint32_t version)
{
	struct machine *machine = data;

	machine->vmbus_version = version;
	if (version) {
		machine_crash_forget(machine);
		if (machine->uefi_fd < 0) /* which connects, too */
			machine_system_runs(machine);
	}
	machine->callbacks->vmbus(machine->data, version);
}

const struct vmbus_callbacks machine_vmbus_callbacks = { .connected = machine_connected };

/* ---- The chipset's lines ---- */

/* [vp, loop] While a vp or the loop handles the chipset, the power cycle is there. */
static void machine_set_interrupt(void *data, unsigned pin, bool level)
{
	struct machine *machine = data;

	if (machine->power_cycle)
		vid_partition_set_pin(power_cycle_partition(machine->power_cycle), pin, level);
}

static void machine_console_output(void *data)
{
	struct machine *machine = data;

	machine->callbacks->console(machine->data, true);
}

static void machine_console_room(void *data)
{
	struct machine *machine = data;

	machine->callbacks->console(machine->data, false);
}

/* [vp] */
static void machine_alarm(void *data)
{
	struct machine *machine = data;

	loop_post(machine->loop, &machine->alarm_task);
}

/* [vp, loop] */
static void machine_disk_request(void *data)
{
	struct machine *machine = data;

	loop_post(machine->loop, &machine->disk_task);
}

void machine_handle_disk_request(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, disk_task);

	if (machine->disk_request)
		machine->disk_request(machine->disk_request_data);
}

/* [vp, loop] Each access is an exit at worst, and a status that the firmware does not see. */
static void machine_flash_is_memory(void *data, bool is_memory)
{
	struct machine *machine = data;

	if (machine->power_cycle && machine->variables &&
	    vid_partition_show_flash(power_cycle_partition(machine->power_cycle), is_memory) < 0)
		log_debug("the flash cannot be mapped");
}

/* [vp, loop] */
static void machine_handed_over(void *data)
{
	struct machine *machine = data;

	atomic_store(&machine->system_runs, true);
	loop_post(machine->loop, &machine->system_task);
}

void machine_handle_system(struct loop_task *task)
{
	machine_system_runs(container_of(task, struct machine, system_task));
}

/* [vp, loop] What comes from a system is none of the firmware's. */
static void machine_firmware_said(void *data, enum firmware_word word)
{
	struct machine *machine = data;

	if (atomic_load(&machine->system_runs) || word <= atomic_load(&machine->firmware_heard))
		return;
	atomic_store(&machine->firmware_heard, word);
	loop_post(machine->loop, &machine->firmware_task);
}

void machine_handle_firmware(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, firmware_task);

	machine_tell_firmware_word(machine, atomic_load(&machine->firmware_heard));
}

/* [vp, loop] */
static void machine_flash_changed(void *data)
{
	struct machine *machine = data;

	loop_post(machine->loop, &machine->flash_task);
}

void machine_handle_flash(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, flash_task);

	if (machine->variables)
		variables_changed(machine->variables);
}

#define OS_INDICATIONS            "OsIndications"
#define INDICATION_SETUP          UINT64_C(1)
#define OS_INDICATIONS_ATTRIBUTES (VARIABLE_NON_VOLATILE | VARIABLE_BOOT | VARIABLE_RUNTIME)

/* As an operating system asks for it. UEFI specification 2.10, 8.5.4. */
int machine_enter_setup(struct machine *machine, struct failure *failure)
{
	static const struct guid global = VARIABLE_GLOBAL_GUID;
	uint64_t indications = 0;
	struct variable variable;
	uint8_t *bytes;

	if (machine->state != MACHINE_CREATED)
		return MACHINE_E_STATE;
	if (!machine->variables)
		return failure_set(failure, -ENOTSUP,
				   "The firmware of the VM has no menus: only generation 2 has.");
	bytes = variables_bytes(machine->variables);
	if (variable_store_find(bytes, &global, OS_INDICATIONS, &variable))
		memcpy(&indications, variable.data,
		       MIN((size_t)variable.size, sizeof(indications)));
	indications |= INDICATION_SETUP;
	if (!variable_store_set(bytes, &global, OS_INDICATIONS, OS_INDICATIONS_ATTRIBUTES,
				&indications, sizeof(indications)))
		return failure_set(failure, -ENOSPC,
				   "The firmware's variables have no room for what asks for its "
				   "menus; 'vmctl firmware reset' makes them anew.");
	return 0;
}

static void machine_copy_flash(void *data, uint8_t ret_bytes[static FLASH_SIZE])
{
	chipset_copy_flash(((struct machine *)data)->chipset, ret_bytes);
}

static void machine_variables_failed(void *data, int error)
{
	struct machine *machine = data;
	char text[128];

	snprintf(text, sizeof(text), "the firmware's variables cannot be kept: %s",
		 strerror(-error));
	machine->callbacks->notice(machine->data, text);
}

const struct variables_callbacks machine_variables_callbacks = {
	.copy = machine_copy_flash,
	.failed = machine_variables_failed,
};

static void machine_tick(struct machine *machine)
{
	uint64_t delay = chipset_tick(machine->chipset);

	if (delay > 0)
		loop_timer_start(machine->loop, &machine->tick, delay);
}

void machine_handle_alarm(struct loop_task *task)
{
	machine_tick(container_of(task, struct machine, alarm_task));
}

void machine_tick_over(struct loop_operation *operation, int result, bool more)
{
	struct loop_timer *timer = container_of(operation, struct loop_timer, operation);

	machine_tick(container_of(timer, struct machine, tick));
}

const struct chipset_callbacks machine_chipset_callbacks = {
	.set_interrupt = machine_set_interrupt,
	.console_output = machine_console_output,
	.console_room = machine_console_room,
	.alarm = machine_alarm,
	.disk_request = machine_disk_request,
	.handed_over = machine_handed_over,
	.flash_is_memory = machine_flash_is_memory,
	.flash_changed = machine_flash_changed,
	.firmware_said = machine_firmware_said,
};
