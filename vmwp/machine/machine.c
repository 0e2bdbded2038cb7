/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The states of the machine.
 *
 * Reset and stop begin alike: vps halted, and the VMBus host told that the guest is gone. When it
 * holds no more guest memory, the power cycle is freed; then a new one is built around the memory,
 * or the machine is stopped. A stop that comes during a reset turns the reset into one.
 */
#include "vmwp/machine/machine_internal.h"

#include "vmwp/boot/boot.h"

#include <errno.h>
#include <string.h>

static const char *const state_names[] = {
	[MACHINE_CREATED] = "created", [MACHINE_RUNNING] = "running",
	[MACHINE_PAUSED] = "paused",   [MACHINE_RESETTING] = "resetting",
	[MACHINE_KEPT] = "kept",       [MACHINE_STOPPING] = "stopping",
	[MACHINE_STOPPED] = "stopped",
};

static const char *const reason_names[] = {
	[MACHINE_REQUESTED] = "stopped",
	[MACHINE_GUEST_SHUTDOWN] = "guest-shutdown",
	[MACHINE_GUEST_HIBERNATED] = "guest-hibernated",
	[MACHINE_GUEST_RESET] = "guest-reset",
	[MACHINE_TRIPLE_FAULT] = "triple-fault",
	[MACHINE_CRASH] = "crash",
	[MACHINE_ERROR] = "error",
	[MACHINE_DISK] = "disk-error",
	[MACHINE_RESET_LOOP] = "reset-loop",
};

const char *machine_state_name(enum machine_state state)
{
	return state_names[state];
}

const char *machine_reason_name(enum machine_reason reason)
{
	return reason_names[reason];
}

bool machine_is_up(const struct machine *machine)
{
	return machine->state == MACHINE_RUNNING || machine->state == MACHINE_PAUSED;
}

static void machine_enter(struct machine *machine, enum machine_state state,
			  enum machine_reason reason, const char *message)
{
	machine->state = state;
	machine->callbacks->state(machine->data, state, reason, message);
}

/* What a vp said when it failed, for the reasons that come from a vp. */
static const char *machine_message_of(const struct machine *machine, enum machine_reason reason)
{
	if (reason == MACHINE_ERROR || reason == MACHINE_TRIPLE_FAULT)
		return machine->incident_failure.message;
	if (reason == MACHINE_DISK)
		return machine->disk_failure.message;
	return "";
}

/* ---- From power-on to reset ---- */

static uint32_t machine_wanted_enlightenments(const struct definition *definition)
{
	uint32_t wanted = 0;

	for (enum enlightenment i = 0; i < _ENLIGHTENMENT_COUNT; i++)
		if (definition->hyper_v[i])
			wanted |= enlightenment_bit(i);
	/* What is set aside for a guest is not given back. */
	if (definition->memory.pages == DEFINITION_PAGES_HUGETLB)
		wanted &= ~enlightenment_bit(ENLIGHTENMENT_FREE_PAGE_REPORTING);
	return wanted;
}

enum enlightenment_state machine_enlightenment(const struct machine *machine,
					       enum enlightenment enlightenment)
{
	if (!machine->definition->hyper_v[enlightenment])
		return ENLIGHTENMENT_OFF;
	return machine->enlightenments & enlightenment_bit(enlightenment)
		       ? ENLIGHTENMENT_ON
		       : ENLIGHTENMENT_NOT_OFFERED;
}

static int machine_pin_vp(struct machine *machine, uint32_t vp, struct failure *failure)
{
	const struct cpu_list *cpus =
		definition_pinning_find(&machine->definition->resources.pinning, vp);
	char text[CPU_LIST_TEXT] = "";
	int r = vps_pin(power_cycle_vps(machine->power_cycle), vp, cpus);

	if (r == 0)
		return 0;
	if (cpus)
		cpu_list_format(cpus, text);
	return failure_set(failure, r,
			   "Virtual processor %u cannot run on CPU %.100s: %s; those are offline, "
			   "or its control group has others.",
			   vp, text, strerror(-r));
}

int machine_pin(struct machine *machine, struct failure *failure)
{
	int r = 0;

	for (uint32_t vp = 0; vp < machine_vp_count(machine); vp++) {
		int error = machine_pin_vp(machine, vp, failure);

		if (r == 0)
			r = error;
	}
	return r;
}

/* A guest runs without, too; and the worker may be on its way to another control group. */
static void machine_try_to_pin(struct machine *machine)
{
	struct failure failure = { 0 };

	if (machine->definition->resources.pinning.count > 0 && machine_pin(machine, &failure) < 0)
		machine->callbacks->notice(machine->data, failure.message);
}

static void machine_notice(void *data, const char *text)
{
	struct machine *machine = data;

	machine->callbacks->notice(machine->data, text);
}

