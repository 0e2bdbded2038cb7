/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine: what a definition describes, as it lives.
 *
 *	               start              pause
 *	created ---------------> running <------> paused
 *	                          |   ^   resume    |
 *	      reset, guest reset, |   |             |
 *	      action "restart"    v   |             |
 *	                       resetting <----------+ reset
 *	                          |
 *	  stop, power-off,        v       done
 *	  action "stop" ----> stopping ---------> stopped
 *	  action "keep" ----> kept (vps halted, memory as it was; reset and stop go on from here)
 *
 * Guest memory, chipset, VMBus host and devices live as long as the machine; partition,
 * personality and vps are made anew by every reset (vmwp/machine/power_cycle.h).
 *
 * Thread: the loop's; so are the callbacks.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/definition/definition.h"
#include "hvshim/hvshim.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/machine/machine_parts.h"
#include "vmwp/machine/power_cycle.h"
#include "vmwp/machine/vp_counters.h"
#include "vmwp/machine/vp_registers.h"
#include "vmwp/resource/resources.h"

#include <stdbool.h>
#include <stdint.h>

struct power_cycle;
struct power_cycle_counters;
struct state_reader;
struct machine;

enum machine_state {
	MACHINE_CREATED,
	MACHINE_RUNNING,
	MACHINE_PAUSED,
	MACHINE_RESETTING,
	MACHINE_KEPT,
	MACHINE_STOPPING,
	MACHINE_STOPPED,
};

/* Why the machine changed its state. */
enum machine_reason {
	MACHINE_REQUESTED, /* by us */
	MACHINE_GUEST_SHUTDOWN,
	MACHINE_GUEST_HIBERNATED,
	MACHINE_GUEST_RESET,
	MACHINE_TRIPLE_FAULT,
	MACHINE_CRASH,      /* the guest said so, by the crash MSRs */
	MACHINE_ERROR,      /* a fault of the host; the message says which */
	MACHINE_DISK,       /* a disk cannot go on; the message says why */
	MACHINE_RESET_LOOP, /* it did nothing but reset itself, from its firmware on */
};

const char *machine_state_name(enum machine_state state);
const char *machine_reason_name(enum machine_reason reason);

enum {
	_MACHINE_E_OK,
	MACHINE_E_STATE, /* not in the state it is in */
};

struct machine_callbacks {
	/*
	 * message: of MACHINE_ERROR, MACHINE_DISK and MACHINE_TRIPLE_FAULT, else "". Not called for
	 * resetting and stopping.
	 */
	void (*state)(void *data, enum machine_state state, enum machine_reason reason,
		      const char *message);

	/* It was reset, and runs. */
	void (*reset)(void *data, enum machine_reason reason, const char *message);

	/* Once, until the guest has come up anew. */
	void (*crash)(void *data, const struct hvshim_crash *crash);

	void (*vmbus)(void *data, uint32_t version);  /* as vmbus_callbacks.connected */
	void (*notice)(void *data, const char *text); /* a sentence for the log */

	/* It says something else than before, or, in the end, a system has come so far. */
	void (*firmware)(void *data, enum firmware_word word);

	void (*console)(void *data, bool output); /* any thread: see vmwp/chipset/chipset.h */
};

struct machine_config {
	const struct definition *definition; /* borrowed for as long as the machine */
	struct resources *resources;         /* the machine takes what it needs */
	struct loop *loop;
	const struct machine_callbacks *callbacks;
	void *data;
};

/* Return: 0; -errno and *failure. */
int machine_new(const struct machine_config *config, struct machine **ret_machine,
		struct failure *failure) MUST_CHECK;

/* Only created and stopped machines. */
void machine_free(struct machine *machine);
DEFINE_CLEANUP(struct machine *, machine_free)

/* Return: 0; MACHINE_E_STATE; machine_start() also -errno and *failure. */
int machine_start(struct machine *machine, struct failure *failure) MUST_CHECK;
int machine_pause(struct machine *machine) MUST_CHECK;

/* Before it is started: its firmware will show its menus first. Return: as above. */
int machine_enter_setup(struct machine *machine, struct failure *failure) MUST_CHECK;

