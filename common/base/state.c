/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a VM's devices as bytes. */
#include "common/base/state.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 8u

const char *state_error_text(int code)
{
	static const char *const texts[] = {
		[STATE_E_ABSENT] = "is missing",
		[STATE_E_VERSION] = "is of a version that is not known here",
		[STATE_E_INVALID] = "is not what it says it is",
	};

	return texts[code];
}

int state_refuse(struct state_refusal *refusal, const char *format, ...)
{
	va_list arguments;

	if (refusal->text[0] != '\0')
		return -EINVAL;
	va_start(arguments, format);
	vsnprintf(refusal->text, sizeof(refusal->text), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* ---- Writing ---- */

void state_writer_init(struct state_writer *writer)
{
	*writer = (struct state_writer){ 0 };
}

void state_writer_deinit(struct state_writer *writer)
{
	free(writer->bytes);
	*writer = (struct state_writer){ 0 };
}

static void state_reserve(struct state_writer *writer, size_t size)
{
	size_t capacity = MAX(writer->capacity, (size_t)4096);
	uint8_t *bytes;

	if (size > STATE_SIZE_MAX - writer->size) {
		writer->error = -EFBIG;
		return;
	}
	while (capacity < writer->size + size)
		capacity *= 2;
	if (capacity == writer->capacity)
		return;
	bytes = realloc(writer->bytes, capacity);
	if (!bytes) {
		writer->error = -ENOMEM;
		return;
	}
	writer->bytes = bytes;
	writer->capacity = capacity;
}

void state_put(struct state_writer *writer, const void *state, size_t size)
{
	if (writer->error == 0)
		state_reserve(writer, size);
	if (writer->error != 0 || size == 0)
		return;
	memcpy(writer->bytes + writer->size, state, size);
	writer->size += size;
}

static void state_pad(struct state_writer *writer)
{
	static const uint8_t zeros[ALIGNMENT];

	state_put(writer, zeros, ALIGN_UP(writer->size, (size_t)ALIGNMENT) - writer->size);
}

void state_begin(struct state_writer *writer, const char *name, uint16_t version)
{
	struct state_header header = { .version = version, .name_size = (uint16_t)strlen(name) };

	assert(header.name_size > 0 && header.name_size <= STATE_NAME_MAX);
	writer->record = writer->size;
	state_put(writer, &header, sizeof(header));
	state_put(writer, name, header.name_size);
	state_pad(writer);
}

void state_end(struct state_writer *writer)
{
	struct state_header header;
	size_t payload;

	if (writer->error != 0)
		return;
	memcpy(&header, writer->bytes + writer->record, sizeof(header));
	payload = writer->record + sizeof(header) + ALIGN_UP(header.name_size, ALIGNMENT);
	header.size = (uint32_t)(writer->size - payload);
	memcpy(writer->bytes + writer->record, &header, sizeof(header));
	state_pad(writer);
}

int state_writer_error(const struct state_writer *writer)
{
	return writer->error;
}

/* ---- Reading ---- */

/* A record as it lies in the reader's bytes. */
struct state_place {
	struct state_header header;
	const char *name;
	const uint8_t *payload;
};

/* The record at *offset, which is moved on. Return: 0; STATE_E_ABSENT: the end; STATE_E_INVALID. */
static int state_next(const struct state_reader *reader, size_t *offset,
		      struct state_place *ret_place)
{
	size_t left = reader->size - *offset, name_room, payload_room;
	struct state_place place;

	if (left == 0)
		return STATE_E_ABSENT;
	if (left < sizeof(place.header))
		return STATE_E_INVALID;
	memcpy(&place.header, reader->bytes + *offset, sizeof(place.header));
	left -= sizeof(place.header);
	name_room = ALIGN_UP((size_t)place.header.name_size, (size_t)ALIGNMENT);
	payload_room = ALIGN_UP((size_t)place.header.size, (size_t)ALIGNMENT);
	if (place.header.name_size == 0 || place.header.name_size > STATE_NAME_MAX ||
	    left < name_room || left - name_room < payload_room)
		return STATE_E_INVALID;
	place.name = (const char *)reader->bytes + *offset + sizeof(place.header);
	place.payload = (const uint8_t *)place.name + name_room;
	*offset += sizeof(place.header) + name_room + payload_room;
	*ret_place = place;
	return 0;
}

int state_reader_init(struct state_reader *reader, const void *bytes, size_t size)
{
	struct state_place place;
	size_t offset = 0;
	int r;

	*reader = (struct state_reader){ .bytes = bytes, .size = size };
	if (size > STATE_SIZE_MAX)
		return STATE_E_INVALID;
	do
		r = state_next(reader, &offset, &place);
	while (r == 0);
	return r == STATE_E_ABSENT ? 0 : r;
}

int state_find(const struct state_reader *reader, const char *name, uint16_t version_max,
	       struct state_record *ret_record)
{
	struct state_place place;
	size_t offset = 0;
	int r;

	for (;;) {
		r = state_next(reader, &offset, &place);
		if (r)
			return r;
		if (place.header.name_size == strlen(name) &&
		    memcmp(place.name, name, place.header.name_size) == 0)
			break;
	}
	if (place.header.version == 0 || place.header.version > version_max)
		return STATE_E_VERSION;
	*ret_record = (struct state_record){ .version = place.header.version,
					     .at = place.payload,
					     .left = place.header.size };
	return 0;
}

const void *state_take(struct state_record *record, size_t size)
{
	const uint8_t *at = record->at;

	if (size > record->left)
		return NULL;
	record->at += size;
	record->left -= size;
	return at;
}

int state_get(struct state_record *record, void *state, size_t size)
{
	const void *at = state_take(record, size);

	if (!at)
		return STATE_E_INVALID;
	if (size > 0)
		memcpy(state, at, size);
	return 0;
}

int state_open(const struct state_reader *reader, const char *name, uint16_t version_max,
	       void *state, size_t size, struct state_record *ret_record)
{
	int r = state_find(reader, name, version_max, ret_record);

	return r ? r : state_get(ret_record, state, size);
}