static void machine_tell_firmware(struct machine *machine)
{
	struct bios_file files[BIOS_FILES_MAX];
	size_t count = power_cycle_firmware_files(machine->power_cycle, files);

	if (count == 0)
		return;
	machine->firmware = (struct fw_cfg_items){
		.processors = (uint16_t)machine->definition->processors.count,
		.file_count = (unsigned)count,
	};
	for (unsigned i = 0; i < machine->firmware.file_count; i++)
		machine->firmware.files[i] = (struct fw_cfg_file){ .name = files[i].name,
								   .bytes = files[i].bytes,
								   .size = files[i].size };
	chipset_set_firmware(machine->chipset, &machine->firmware);
}

int machine_set_generation(struct machine *machine)
{
	const struct definition *definition = machine->definition;
	gpa_t place = machine->bios_fd >= 0 || machine->uefi_fd >= 0
			      ? bios_acpi_place(&machine->layout)
			      : GPA(LAYOUT_ACPI);

	return acpi_generation_set(machine->memory, place,
				   guid_is_null(&definition->generation_id)
					   ? &definition->uuid
					   : &definition->generation_id);
}

/* restored: what is to be restored into it, or NULL. */
static int machine_build(struct machine *machine, const struct state_reader *restored,
			 struct failure *failure)
{
	const struct definition *definition = machine->definition;
	char order[BOOT_ORDER_SIZE];
	const struct power_cycle_config config = {
		.vid = machine->vid,
		.memory = machine->memory,
		.layout = &machine->layout,
		.numa = &machine->numa,
		.cpuid = machine->cpuid,
		.topology = { .sockets = definition->processors.sockets,
			      .cores = definition->processors.cores,
			      .threads = definition->processors.threads },
		.uuid = definition->uuid,
		.hibernation = definition->services.hibernation,
		.restored = restored,
		.bios_fd = machine->bios_fd,
		.uefi_fd = machine->uefi_fd,
		.flash = machine->variables ? variables_bytes(machine->variables) : NULL,
		.boot_order = order,
		.kernel_fd = machine->kernel_fd,
		.initrd_fd = machine->initrd_fd,
		.command_line = definition->boot.command_line,
		.loop = machine->loop,
		.engine = machine->engine,
		.enlightenments = machine_wanted_enlightenments(definition),
		.hvshim_callbacks = &machine_hvshim_callbacks,
		.vps_callbacks = &machine_vps_callbacks,
		.notice = machine_notice,
		.data = machine,
	};
	int r;

	boot_order_write(definition, order);
	r = power_cycle_new(&config, &machine->power_cycle, failure);
	if (r < 0)
		return r;
	if (!restored && machine_set_generation(machine) < 0)
		return failure_set(failure, -EINVAL, "The VM's memory has no room for its tables.");
	machine->vmbus_host.hvshim = power_cycle_hvshim(machine->power_cycle);
	machine->enlightenments = hvshim_enlightenments(machine->vmbus_host.hvshim);
	chipset_reset(machine->chipset);
	machine_firmware_begins(machine);
	machine_tell_firmware(machine);
	machine_try_to_pin(machine);
	return 0;
}

static void machine_tear_down(struct machine *machine)
{
	machine->vmbus_host.hvshim = NULL;
	if (machine->power_cycle)
		power_cycle_add_counters(machine->power_cycle, &machine->past);
	if (machine->firmware.file_count > 0)
		chipset_set_firmware(machine->chipset, NULL);
	power_cycle_free(machine->power_cycle);
	machine->power_cycle = NULL;
}

static void machine_finish_stop(struct machine *machine, const char *message)
{
	machine->first_run = machine_first_run(machine);
	machine_tear_down(machine);
	machine_enter(machine, MACHINE_STOPPED, machine->reason, message);
}

static int machine_rebuild(struct machine *machine, struct failure *failure)
{
	int r;

	machine->first_run = machine_first_run(machine);
	machine_tear_down(machine);
	r = vid_memory_discard(machine->memory);
	if (r < 0)
		return failure_set(failure, r, "The guest's memory cannot be cleared: %s.",
				   strerror(-r));
	return machine_build(machine, NULL, failure);
}

static void machine_finish_reset(struct machine *machine)
{
	struct failure failure = { 0 };
	int r = machine_rebuild(machine, &failure);

	if (r < 0) {
		machine->reason = MACHINE_ERROR;
		machine_finish_stop(machine, failure.message);
		return;
	}
	vps_run(power_cycle_vps(machine->power_cycle));
	machine_enter(machine, MACHINE_RUNNING, machine->reason, "");
	machine->callbacks->reset(machine->data, machine->reason,
				  machine_message_of(machine, machine->reason));
}

