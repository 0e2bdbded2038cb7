/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running a program in a guest: what vmctl and the agent in the guest say to each other.
 *
 * A stream of frames each way, over a Hyper-V socket to EXEC_PORT of the guest: a header and its
 * payload. The client begins with EXEC_OPEN, then an EXEC_ARGUMENT for each word (none: a login
 * shell), then EXEC_RUN; what comes after that goes on until the agent says how the program ended,
 * or why there is none, and closes. One connection runs one program. Numbers are little-endian.
 *
 * An agent that does not know the version says so by EXEC_FAILED. What is unknown, out of place or
 * too large ends the connection.
 *
 * Freestanding.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXEC_PORT    1021u /* below 1024: no user of the guest can listen there instead */
#define EXEC_VERSION 1u

#define EXEC_PAYLOAD_MAX   8192u
#define EXEC_ARGUMENTS_MAX 256u
#define EXEC_WORDS_MAX     65536u /* bytes of all arguments, with a NUL each */

enum exec_type {
	/* Of the client. */
	EXEC_OPEN = 1,     /* struct exec_open */
	EXEC_ARGUMENT = 2, /* a word, without a NUL */
	EXEC_TERM = 3,     /* the kind of terminal, for $TERM */
	EXEC_RUN = 4,
	EXEC_INPUT = 5,  /* empty: no more will come */
	EXEC_SIZE = 6,   /* struct exec_size: of the terminal, now */
	EXEC_SIGNAL = 7, /* a byte: its number, of Linux on x86, for the program and its children */

	/* Of the agent. */
	EXEC_OUTPUT = 16, /* of standard output, or of the terminal */
	EXEC_ERRORS = 17, /* of standard error */
	EXEC_EXITED = 18, /* a byte: the exit status */
	EXEC_KILLED = 19, /* a byte: the signal */
	EXEC_FAILED = 20, /* text: why there is no program */
};

struct exec_header {
	uint8_t type;
	uint8_t reserved; /* 0 */
	uint16_t size;    /* of the payload, at most EXEC_PAYLOAD_MAX */
} PACKED;
_Static_assert(sizeof(struct exec_header) == 4, "wire format");

struct exec_size {
	uint16_t rows, columns;
} PACKED;
_Static_assert(sizeof(struct exec_size) == 4, "wire format");

#define EXEC_FLAG_TERMINAL 1u /* the program gets one, and no standard error of its own */

struct exec_open {
	uint16_t version;
	uint16_t flags; /* EXEC_FLAG_ */
	struct exec_size size;
} PACKED;
_Static_assert(sizeof(struct exec_open) == 8, "wire format");

/* ---- Reading ---- */

enum {
	_EXEC_E_OK,
	EXEC_E_EMPTY,   /* there is no whole frame yet */
	EXEC_E_INVALID, /* what is there is none */
};

struct exec_frame {
	uint8_t type;
	uint16_t size;
	const uint8_t *payload; /* until the reader is touched again */
};

/* Bytes that have come. Zeroed at first. */
struct exec_reader {
	size_t first, end;
	uint8_t bytes[2 * (sizeof(struct exec_header) + EXEC_PAYLOAD_MAX)];
};

/* Where what comes next is to be put: *ret_size bytes at most, which is never 0 when there is no
 * whole frame. Frames that were given are gone. */
uint8_t *exec_reader_room(struct exec_reader *reader, size_t *ret_size);

/* So many were put there. */
void exec_reader_fill(struct exec_reader *reader, size_t size);

/* Takes the next frame. Return: 0; EXEC_E_. */
int exec_reader_next(struct exec_reader *reader, struct exec_frame *ret_frame) MUST_CHECK;

/* Fills a payload struct of exactly that size. Return: whether it is. */
bool exec_frame_get(const struct exec_frame *frame, void *ret_payload, size_t size) MUST_CHECK;
