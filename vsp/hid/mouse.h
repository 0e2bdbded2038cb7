/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic mouse: tells the guest's driver where it points, and which buttons are down.
 *
 * While the guest does not read, or stands, movements become one; a change of buttons, and a turn
 * of the wheel, stay apart as long as MOUSE_EVENTS_MAX of them suffice, after which the last state
 * counts. What waits is forgotten when the driver goes. A guest that breaks the protocol is not
 * talked to any more until it opens the channel anew. Nothing happens while nobody points.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vsp/vmbus/vmbus.h"

#include <stddef.h>
#include <stdint.h>

struct mouse;

#define MOUSE_EVENTS_MAX 64

enum mouse_state {
	MOUSE_ABSENT,      /* the guest has no driver, or it is not loaded */
	MOUSE_NEGOTIATING, /* it has not asked for a version that is known */
	MOUSE_DESCRIBED,   /* it has not said that it knows the device */
	MOUSE_READY,
	MOUSE_REFUSED, /* it does not follow the protocol */
};

enum {
	_MOUSE_E_OK,
	MOUSE_E_ABSENT, /* there is no driver that is ready */
};

/* Where it points from then on. */
struct mouse_event {
	uint8_t buttons; /* of MOUSE_BUTTONS of common/wire/mouse.h */
	uint8_t zero;
	uint16_t x, y; /* 0 to MOUSE_POSITION_MAX */
	int16_t wheel;
};
_Static_assert(sizeof(struct mouse_event) == 8, "stored format");

struct mouse_status {
	enum mouse_state state;
	size_t waiting; /* events */
	uint64_t sent;  /* likewise, since the mouse was made */
};

/* Borrows the bus. Return: 0, -errno. */
int mouse_new(struct vmbus *bus, struct mouse **ret_mouse) MUST_CHECK;

/* After vmbus_reset() is done. */
void mouse_free(struct mouse *mouse);
DEFINE_CLEANUP(struct mouse *, mouse_free)

/* Return: 0; MOUSE_E_ABSENT. */
int mouse_point(struct mouse *mouse, const struct mouse_event *event) MUST_CHECK;

struct mouse_status mouse_status(const struct mouse *mouse);
const char *mouse_state_name(enum mouse_state state); /* "absent", "negotiating", … */

/* ---- State ---- */

struct state_reader;
struct state_writer;

/* The vps have stopped, and run again: between the two events wait. */
void mouse_quiesce(struct mouse *mouse);
void mouse_resume(struct mouse *mouse);

/*
 * The state of a mouse that is quiet, as a record of that name; and one that was just made, on a
 * bus that was restored, becomes as that one was, and is quiet. Return: 0; STATE_E_ of
 * common/base/state.h.
 */
void mouse_save(const struct mouse *mouse, const char *name, struct state_writer *writer);
int mouse_restore(struct mouse *mouse, const char *name,
		  const struct state_reader *reader) MUST_CHECK;
