/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine.
 *
 * Everything happens on the loop's thread, except incidents: a vp that turns the machine off,
 * resets it or triple-faults notes that in `incident`, where the first one wins, posts a task, and
 * stops. The task acts by the definition's policy.
 *
 * Reset and stop begin alike: vps halted, and the VMBus host told that the guest is gone. When it
 * holds no more guest memory, the incarnation is freed; then a new one is built around the memory,
 * or the machine is stopped. A stop that comes during a reset turns the reset into one.
 */
#include "vmwp/machine.h"

#include "vmwp/chipset.h"
#include "vmwp/incarnation.h"
#include "vmwp/vmbus_host.h"
#include "vmwp/vp_exit.h"
#include "vsp/vmbus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

struct machine {
	const struct definition *definition;
	struct loop *loop;
	const struct machine_callbacks *callbacks;
	void *data;

	struct vid *vid;
	enum hvshim_engine engine;
	struct vid_cpuid *cpuid;
	struct memory_layout layout;
	struct vid_memory *memory;
	struct chipset *chipset;
	int kernel_fd, initrd_fd;

	struct vmbus_host vmbus_host;
	struct vsp_host vsp_host;
	struct vmbus *bus;
	uint32_t vmbus_version;

	struct incarnation *incarnation;
	enum machine_state state;
	enum machine_reason reason; /* for resetting or stopping */
	uint64_t first_run;
	struct loop_deferred finish; /* of resetting or stopping */

	_Atomic(enum incident) incident;
	struct loop_task incident_task;
	struct failure incident_failure; /* the vp's that set `incident`, until the task has run */
};

static const char *const state_names[] = {
	[MACHINE_CREATED] = "created", [MACHINE_RUNNING] = "running",
	[MACHINE_PAUSED] = "paused",   [MACHINE_RESETTING] = "resetting",
	[MACHINE_KEPT] = "kept",       [MACHINE_STOPPING] = "stopping",
	[MACHINE_STOPPED] = "stopped",
};

static const char *const reason_names[] = {
	[MACHINE_REQUESTED] = "stopped",
	[MACHINE_GUEST_SHUTDOWN] = "guest-shutdown",
	[MACHINE_GUEST_RESET] = "guest-reset",
	[MACHINE_TRIPLE_FAULT] = "triple-fault",
	[MACHINE_CRASH] = "crash",
	[MACHINE_ERROR] = "error",
};

const char *machine_state_name(enum machine_state state)
{
	return state_names[state];
}

const char *machine_reason_name(enum machine_reason reason)
{
	return reason_names[reason];
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
	return "";
}

/* ---- From power-on to reset ---- */

static const struct hvshim_callbacks machine_hvshim_callbacks;
static const struct vps_callbacks machine_vps_callbacks;

static int machine_build(struct machine *machine, struct failure *failure)
{
	const struct definition *definition = machine->definition;
	const struct incarnation_config config = {
		.vid = machine->vid,
		.memory = machine->memory,
		.layout = &machine->layout,
		.cpuid = machine->cpuid,
		.topology = { .sockets = definition->processors.sockets,
			      .cores = definition->processors.cores,
			      .threads = definition->processors.threads },
		.uuid = definition->uuid,
		.kernel_fd = machine->kernel_fd,
		.initrd_fd = machine->initrd_fd,
		.command_line = definition->boot.command_line,
		.loop = machine->loop,
		.engine = machine->engine,
		.hvshim_callbacks = &machine_hvshim_callbacks,
		.vps_callbacks = &machine_vps_callbacks,
		.data = machine,
	};
	int r;

	r = incarnation_new(&config, &machine->incarnation, failure);
	if (r < 0)
		return r;
	machine->vmbus_host.hvshim = incarnation_hvshim(machine->incarnation);
	chipset_reset(machine->chipset);
	return 0;
}

static void machine_tear_down(struct machine *machine)
{
	machine->vmbus_host.hvshim = NULL;
	incarnation_free(machine->incarnation);
	machine->incarnation = NULL;
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
	return machine_build(machine, failure);
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
	vps_run(incarnation_vps(machine->incarnation));
	machine_enter(machine, MACHINE_RUNNING, machine->reason, "");
	machine->callbacks->reset(machine->data, machine->reason,
				  machine_message_of(machine, machine->reason));
}

static void machine_finish(struct loop_deferred *deferred)
{
	struct machine *machine = container_of(deferred, struct machine, finish);

	if (machine->state == MACHINE_STOPPING)
		machine_finish_stop(machine, machine_message_of(machine, machine->reason));
	else
		machine_finish_reset(machine);
}

/* Perhaps inside a callback of the personality, which cannot be freed there. */
static void machine_bus_is_quiet(void *data)
{
	struct machine *machine = data;

	loop_defer(machine->loop, &machine->finish);
}

