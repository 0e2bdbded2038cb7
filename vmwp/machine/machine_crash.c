/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grace between a crash and what is done about it.
 *
 * The crash MSRs are a report, not an end: Hyper-V writes it down and lets the guest run on. Linux
 * goes on into a crash kernel if it has one, which an action taken at once would cut off (kdump;
 * on Hyper-V it always runs its panic notifiers first, arch/x86/kernel/cpu/mshyperv.c); or reset
 * itself; or, with panic=0, spin for ever. So the action waits for whichever comes first: the
 * VMBus being contacted, after which there is nothing left to act upon; the guest's own end; or the
 * end of its grace, in which its vps may run.
 *
 * How long a crash kernel takes to contact the VMBus nobody knows, but it does not keep quiet: it
 * writes to the console, and tells anew who it is. A guest that spins or hangs does neither. So the
 * grace is one of silence, and begins anew with each sign of life, which we look for a few times
 * while it lasts. A guest may make such signs for ever: GRACES_MAX bounds what that gets it.
 */
#include "vmwp/machine/machine_internal.h"

#define SECOND     UINT64_C(1000000000)
#define LOOKS      4  /* in a grace */
#define GRACES_MAX 10 /* from the crash to the action, at most */

static uint64_t machine_grace(const struct machine *machine)
{
	return machine->definition->actions.crash_grace * SECOND;
}

/* What only a kernel that lives does, counted. */
static uint64_t machine_signs(const struct machine *machine)
{
	struct hvshim_counters counters;

	hvshim_counters(power_cycle_hvshim(machine->power_cycle), &counters);
	return counters.introductions << 32 | chipset_console_written(machine->chipset);
}

static void machine_grace_wait(struct machine *machine, uint64_t now)
{
	uint64_t look = now + machine_grace(machine) / LOOKS;
	uint64_t end = MIN(machine->grace_end, machine->grace_limit);

	machine->grace_runs = true;
	loop_timer_start(machine->loop, &machine->grace, MIN(look, end) - now);
}

static void machine_grace_begin(struct machine *machine)
{
	uint64_t now = loop_now();

	machine->grace_end = now + machine_grace(machine);
	machine->grace_limit = now + GRACES_MAX * machine_grace(machine);
	machine->signs = machine_signs(machine);
	if (!machine->grace_runs)
		machine_grace_wait(machine, now);
}

void machine_crash(struct machine *machine, const struct hvshim_crash *crash)
{
	if (machine->crashed)
		return;
	machine->crashed = true;
	machine->callbacks->crash(machine->data, crash);
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
	uint64_t now = loop_now(), signs;

	machine->grace_runs = false;
	if (!machine->crashed || machine->state != MACHINE_RUNNING)
		return;
	signs = machine_signs(machine);
	if (signs != machine->signs)
		machine->grace_end = now + machine_grace(machine);
	machine->signs = signs;
	if (now < machine->grace_end && now < machine->grace_limit)
		machine_grace_wait(machine, now);
	else
		machine_crash_act(machine);
}
