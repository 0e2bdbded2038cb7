/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One viewer: what it has said, and what it is to be sent.
 *
 * One that does not read is not read from either, and what changes meanwhile is a set of tiles: it
 * holds up nobody, and takes a bounded amount of memory. Keys and buttons that it holds down go up
 * when it goes.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmms/screen/screen.h"

#include <stdbool.h>
#include <stdint.h>

struct viewer;

/* fd: a stream socket, taken over. NULL: there is no memory. */
struct viewer *viewer_new(struct screen *screen, int fd, bool read_only);
void viewer_free(struct viewer *viewer);

int viewer_fd(const struct viewer *viewer);

/* What to poll(2) for. */
short viewer_events(const struct viewer *viewer);

/* Reads and writes what there is. Return: false: it has gone, or is to go. */
bool viewer_go(struct viewer *viewer, short events) MUST_CHECK;

/* What has changed since the last time. */
void viewer_note_tiles(struct viewer *viewer, const struct tiles *changed);
void viewer_note_mode(struct viewer *viewer);
void viewer_note_cursor(struct viewer *viewer);

/* It looks: whether it can take an update is another question. */
bool viewer_is_open(const struct viewer *viewer);

/* It waits for an update, and has room for one. */
bool viewer_is_ready(const struct viewer *viewer);

/* Sends what it is to be sent, if it is ready and there is something. */
void viewer_update(struct viewer *viewer);
