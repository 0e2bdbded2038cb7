/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic keyboard: brings keys to the guest's driver, in their order.
 *
 * Keys wait in a queue of KEYBOARD_KEYS_MAX while the guest does not read, or stands; they are
 * forgotten when its driver goes. A guest that breaks the protocol is not talked to any more until
 * it opens the channel anew. Nothing happens while nobody types.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyboard;

#define KEYBOARD_KEYS_MAX 256

enum keyboard_state {
	KEYBOARD_ABSENT,      /* the guest has no driver, or it is not loaded */
	KEYBOARD_NEGOTIATING, /* it has not asked for a version that is known */
	KEYBOARD_READY,
	KEYBOARD_REFUSED, /* it does not follow the protocol */
};

enum {
	_KEYBOARD_E_OK,
	KEYBOARD_E_ABSENT, /* there is no driver that is ready */
	KEYBOARD_E_FULL,   /* too many keys wait */
};

/* A key that goes down or up. */
struct keyboard_key {
	uint16_t make_code; /* of set 1 */
	uint16_t flags;     /* KEYBOARD_BREAK, KEYBOARD_E0, KEYBOARD_E1 of common/wire/keyboard.h */
};
_Static_assert(sizeof(struct keyboard_key) == 4, "stored format");

struct keyboard_report {
	enum keyboard_state state;
	size_t waiting; /* keys in the queue */
	uint64_t sent;  /* keys, since the keyboard was made */
};

/* Borrows the bus. Return: 0, -errno. */
int keyboard_new(struct vmbus *bus, struct keyboard **ret_keyboard) MUST_CHECK;

/* After vmbus_reset() is done. */
void keyboard_free(struct keyboard *keyboard);
DEFINE_CLEANUP(struct keyboard *, keyboard_free)

/* All of them or none, so that no key stays down. Return: 0; KEYBOARD_E_. */
int keyboard_press(struct keyboard *keyboard, const struct keyboard_key *keys,
		   size_t count) MUST_CHECK;

struct keyboard_report keyboard_report(const struct keyboard *keyboard);
const char *keyboard_state_name(enum keyboard_state state); /* "absent", "negotiating", … */

/* ---- State ---- */

struct state_reader;
struct state_writer;

/* The vps have stopped, and run again: between the two keys wait. */
void keyboard_quiesce(struct keyboard *keyboard);
void keyboard_resume(struct keyboard *keyboard);

/*
 * The state of a keyboard that is quiet, as a record of that name; and one that was just made, on a
 * bus that was restored, becomes as that one was, and is quiet. Return: 0; STATE_E_ of
 * common/base/state.h.
 */
void keyboard_save(const struct keyboard *keyboard, const char *name, struct state_writer *writer);
int keyboard_restore(struct keyboard *keyboard, const char *name,
		     const struct state_reader *reader) MUST_CHECK;