static void machine_is_quiet(void *data)
{
	struct machine *machine = data;

	if (machine->state == MACHINE_STOPPING)
		machine_finish_stop(machine, machine_message_of(machine, machine->reason));
	else
		machine_finish_reset(machine);
}

/* What its firmware has written is kept before it is said to be off. */
void machine_finish(struct loop_deferred *deferred)
{
	struct machine *machine = container_of(deferred, struct machine, finish);

	if (machine->variables)
		variables_flush(machine->variables, machine_is_quiet, machine);
	else
		machine_is_quiet(machine);
}

/* Perhaps inside a callback of the personality, which cannot be freed there. */
static void machine_bus_is_quiet(void *data)
{
	struct machine *machine = data;

	loop_defer(machine->loop, &machine->finish);
}

void machine_end(struct machine *machine, enum machine_state state, enum machine_reason reason)
{
	machine_crash_forget(machine);
	vps_pause(power_cycle_vps(machine->power_cycle));
	atomic_store(&machine->incident, INCIDENT_NONE);
	machine->paused_for_disk = false;
	machine->state = state;
	machine->reason = reason;
	vmbus_reset(machine->bus, machine_bus_is_quiet, machine);
}

static void machine_keep(struct machine *machine, enum machine_reason reason)
{
	machine_crash_forget(machine);
	vps_pause(power_cycle_vps(machine->power_cycle));
	atomic_store(&machine->incident, INCIDENT_NONE);
	machine_enter(machine, MACHINE_KEPT, reason, machine_message_of(machine, reason));
}

void machine_act(struct machine *machine, enum definition_action action, enum machine_reason reason)
{
	switch (action) {
	case DEFINITION_ACTION_RESTART:
		if ((machine->bios_fd >= 0 || machine->uefi_fd >= 0) &&
		    reset_loop_note(&machine->reset_loop, loop_now()))
			machine_end(machine, MACHINE_STOPPING, MACHINE_RESET_LOOP);
		else
			machine_end(machine, MACHINE_RESETTING, reason);
		break;
	case DEFINITION_ACTION_STOP:
		machine_end(machine, MACHINE_STOPPING, reason);
		break;
	case DEFINITION_ACTION_KEEP:
		machine_keep(machine, reason);
		break;
	}
}

/* ---- What we do ---- */

int machine_start(struct machine *machine, struct failure *failure)
{
	int r;

	if (machine->state != MACHINE_CREATED)
		return MACHINE_E_STATE;
	if (machine->kernel_fd < 0 && machine->bios_fd < 0 && machine->uefi_fd < 0)
		return failure_set(failure, -EINVAL, "The VM has no kernel to boot.");
	r = machine_build(machine, NULL, failure);
	if (r < 0)
		return r;
	vps_run(power_cycle_vps(machine->power_cycle));
	machine_enter(machine, MACHINE_RUNNING, MACHINE_REQUESTED, "");
	return 0;
}

int machine_prepare_restore(struct machine *machine, const struct state_reader *reader,
			    struct failure *failure)
{
	int r;

	if (machine->state != MACHINE_CREATED)
		return MACHINE_E_STATE;
	r = machine_build(machine, reader, failure);
	if (r < 0)
		return r;
	machine_enter(machine, MACHINE_PAUSED, MACHINE_REQUESTED, "");
	return 0;
}

int machine_pause(struct machine *machine)
{
	/* From now on it waits for who paused it, whatever becomes of the disk. */
	if (machine->state != MACHINE_RUNNING && !machine->paused_for_disk)
		return MACHINE_E_STATE;
	machine->paused_for_disk = false;
	vps_pause(power_cycle_vps(machine->power_cycle));
	machine_enter(machine, MACHINE_PAUSED, MACHINE_REQUESTED, "");
	return 0;
}

int machine_resume(struct machine *machine)
{
	if (machine->state != MACHINE_PAUSED)
		return MACHINE_E_STATE;
	machine->paused_for_disk = false;
	if (power_cycle_resume(machine->power_cycle, &machine->incident_failure) < 0) {
		machine_end(machine, MACHINE_STOPPING, MACHINE_ERROR);
		return 0;
	}
	machine_crash_resume(machine);
	vps_run(power_cycle_vps(machine->power_cycle));
	machine_enter(machine, MACHINE_RUNNING, MACHINE_REQUESTED, "");
	return 0;
}

void machine_pause_for_disk(struct machine *machine, const char *why)
{
	if (machine->state != MACHINE_RUNNING)
		return;
	vps_pause(power_cycle_vps(machine->power_cycle));
	machine->paused_for_disk = true;
	machine_enter(machine, MACHINE_PAUSED, MACHINE_DISK, why);
}

