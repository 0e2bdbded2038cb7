/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of a VM's devices as bytes: records, each with a name, a version, and the plain structs
 * of that version.
 *
 * Writing: state_begin(), state_put() as often as it takes, state_end(). What fails is remembered,
 * and told by state_writer_error() in the end.
 *
 * Reading: what is read may come from another host, and is not trusted. state_reader_init()
 * checks all records; state_find() finds one by its name, and state_get() takes it apart.
 *
 * A record: struct state_header, the name without a NUL, zeros up to a multiple of 8, the payload,
 * zeros up to a multiple of 8. Numbers are little-endian, as are those in the payload.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_NAME_MAX 63           /* bytes */
#define STATE_SIZE_MAX (256u << 20) /* of all records together */

struct state_header {
	uint32_t size; /* of the payload */
	uint16_t version;
	uint16_t name_size;
};
_Static_assert(sizeof(struct state_header) == 8, "stored format");

enum {
	_STATE_E_OK,
	STATE_E_ABSENT,  /* there is no record of that name */
	STATE_E_VERSION, /* it is of a version that is not known here */
	STATE_E_INVALID, /* it is not what it says it is */
};

/* For people: "is missing", … */
const char *state_error_text(int code);

/* Why a state was not taken over: a part of a sentence, for people. */
struct state_refusal {
	char text[192]; /* "" as long as nothing was said */
};

/* Keeps what was said first. Return: -EINVAL. */
int state_refuse(struct state_refusal *refusal, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- Writing ---- */

struct state_writer {
	uint8_t *bytes; /* `size` of them */
	size_t size, capacity;
	size_t record; /* where the one that is being written begins */
	int error;
};

void state_writer_init(struct state_writer *writer);
void state_writer_deinit(struct state_writer *writer);

/* name: at most STATE_NAME_MAX bytes, and no other record's. */
void state_begin(struct state_writer *writer, const char *name, uint16_t version);
void state_put(struct state_writer *writer, const void *state, size_t size);
void state_end(struct state_writer *writer);

/* Return: 0; -ENOMEM; -EFBIG: beyond STATE_SIZE_MAX. */
int state_writer_error(const struct state_writer *writer) MUST_CHECK;

/* For members that are made of flags. */
static inline uint32_t state_flag(bool condition, uint32_t flag)
{
	return condition ? flag : 0;
}

/* ---- Reading ---- */

struct state_reader {
	const uint8_t *bytes; /* borrowed */
	size_t size;
};

/* Return: 0; STATE_E_INVALID. */
int state_reader_init(struct state_reader *reader, const void *bytes, size_t size) MUST_CHECK;

struct state_record {
	uint16_t version;
	const uint8_t *at;
	size_t left; /* bytes that have not been taken */
};

/* version_max: the latest that is known; the first is 1. Return: 0; STATE_E_. */
int state_find(const struct state_reader *reader, const char *name, uint16_t version_max,
	       struct state_record *ret_record) MUST_CHECK;

/* Copies the next bytes. Return: 0; STATE_E_INVALID: there are not so many. */
int state_get(struct state_record *record, void *state, size_t size) MUST_CHECK;

/* Both at once: finds a record, and copies the struct that it begins with. Return: as state_find(). */
int state_open(const struct state_reader *reader, const char *name, uint16_t version_max,
	       void *state, size_t size, struct state_record *ret_record) MUST_CHECK;

/* The next bytes where they are, 8-aligned no more than the sizes taken before; NULL as above. */
const void *state_take(struct state_record *record, size_t size);