/*
 * A machine that was just created becomes a paused one, in which nothing is yet: the rows of its
 * parts and devices restore what `reader` has, and machine_resume() goes on with the guest. RAM
 * that the guest had beyond the definition's is restored by its row, even before this.
 * Return: as machine_start().
 */
int machine_prepare_restore(struct machine *machine, const struct state_reader *reader,
			    struct failure *failure) MUST_CHECK;
int machine_resume(struct machine *machine) MUST_CHECK;
int machine_reset(struct machine *machine) MUST_CHECK;

/*
 * A disk cannot go on: a machine that runs is paused, and resumed by the second function if that is
 * still why it is paused; or it is turned off.
 */
void machine_pause_for_disk(struct machine *machine, const char *why);
void machine_resume_for_disk(struct machine *machine);
void machine_stop_for_disk(struct machine *machine, const char *why);

/* A non-maskable interrupt to the first vp. Return: 0; MACHINE_E_STATE; as vid_partition_nmi(). */
int machine_nmi(struct machine *machine) MUST_CHECK;

/*
 * Pins the vps as the definition says, as far as that can be done; vps that are made later are
 * pinned by themselves. Return: 0; -errno and *failure.
 */
int machine_pin(struct machine *machine, struct failure *failure) MUST_CHECK;

uint32_t machine_vp_count(const struct machine *machine); /* 0: none at the moment */

/*
 * The vps of a machine that runs stop for a moment, in which the caller looks at them; its state
 * stays. Return: whether they have, and machine_release() is to be called.
 */
bool machine_hold(struct machine *machine) MUST_CHECK;
void machine_release(struct machine *machine);

/* Of a vp of a machine that is held, paused or kept. Return: 0; MACHINE_E_STATE; -errno. */
int machine_vp_registers(struct machine *machine, uint32_t index,
			 struct vid_registers *ret_registers,
			 struct vid_system_registers *ret_system) MUST_CHECK;

/* Turns the machine off, from any state; the state callback follows, perhaps before returning. */
void machine_stop(struct machine *machine);

enum machine_state machine_state(const struct machine *machine);
enum hvshim_engine machine_engine(const struct machine *machine);
struct chipset *machine_chipset(struct machine *machine);
struct vmbus *machine_bus(struct machine *machine);

/* request(data): the chipset may have a request to a disk. NULL: nobody is told any more. */
void machine_on_disk_request(struct machine *machine, void (*request)(void *data), void *data);
struct vid *machine_vid(struct machine *machine);
const struct vid_memory *machine_memory(const struct machine *machine);

/* The same for who fills it, before machine_prepare_restore(). */
struct vid_memory *machine_memory_to_fill(struct machine *machine);

/* Its RAM came with all that is in it, from another worker. */
bool machine_memory_is_handed_over(const struct machine *machine);

/* Of the guest as it was last made; before its start none is on. */
enum enlightenment_state machine_enlightenment(const struct machine *machine,
					       enum enlightenment enlightenment);

/* Features of CPUs that the hypervisor supports, and vps do not have. */
void machine_features_removed(const struct machine *machine, struct cpu_feature_set *ret_removed);

/* Where RAM can be added while the guest runs; size 0: nowhere. */
struct vid_memory_region machine_room(const struct machine *machine);

/* A window for what is not RAM. i: 0 or 1. Its size is 0 where the machine has no such window. */
struct vid_memory_region machine_window(const struct machine *machine, unsigned i);

/* NULL: none at the moment. Valid until the loop goes on. */
struct power_cycle *machine_power_cycle(struct machine *machine);

uint32_t machine_vmbus_version(const struct machine *machine); /* 0: not connected */
enum firmware_word machine_firmware_word(const struct machine *machine);

/* The bus was restored: its version is the machine's. */
void machine_take_vmbus_version(struct machine *machine);

/* Since the machine was made, over all resets. */
void machine_counters(const struct machine *machine, struct power_cycle_counters *ret_counters);

/* When the first vp first entered the guest, by loop_now(); 0: not yet. */
uint64_t machine_first_run(const struct machine *machine);
