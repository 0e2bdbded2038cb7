/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a machine with firmware does nothing but reset itself: RESET_LOOP_MAX times within
 * RESET_LOOP_NS, without a guest that has come to VMBus in between, or, of generation 2, whose
 * firmware comes there itself, a system that it has left the machine to.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RESET_LOOP_MAX 10u
#define RESET_LOOP_NS  (UINT64_C(60) * 1000 * 1000 * 1000)

struct reset_loop {
	uint64_t times[RESET_LOOP_MAX]; /* of the last resets, in turn */
	unsigned count;                 /* of all */
};

/* It resets itself at that time, in nanoseconds. Return: whether it does nothing else. */
bool reset_loop_note(struct reset_loop *loop, uint64_t now);

/* It has come so far. */
void reset_loop_forget(struct reset_loop *loop);
