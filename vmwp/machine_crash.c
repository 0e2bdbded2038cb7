/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grace between a crash and what is done about it.
 *
 * The crash MSRs are a report, not an end: Hyper-V writes it down and lets the guest run on. Linux
 * goes on into a crash kernel if it has one, which an action taken at once would cut off (kdump;
 * on Hyper-V it always runs its panic notifiers first, arch/x86/kernel/cpu/mshyperv.c); or reset
 * itself; or, with panic=0, spin for ever. Nothing that both engines see tells a crash kernel on
 * its way from a guest that spins, until the former contacts the VMBus. So the action waits for
 * whichever comes first: that contact, after which there is nothing left to act upon; the guest's
 * own end; or the end of a bounded time in which its vps may run.
 */
#include "vmwp/machine_internal.h"

#define SECOND UINT64_C(1000000000)

static void machine_grace_begin(struct machine *machine)
{
	uint64_t grace = machine->definition->actions.crash_grace * SECOND;

	machine->grace_end = loop_now() + grace;
	if (machine->grace_runs)
		return;
	machine->grace_runs = true;
	loop_timer_start(machine->loop, &machine->grace, grace);
}

void machine_crash(struct machine *machine, const struct hvshim_crash *crash)
{
	machine->callbacks->crash(machine->data, crash);
	if (machine->crashed)
		return;
	machine->crashed = true;
	if (machine->definition->actions.crash_grace == 0)
		machine_crash_act(machine);
	else
		machine_grace_begin(machine);
}

bool machine_crash_act(struct machine *machine)
{
	if (!machine->crashed)
		return false;
	machine_act(machine, machine->definition->actions.crash, MACHINE_CRASH);
	return true;
}

void machine_crash_forget(struct machine *machine)
{
	machine->crashed = false;
	if (machine->grace_runs)
		loop_cancel(machine->loop, &machine->grace.operation);
}

void machine_crash_resume(struct machine *machine)
{
	if (machine->crashed)
		machine_grace_begin(machine);
}

void machine_grace_over(struct loop_operation *operation, int result, bool more)
{
	struct machine *machine = container_of(operation, struct machine, grace.operation);
	uint64_t now = loop_now();

	machine->grace_runs = false;
	if (!machine->crashed || machine->state != MACHINE_RUNNING)
		return;
	if (now < machine->grace_end) {
		machine->grace_runs = true;
		loop_timer_start(machine->loop, &machine->grace, machine->grace_end - now);
	} else {
		machine_crash_act(machine);
	}
}