void machine_resume_for_disk(struct machine *machine)
{
	if (machine->paused_for_disk)
		(void)!machine_resume(machine);
}

void machine_stop_for_disk(struct machine *machine, const char *why)
{
	if (!machine_is_up(machine))
		return;
	failure_set(&machine->disk_failure, 0, "%s", why);
	machine_end(machine, MACHINE_STOPPING, MACHINE_DISK);
}

int machine_reset(struct machine *machine)
{
	if (!machine_is_up(machine) && machine->state != MACHINE_KEPT)
		return MACHINE_E_STATE;
	machine_end(machine, MACHINE_RESETTING, MACHINE_REQUESTED);
	return 0;
}

int machine_nmi(struct machine *machine)
{
	if (!machine_is_up(machine))
		return MACHINE_E_STATE;
	return power_cycle_nmi(machine->power_cycle);
}

struct power_cycle *machine_power_cycle(struct machine *machine)
{
	return machine->power_cycle;
}

uint32_t machine_vp_count(const struct machine *machine)
{
	return machine->power_cycle ? power_cycle_vp_count(machine->power_cycle) : 0;
}

bool machine_hold(struct machine *machine)
{
	machine->held = machine->state == MACHINE_RUNNING;
	if (machine->held)
		vps_pause(power_cycle_vps(machine->power_cycle));
	return machine->held;
}

void machine_release(struct machine *machine)
{
	machine->held = false;
	vps_continue(power_cycle_vps(machine->power_cycle));
}

int machine_vp_registers(struct machine *machine, uint32_t index,
			 struct vid_registers *ret_registers,
			 struct vid_system_registers *ret_system)
{
	if (machine->state != MACHINE_PAUSED && machine->state != MACHINE_KEPT && !machine->held)
		return MACHINE_E_STATE;
	return power_cycle_vp_registers(machine->power_cycle, index, ret_registers, ret_system);
}

void machine_stop(struct machine *machine)
{
	switch (machine->state) {
	case MACHINE_CREATED:
		machine_enter(machine, MACHINE_STOPPED, MACHINE_REQUESTED, "");
		break;
	case MACHINE_RUNNING:
	case MACHINE_PAUSED:
	case MACHINE_KEPT:
		machine_end(machine, MACHINE_STOPPING, MACHINE_REQUESTED);
		break;
	case MACHINE_RESETTING:
		machine->state = MACHINE_STOPPING;
		machine->reason = MACHINE_REQUESTED;
		break;
	case MACHINE_STOPPING:
	case MACHINE_STOPPED:
		break;
	}
}

enum machine_state machine_state(const struct machine *machine)
{
	return machine->state;
}

enum hvshim_engine machine_engine(const struct machine *machine)
{
	return machine->engine;
}

struct chipset *machine_chipset(struct machine *machine)
{
	return machine->chipset;
}

void machine_on_disk_request(struct machine *machine, void (*request)(void *data), void *data)
{
	machine->disk_request = request;
	machine->disk_request_data = data;
}

struct vmbus *machine_bus(struct machine *machine)
{
	return machine->bus;
}

struct vid *machine_vid(struct machine *machine)
{
	return machine->vid;
}

const struct vid_memory *machine_memory(const struct machine *machine)
{
	return machine->memory;
}

struct vid_memory *machine_memory_to_fill(struct machine *machine)
{
	return machine->memory;
}

bool machine_memory_is_handed_over(const struct machine *machine)
{
	return machine->memory_is_handed_over;
}

void machine_features_removed(const struct machine *machine, struct cpu_feature_set *ret_removed)
{
	cpu_model_features(machine->cpuid, ret_removed);
	for (size_t i = 0; i < ARRAY_SIZE(ret_removed->bits); i++)
		ret_removed->bits[i] = machine->host_features.bits[i] & ~ret_removed->bits[i];
}

struct vid_memory_region machine_room(const struct machine *machine)
{
	return machine->layout.room;
}

struct vid_memory_region machine_window(const struct machine *machine, unsigned i)
{
	return i == 0 ? machine->layout.mmio_low : machine->layout.mmio_high;
}

void machine_take_vmbus_version(struct machine *machine)
{
	machine->vmbus_version = vmbus_version(machine->bus);
}

uint32_t machine_vmbus_version(const struct machine *machine)
{
	return machine->vmbus_version;
}

void machine_counters(const struct machine *machine, struct power_cycle_counters *ret_counters)
{
	*ret_counters = machine->past;
	if (machine->power_cycle)
		power_cycle_add_counters(machine->power_cycle, ret_counters);
}

uint64_t machine_first_run(const struct machine *machine)
{
	if (machine->first_run || !machine->power_cycle)
		return machine->first_run;
	return vps_first_run(power_cycle_vps(machine->power_cycle));
}
