/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The states of a VM, and what can be asked of it in each: one table. */
#include "vmms/vm/vm_state.h"

#include "common/base/cc.h"

#include <stdio.h>

#define IN(state) (1u << (state))

/* Not running, and nothing under way. */
#define AT_REST (IN(VM_OFF) | IN(VM_CRASHED))

/* There is no worker process. */
#define WITHOUT_WORKER (AT_REST | IN(VM_SAVED))

static const struct {
	const char *name;
	const char *advice; /* what to do so that something else becomes possible */
} states[] = {
	[VM_OFF] = { "off", "start it first" },
	[VM_STARTING] = { "starting", "wait until it runs, or turn it off" },
	[VM_RUNNING] = { "running", "turn it off first" },
	[VM_PAUSED] = { "paused", "resume it first" },
	[VM_STOPPING] = { "stopping", "wait until it is off, or turn it off" },
	[VM_CRASHED] = { "crashed", "start it again first" },
	[VM_SAVING] = { "saving", "wait until it is saved, cancel that job, or turn it off" },
	[VM_SAVED] = { "saved", "start it, or discard its saved state first ('vmctl discard')" },
	[VM_KEPT] = { "kept", "reset it or turn it off first" },
};
_Static_assert(ARRAY_SIZE(states) == _VM_STATE_COUNT, "one row per state");

static const struct {
	const char *name;
	unsigned allowed;
} verbs[] = {
	[VM_START] = { "start", WITHOUT_WORKER },
	[VM_SHUT_DOWN] = { "shut down", IN(VM_RUNNING) },
	[VM_TURN_OFF] = { "turn off", IN(VM_STARTING) | IN(VM_RUNNING) | IN(VM_PAUSED) |
					      IN(VM_STOPPING) | IN(VM_SAVING) | IN(VM_KEPT) },
	[VM_RESET] = { "reset", IN(VM_RUNNING) | IN(VM_PAUSED) | IN(VM_KEPT) },
	[VM_NMI] = { "send an NMI to", IN(VM_RUNNING) },
	[VM_DUMP] = { "dump the memory of", IN(VM_RUNNING) | IN(VM_PAUSED) | IN(VM_KEPT) },
	[VM_SAVE] = { "save", IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_MOVE] = { "move", IN(VM_RUNNING) },
	[VM_RENEW] = { "renew the worker of", IN(VM_RUNNING) },
	[VM_DISCARD] = { "discard the saved state of", IN(VM_SAVED) },
	[VM_PAUSE] = { "pause", IN(VM_RUNNING) },
	[VM_RESUME] = { "resume", IN(VM_PAUSED) },
	[VM_RENAME] = { "rename", WITHOUT_WORKER | IN(VM_RUNNING) | IN(VM_PAUSED) | IN(VM_KEPT) },
	[VM_DELETE] = { "delete", AT_REST },
	[VM_ATTACH] = { "attach a disk to", AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_DETACH] = { "detach a disk from", AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_INSERT] = { "insert a medium into", AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_EJECT] = { "eject a medium from", AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_ADD_ADAPTER] = { "add an adapter to", AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_REMOVE_ADAPTER] = { "remove an adapter from",
				AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_CHANGE] = { "change", AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) | IN(VM_KEPT) },
	[VM_CHECKPOINT] = { "apply a checkpoint of", AT_REST },
	[VM_DELETE_CHECKPOINT] = { "delete a checkpoint of",
				   AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_MAKE_CHECKPOINT] = { "make a checkpoint of", AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_BACK_UP] = { "back up", IN(VM_RUNNING) | IN(VM_PAUSED) },
	[VM_RESET_VARIABLES] = { "reset the firmware's variables of", AT_REST },
	[VM_CHANGE_ADAPTER] = { "change an adapter of", AT_REST | IN(VM_RUNNING) | IN(VM_PAUSED) },
};
_Static_assert(ARRAY_SIZE(verbs) == _VM_VERB_COUNT, "one row per verb");

/* Where the state is already what the verb would bring about, or is about to be. */
static const struct {
	enum vm_verb verb;
	enum vm_state state;
} needless[] = {
	{ VM_START, VM_RUNNING },   { VM_START, VM_STARTING },   { VM_SHUT_DOWN, VM_OFF },
	{ VM_TURN_OFF, VM_OFF },    { VM_TURN_OFF, VM_CRASHED }, { VM_SHUT_DOWN, VM_CRASHED },
	{ VM_PAUSE, VM_PAUSED },    { VM_RESUME, VM_RUNNING },   { VM_SHUT_DOWN, VM_STOPPING },
	{ VM_SAVE, VM_SAVED },      { VM_SAVE, VM_SAVING },      { VM_TURN_OFF, VM_SAVED },
	{ VM_SHUT_DOWN, VM_SAVED }, { VM_DISCARD, VM_OFF },      { VM_DISCARD, VM_CRASHED },
};

const char *vm_state_name(enum vm_state state)
{
	return states[state].name;
}

bool vm_state_allows(enum vm_state state, enum vm_verb verb)
{
	return verbs[verb].allowed & IN(state);
}

static bool state_is_needless(enum vm_state state, enum vm_verb verb)
{
	for (size_t i = 0; i < ARRAY_SIZE(needless); i++) {
		if (needless[i].verb == verb && needless[i].state == state)
			return true;
	}
	return false;
}

bool vm_state_is_reached(enum vm_state state, enum vm_verb verb)
{
	return state_is_needless(state, verb) && state != VM_STARTING && state != VM_STOPPING &&
	       state != VM_SAVING;
}

void vm_state_refusal(enum vm_state state, enum vm_verb verb, const char *name, char *buffer,
		      size_t size)
{
	if (state_is_needless(state, verb))
		snprintf(buffer, size, "VM '%s' is %s already: nothing to do", name,
			 states[state].name);
	else
		snprintf(buffer, size, "cannot %s VM '%s', which is %s; %s", verbs[verb].name, name,
			 states[state].name, states[state].advice);
}

bool vm_state_is_active(enum vm_state state)
{
	return !(WITHOUT_WORKER & IN(state));
}
