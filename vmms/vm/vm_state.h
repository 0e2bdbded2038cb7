/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The states of a VM, and what can be asked of it in each.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum vm_state {
	VM_OFF,
	VM_STARTING,
	VM_RUNNING,
	VM_PAUSED,
	VM_STOPPING,
	VM_CRASHED, /* the worker died or gave up: off, but not as anybody wished */
	VM_SAVING,
	VM_SAVED, /* off, and goes on from its saved state when it is started */
	VM_KEPT,  /* the guest failed, and its machine is kept, halted, as its definition says */
	_VM_STATE_COUNT,
};

enum vm_verb {
	VM_START,
	VM_SHUT_DOWN,
	VM_TURN_OFF,
	VM_RESET,
	VM_NMI,
	VM_DUMP,
	VM_SAVE,
	VM_MOVE,
	VM_RENEW,
	VM_DISCARD,
	VM_PAUSE,
	VM_RESUME,
	VM_RENAME,
	VM_DELETE,
	VM_ATTACH,
	VM_DETACH,
	VM_INSERT,
	VM_EJECT,
	VM_ADD_ADAPTER,
	VM_REMOVE_ADAPTER,
	VM_CHANGE_ADAPTER,
	VM_CHANGE,
	VM_CHECKPOINT,
	VM_DELETE_CHECKPOINT,
	VM_MAKE_CHECKPOINT,
	VM_BACK_UP,
	VM_RESET_VARIABLES,
	_VM_VERB_COUNT,
};

/* "off", "running", …: as on the bus. */
const char *vm_state_name(enum vm_state state);

bool vm_state_allows(enum vm_state state, enum vm_verb verb);

/* The state is what the verb would have brought about. */
bool vm_state_is_reached(enum vm_state state, enum vm_verb verb);

/* Writes why not, and what to do next, for the VM of that name. */
void vm_state_refusal(enum vm_state state, enum vm_verb verb, const char *name, char *buffer,
		      size_t size);

/* There is a worker process in this state. */
bool vm_state_is_active(enum vm_state state);