/* Halts the guest for good. state: MACHINE_RESETTING or MACHINE_STOPPING. */
static void machine_end(struct machine *machine, enum machine_state state,
			enum machine_reason reason)
{
	vps_pause(incarnation_vps(machine->incarnation));
	atomic_store(&machine->incident, INCIDENT_NONE);
	machine->state = state;
	machine->reason = reason;
	vmbus_reset(machine->bus, machine_bus_is_quiet, machine);
}

static void machine_keep(struct machine *machine, enum machine_reason reason)
{
	vps_pause(incarnation_vps(machine->incarnation));
	atomic_store(&machine->incident, INCIDENT_NONE);
	machine_enter(machine, MACHINE_KEPT, reason, machine_message_of(machine, reason));
}

static void machine_act(struct machine *machine, enum definition_action action,
			enum machine_reason reason)
{
	switch (action) {
	case DEFINITION_ACTION_RESTART:
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

/* ---- What the guest does ---- */

static bool machine_is_up(const struct machine *machine)
{
	return machine->state == MACHINE_RUNNING || machine->state == MACHINE_PAUSED;
}

static void machine_handle_incident(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, incident_task);
	enum incident incident = atomic_load(&machine->incident);

	if (!machine_is_up(machine))
		return;
	switch (incident) {
	case INCIDENT_NONE:
		break;
	case INCIDENT_POWER_OFF:
		machine_end(machine, MACHINE_STOPPING, MACHINE_GUEST_SHUTDOWN);
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
		incident = vp_exit_handle(incarnation_hvshim(machine->incarnation),
					  machine->chipset, vp, exit, &failure);
	else
		failure_set(&failure, error, "Vp %u failed in KVM: %s.", vid_vp_index(vp),
			    strerror(-error));
	if (incident == INCIDENT_NONE)
		return true;
	machine_raise(machine, incident, &failure);
	return false;
}

static const struct vps_callbacks machine_vps_callbacks = { .exit = machine_vp_exit };

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

/* The guest has done what it could for itself by then: kexec comes before the crash MSRs. */
static void machine_crash(void *data, const struct hvshim_crash *crash)
{
	struct machine *machine = data;

	if (!machine_is_up(machine))
		return;
	machine->callbacks->crash(machine->data, crash);
	machine_act(machine, machine->definition->actions.crash, MACHINE_CRASH);
}

static void machine_reset_msr(void *data)
{
	struct machine *machine = data;

	if (machine_is_up(machine))
		machine_act(machine, machine->definition->actions.reboot, MACHINE_GUEST_RESET);
}

static void machine_notice(void *data, const char *text)
{
	struct machine *machine = data;

	machine->callbacks->notice(machine->data, text);
}

static const struct hvshim_callbacks machine_hvshim_callbacks = {
	.notice = machine_notice,
	.message = machine_message,
	.slot_free = machine_slot_free,
	.crash = machine_crash,
	.reset = machine_reset_msr,
};

static void machine_connected(void *data, uint32_t version)
{
	struct machine *machine = data;

	machine->vmbus_version = version;
	machine->callbacks->vmbus(machine->data, version);
}

static const struct vmbus_callbacks machine_vmbus_callbacks = { .connected = machine_connected };

/* ---- The chipset's lines ---- */

/* [vp, loop] While a vp or the loop handles the chipset, the incarnation is there. */
static void machine_set_interrupt(void *data, unsigned pin, bool level)
{
	struct machine *machine = data;

	if (machine->incarnation)
		vid_partition_set_pin(incarnation_partition(machine->incarnation), pin, level);
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

static const struct chipset_callbacks machine_chipset_callbacks = {
	.set_interrupt = machine_set_interrupt,
	.console_output = machine_console_output,
	.console_room = machine_console_room,
};

/* ---- Making it ---- */

static int machine_open_vid(struct machine *machine, struct resources *resources,
			    struct failure *failure)
{
	enum hvshim_engine wanted = (enum hvshim_engine)machine->definition->engine;
	int r;

	_Static_assert((int)DEFINITION_ENGINE_AUTO == (int)HVSHIM_ENGINE_AUTO &&
			       (int)DEFINITION_ENGINE_KERNEL == (int)HVSHIM_ENGINE_KERNEL &&
			       (int)DEFINITION_ENGINE_USER == (int)HVSHIM_ENGINE_USER,
		       "the definition's engines are hvshim's");
	r = vid_open(resources_take(resources, "kvm"), &machine->vid);
	if (r < 0)
		return failure_set(failure, r, "KVM cannot be used: %s.", strerror(-r));
	r = hvshim_choose_engine(machine->vid, wanted, &machine->engine);
	if (r < 0)
		return failure_set(failure, r,
				   "This host's KVM cannot run the %s engine: %s. `vmwp --probe` "
				   "shows what it lacks.",
				   hvshim_engine_name(wanted), strerror(-r));
	machine->cpuid = calloc(1, sizeof(*machine->cpuid));
	if (!machine->cpuid)
		return -ENOMEM;
	r = vid_cpuid_supported(machine->vid, machine->cpuid);
	if (r < 0)
		return failure_set(failure, r, "KVM does not tell its CPUID leaves: %s.",
				   strerror(-r));
	return 0;
}

static int machine_make_memory(struct machine *machine, struct failure *failure)
{
	static const enum vid_memory_backing backings[] = {
		[DEFINITION_PAGES_TRANSPARENT] = VID_MEMORY_TRANSPARENT_HUGE,
		[DEFINITION_PAGES_HUGETLB] = VID_MEMORY_HUGETLB,
		[DEFINITION_PAGES_SMALL] = VID_MEMORY_SMALL,
	};
	const struct definition *definition = machine->definition;
	int r;

	memory_layout_init(&machine->layout, definition->memory.size,
			   topology_address_bits(machine->cpuid));
	r = vid_memory_new(&machine->memory);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < machine->layout.ram_count; i++) {
		r = vid_memory_add(machine->memory, machine->layout.ram[i],
				   backings[definition->memory.pages], definition->memory.shared);
		if (r < 0)
			return failure_set(failure, r,
					   "The host has no %" PRIu64 " MiB of memory for the VM: "
					   "%s.",
					   definition->memory.size >> 20, strerror(-r));
	}
	return 0;
}

static int machine_make_bus(struct machine *machine)
{
	machine->vmbus_host = (struct vmbus_host){ .memory = machine->memory };
	machine->vsp_host = (struct vsp_host){ .ops = &vmbus_host_ops,
					       .host = &machine->vmbus_host,
					       .vp_count = machine->definition->processors.count };
	return vmbus_new(machine->loop, &machine->vsp_host, &machine_vmbus_callbacks, machine,
			 &machine->bus);
}

int machine_new(const struct machine_config *config, struct machine **ret_machine,
		struct failure *failure)
{
	CLEANUP(machine_freep) struct machine *machine = calloc(1, sizeof(*machine));
	int r;

	if (!machine)
		return -ENOMEM;
	machine->definition = config->definition;
	machine->loop = config->loop;
	machine->callbacks = config->callbacks;
	machine->data = config->data;
	machine->incident_task.run = machine_handle_incident;
	machine->finish.run = machine_finish;
	list_init(&machine->finish.link);
	machine->kernel_fd = resources_take(config->resources, "kernel");
	machine->initrd_fd = resources_take(config->resources, "initrd");

	r = machine_open_vid(machine, config->resources, failure);
	if (r < 0)
		return r;
	r = machine_make_memory(machine, failure);
	if (r < 0)
		return r;
	r = chipset_new(&machine_chipset_callbacks, machine, &machine->chipset);
	if (r < 0)
		return r;
	r = machine_make_bus(machine);
	if (r < 0)
		return r;
	*ret_machine = TAKE_PTR(machine);
	return 0;
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	vmbus_free(machine->bus);
	chipset_free(machine->chipset);
	vid_memory_free(machine->memory);
	free(machine->cpuid);
	vid_close(machine->vid);
	close_fdp(&machine->kernel_fd);
	close_fdp(&machine->initrd_fd);
	free(machine);
}

/* ---- What we do ---- */

int machine_start(struct machine *machine, struct failure *failure)
{
	int r;

	if (machine->state != MACHINE_CREATED)
		return MACHINE_E_STATE;
	if (machine->kernel_fd < 0)
		return failure_set(failure, -EINVAL, "The VM has no kernel to boot.");
	r = machine_build(machine, failure);
	if (r < 0)
		return r;
	vps_run(incarnation_vps(machine->incarnation));
	machine_enter(machine, MACHINE_RUNNING, MACHINE_REQUESTED, "");
	return 0;
}

int machine_pause(struct machine *machine)
{
	if (machine->state != MACHINE_RUNNING)
		return MACHINE_E_STATE;
	vps_pause(incarnation_vps(machine->incarnation));
	machine_enter(machine, MACHINE_PAUSED, MACHINE_REQUESTED, "");
	return 0;
}

int machine_resume(struct machine *machine)
{
	if (machine->state != MACHINE_PAUSED)
		return MACHINE_E_STATE;
	vps_run(incarnation_vps(machine->incarnation));
	machine_enter(machine, MACHINE_RUNNING, MACHINE_REQUESTED, "");
	return 0;
}

int machine_reset(struct machine *machine)
{
	if (!machine_is_up(machine) && machine->state != MACHINE_KEPT)
		return MACHINE_E_STATE;
	machine_end(machine, MACHINE_RESETTING, MACHINE_REQUESTED);
	return 0;
}

void machine_stop(struct machine *machine)
{
	machine->reason = MACHINE_REQUESTED;
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

uint32_t machine_vmbus_version(const struct machine *machine)
{
	return machine->vmbus_version;
}

uint64_t machine_first_run(const struct machine *machine)
{
	if (machine->first_run || !machine->incarnation)
		return machine->first_run;
	return vps_first_run(incarnation_vps(machine->incarnation));
}
