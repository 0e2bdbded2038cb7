/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the machine share: machine.c has its states, machine_guest.c what its guest
 * does to it, machine_crash.c what comes of a crash, machine_make.c how it is made.
 */
#pragma once

#include "vmwp/chipset/chipset.h"
#include "vmwp/cpu/cpu.h"
#include "vmwp/machine/machine.h"
#include "vmwp/machine/power_cycle.h"
#include "vmwp/machine/reset_loop.h"
#include "vmwp/machine/variables.h"
#include "vmwp/machine/vmbus_host.h"
#include "vmwp/machine/vp_exit.h"
#include "vsp/vmbus/vmbus.h"

#include <stdatomic.h>

struct machine {
	const struct definition *definition;
	struct loop *loop;
	const struct machine_callbacks *callbacks;
	void *data;

	struct vid *vid;
	enum hvshim_engine engine;
	uint32_t enlightenments; /* that the guest was last told of */
	struct vid_cpuid *cpuid; /* of the model */
	struct cpu_feature_set host_features;
	struct memory_layout layout;
	struct numa numa;
	struct vid_memory *memory;
	struct chipset *chipset;
	struct loop_task alarm_task;
	struct loop_timer tick;     /* of the chipset, while its clock has an alarm */
	bool memory_is_handed_over; /* by another worker, with what is in it */
	int kernel_fd, initrd_fd;
	int bios_fd, uefi_fd;          /* one of them may be there; both -1: a kernel is loaded */
	int variables_fd, template_fd; /* of generation 2's variables: kept, and at first; or -1 */
	struct variables *variables;   /* NULL: there is no flash */
	struct loop_task flash_task;   /* it has changed */
	struct loop_task system_task;  /* firmware has left the machine to a system */

	/* What firmware says of itself, until a system runs. The first two: any thread. */
	_Atomic(enum firmware_word) firmware_heard;
	atomic_bool system_runs;
	enum firmware_word firmware_told;
	struct loop_task firmware_task;

	struct fw_cfg_items firmware; /* what that of the power cycle is told */
	struct loop_task disk_task;   /* a device of the chipset wants a disk */
	void (*disk_request)(void *data);
	void *disk_request_data;

	struct vmbus_host vmbus_host;
	struct vsp_host vsp_host;
	struct vmbus *bus;
	uint32_t vmbus_version;

	struct power_cycle *power_cycle;
	struct power_cycle_counters past; /* of power cycles that are gone */
	enum machine_state state;
	bool held;                  /* machine_hold() */
	enum machine_reason reason; /* for resetting or stopping */
	bool paused_for_disk;
	struct failure disk_failure; /* why it was stopped for a disk */
	uint64_t first_run;
	struct loop_deferred finish; /* of resetting or stopping */
	struct reset_loop reset_loop;

	_Atomic(enum incident) incident;
	struct loop_task incident_task;
	struct failure incident_failure; /* the vp's that set `incident`, until the task has run */

	/* A crash that was reported, and not acted upon. */
	bool crashed;
	uint64_t grace_end;   /* by loop_now(), unless the guest shows that it lives */
	uint64_t grace_limit; /* the same, whatever it shows */
	uint64_t signs;       /* how many it had shown when we last looked */
	struct loop_timer grace;
	bool grace_runs; /* the loop has the timer; it may run to an end that is none any more */
};

/* ---- machine.c ---- */

bool machine_is_up(const struct machine *machine); /* running or paused */

/* Halts the guest for good, to go on with MACHINE_RESETTING or MACHINE_STOPPING. */
void machine_end(struct machine *machine, enum machine_state state, enum machine_reason reason);

/* The same, or to be kept, as the definition says. */
void machine_act(struct machine *machine, enum definition_action action,
		 enum machine_reason reason);

/* struct loop_deferred.run of `finish`: when the VMBus host has let go of the guest. */
void machine_finish(struct loop_deferred *deferred);

/* Writes the generation ID to the guest's memory. Return: as acpi_generation_set(). */
int machine_set_generation(struct machine *machine) MUST_CHECK;

/* ---- machine_guest.c: what others call on behalf of the guest ---- */

extern const struct vps_callbacks machine_vps_callbacks;
extern const struct hvshim_callbacks machine_hvshim_callbacks;
extern const struct vmbus_callbacks machine_vmbus_callbacks;
extern const struct chipset_callbacks machine_chipset_callbacks;

/* struct loop_task.run of `incident_task`, `alarm_task`, `disk_task`, `flash_task`, `firmware_task` and `system_task`. */
void machine_handle_incident(struct loop_task *task);
void machine_handle_alarm(struct loop_task *task);
void machine_handle_disk_request(struct loop_task *task);
void machine_handle_flash(struct loop_task *task);
void machine_handle_system(struct loop_task *task);
void machine_handle_firmware(struct loop_task *task);

/* A power cycle begins. */
void machine_firmware_begins(struct machine *machine);

extern const struct variables_callbacks machine_variables_callbacks;

/* loop_complete_fn of `tick`. */
void machine_tick_over(struct loop_operation *operation, int result, bool more);

/* ---- machine_crash.c: the grace between a crash and what is done about it ---- */

/* The guest reports a crash. Only the first is told until it is forgotten. */
void machine_crash(struct machine *machine, const struct hvshim_crash *crash);

/* The guest ended itself: takes the crash's action if there was one. Return: whether there was. */
bool machine_crash_act(struct machine *machine);

/* The guest has come up anew, or its machine ends. */
void machine_crash_forget(struct machine *machine);

/* The guest runs again after a pause. */
void machine_crash_resume(struct machine *machine);

/* loop_complete_fn of `grace`. */
void machine_grace_over(struct loop_operation *operation, int result, bool more);
