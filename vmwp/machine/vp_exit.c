/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of a vp's exit. */
#include "vmwp/machine/vp_exit.h"

#include <inttypes.h>
#include <string.h>

typedef enum incident (*exit_handler)(struct chipset *chipset, struct vid_vp *vp,
				      const struct vid_exit *exit, struct failure *failure);

static enum incident exit_access(struct chipset *chipset, struct vid_vp *vp,
				 const struct vid_exit *exit, struct failure *failure)
{
	static const enum incident incidents[] = {
		[POWER_NOTHING] = INCIDENT_NONE,
		[POWER_OFF] = INCIDENT_POWER_OFF,
		[POWER_HIBERNATED] = INCIDENT_HIBERNATED,
		[POWER_RESET] = INCIDENT_RESET,
	};

	return incidents[chipset_access(chipset, exit)];
}

/* An MSR that nobody has faults, which is what an exit without an answer does. */
static enum incident exit_ignore(struct chipset *chipset, struct vid_vp *vp,
				 const struct vid_exit *exit, struct failure *failure)
{
	return INCIDENT_NONE;
}

/* As a CPU begins: nothing of the guest's is left. Intel SDM 3A, table 9-1. */
static bool is_reset(const struct vid_registers *registers,
		     const struct vid_system_registers *system)
{
	return registers->rip == 0xfff0 && registers->rsp == 0 && system->cs.selector == 0xf000 &&
	       (system->cr0 & 1) == 0;
}

static enum incident exit_shutdown(struct chipset *chipset, struct vid_vp *vp,
				   const struct vid_exit *exit, struct failure *failure)
{
	struct vid_registers registers = { 0 };
	struct vid_system_registers system = { 0 };

	(void)!vid_vp_get_registers(vp, &registers);
	(void)!vid_vp_get_system(vp, &system);
	if (is_reset(&registers, &system)) {
		failure_set(failure, 0,
			    "Vp %u triple-faulted; where is not known, since KVM has reset its "
			    "registers, as it does on AMD's CPUs.",
			    vid_vp_index(vp));
		return INCIDENT_TRIPLE_FAULT;
	}
	failure_set(failure, 0,
		    "Vp %u triple-faulted: RIP %#" PRIx64 ", RSP %#" PRIx64
		    ", CS %#x, CR0 %#" PRIx64 ", CR2 %#" PRIx64 ", CR3 %#" PRIx64 ", CR4 %#" PRIx64
		    ", EFER %#" PRIx64 ".",
		    vid_vp_index(vp), registers.rip, registers.rsp, system.cs.selector, system.cr0,
		    system.cr2, system.cr3, system.cr4, system.efer);
	return INCIDENT_TRIPLE_FAULT;
}

static enum incident exit_error(struct chipset *chipset, struct vid_vp *vp,
				const struct vid_exit *exit, struct failure *failure)
{
	failure_set(failure, 0, "KVM cannot go on with vp %u: %s (exit reason %u).",
		    vid_vp_index(vp), exit->error.text, exit->error.reason);
	return INCIDENT_ERROR;
}

static const exit_handler handlers[] = {
	[VID_EXIT_IO_PORT] = exit_access,   [VID_EXIT_MMIO] = exit_access,
	[VID_EXIT_MSR_READ] = exit_ignore,  [VID_EXIT_MSR_WRITE] = exit_ignore,
	[VID_EXIT_HYPERCALL] = exit_ignore, [VID_EXIT_SYNIC] = exit_ignore,
	[VID_EXIT_HALT] = exit_ignore,      [VID_EXIT_SHUTDOWN] = exit_shutdown,
	[VID_EXIT_KICK] = exit_ignore,      [VID_EXIT_ERROR] = exit_error,
};

enum incident vp_exit_handle(struct hvshim *hvshim, struct chipset *chipset, struct vid_vp *vp,
			     const struct vid_exit *exit, struct failure *failure)
{
	int r = hvshim_exit(hvshim, vp, exit);

	if (r < 0) {
		failure_set(failure, r, "The Hyper-V personality of vp %u failed: %s.",
			    vid_vp_index(vp), strerror(-r));
		return INCIDENT_ERROR;
	}
	if (r != HVSHIM_E_UNHANDLED)
		return INCIDENT_NONE;
	return handlers[exit->kind](chipset, vp, exit, failure);
}
