/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is written to a terminal, taken apart. */
#include "vmms/vmctl/escape_reader.h"

#include "common/base/cc.h"
#include "common/base/text.h"

#define BEL         0x07
#define CAN         0x18
#define SUB         0x1a
#define ESC         0x1b
#define DEL         0x7f
#define REPLACEMENT 0xfffd

#define PALETTE_LENGTH 8 /* bytes: P, and seven digits */

/* ---- Characters ---- */

static bool reader_emit(struct escape_token *token, enum escape_kind kind, uint32_t character)
{
	*token = (struct escape_token){ .kind = kind, .character = character };
	return true;
}

static void reader_begin_character(struct escape_reader *reader, uint8_t byte,
				   struct escape_token *ret_token)
{
	if (byte < 0xc2 || byte > 0xf4) {
		reader_emit(ret_token, ESCAPE_CHARACTER, REPLACEMENT);
		return;
	}
	reader->bytes[0] = (char)byte;
	reader->byte_count = 1;
	reader->bytes_needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/* Return: false: the byte is of something else, and not taken. */
static bool reader_continue_character(struct escape_reader *reader, uint8_t byte,
				      struct escape_token *ret_token)
{
	bool taken = (byte & 0xc0) == 0x80;
	int32_t character = -1;
	size_t length;

	if (taken)
		reader->bytes[reader->byte_count++] = (char)byte;
	if (taken && reader->byte_count < reader->bytes_needed)
		return true;
	if (taken)
		character = text_utf8_decode(reader->bytes, reader->byte_count, &length);
	reader_emit(ret_token, ESCAPE_CHARACTER, character < 0 ? REPLACEMENT : (uint32_t)character);
	reader->byte_count = 0;
	return taken;
}

static void reader_take_text(struct escape_reader *reader, uint8_t byte,
			     struct escape_token *ret_token)
{
	if (byte < 0x20 || byte == DEL)
		reader_emit(ret_token, ESCAPE_CONTROL, byte);
	else if (byte < 0x80)
		reader_emit(ret_token, ESCAPE_CHARACTER, byte);
	else
		reader_begin_character(reader, byte, ret_token);
}

/* ---- Sequences ---- */

static void reader_begin_sequence(struct escape_reader *reader)
{
	reader->state = READER_ESCAPE;
	reader->token = (struct escape_token){ .kind = ESCAPE_SIMPLE };
	reader->parameter = 0;
	reader->length = 0;
	reader->unknown = false;
	reader->palette = false;
}

static void reader_end_sequence(struct escape_reader *reader, uint8_t final,
				struct escape_token *ret_token)
{
	reader->state = READER_TEXT;
	reader->token.final = (char) final;
	if (!reader->unknown)
		*ret_token = reader->token;
}

static void reader_take_intermediate(struct escape_reader *reader, uint8_t byte)
{
	if (reader->token.intermediate != '\0')
		reader->unknown = true;
	reader->token.intermediate = (char)byte;
}

/* The byte after ESC, or after intermediates. */
static void reader_take_escape(struct escape_reader *reader, uint8_t byte,
			       struct escape_token *ret_token)
{
	if (byte < 0x30) {
		reader_take_intermediate(reader, byte);
		return;
	}
	switch (reader->token.intermediate == '\0' ? byte : 0) {
	case '[':
		reader->state = READER_CSI;
		reader->token.kind = ESCAPE_CSI;
		break;
	case ']':
		reader->state = READER_OSC;
		reader->length = 0;
		break;
	case 'P':
	case 'X':
	case '^':
	case '_':
	case 'k':
		reader->state = READER_STRING;
		break;
	default:
		reader_end_sequence(reader, byte, ret_token);
	}
}

static void reader_take_digit(struct escape_reader *reader, unsigned digit)
{
	unsigned *number;

	if (reader->parameter == ESCAPE_PARAMETERS_MAX)
		return;
	number = &reader->token.parameters[reader->parameter];
	*number = MIN(*number * 10 + digit, (unsigned)ESCAPE_PARAMETER_MAX);
}

/* 0x30 to 0x3f. The prefix is the first of all, and intermediates come after parameters. */
static void reader_take_parameter(struct escape_reader *reader, uint8_t byte)
{
	if (reader->token.intermediate != '\0' || byte == ':')
		reader->unknown = true;
	else if (byte >= '0' && byte <= '9')
		reader_take_digit(reader, byte - '0');
	else if (byte == ';')
		reader->parameter = MIN(reader->parameter + 1, (unsigned)ESCAPE_PARAMETERS_MAX);
	else if (reader->length == 2)
		reader->token.prefix = (char)byte;
	else
		reader->unknown = true;
}

static void reader_take_csi(struct escape_reader *reader, uint8_t byte,
			    struct escape_token *ret_token)
{
	if (byte < 0x30)
		reader_take_intermediate(reader, byte);
	else if (byte < 0x40)
		reader_take_parameter(reader, byte);
	else
		reader_end_sequence(reader, byte, ret_token);
}

/* A title or the like; or a colour of Linux's console, and that all colours are to be reset. */
static void reader_take_osc(struct escape_reader *reader, uint8_t byte)
{
	if (reader->length == 1)
		reader->palette = byte == 'P';
	if (byte == BEL || (reader->length == 1 && byte == 'R') ||
	    (reader->palette && reader->length == PALETTE_LENGTH))
		reader->state = READER_TEXT;
}

static void reader_take_string(struct escape_reader *reader, uint8_t byte)
{
	if (byte == BEL)
		reader->state = READER_TEXT;
}

/* Controls are obeyed in the midst of a sequence, but not of a string, unless they end a line. */
static bool reader_is_obeyed(const struct escape_reader *reader, uint8_t byte)
{
	return byte < 0x20 && reader->state != READER_STRING &&
	       (reader->state != READER_OSC || byte == '\n' || byte == '\r');
}

/* Return: false: the byte is text, and not taken. */
static bool reader_take_sequence(struct escape_reader *reader, uint8_t byte,
				 struct escape_token *ret_token)
{
	bool in_string = reader->state == READER_OSC || reader->state == READER_STRING;

	if (++reader->length > ESCAPE_SEQUENCE_MAX || (byte >= 0x80 && !in_string)) {
		reader->state = READER_TEXT;
		return false;
	}
	if (reader_is_obeyed(reader, byte)) {
		if (in_string)
			reader->state = READER_TEXT;
		reader->length--;
		return reader_emit(ret_token, ESCAPE_CONTROL, byte);
	}
	if (reader->state == READER_OSC)
		reader_take_osc(reader, byte);
	else if (reader->state == READER_STRING)
		reader_take_string(reader, byte);
	else if (byte == DEL)
		return true;
	else if (reader->state == READER_ESCAPE)
		reader_take_escape(reader, byte, ret_token);
	else
		reader_take_csi(reader, byte, ret_token);
	return true;
}

/* Return: false: the byte is not taken yet, but what came before is dealt with. */
static bool reader_take(struct escape_reader *reader, uint8_t byte, struct escape_token *ret_token)
{
	if (reader->byte_count > 0)
		return reader_continue_character(reader, byte, ret_token);
	if (byte == ESC) {
		reader_begin_sequence(reader);
		return true;
	}
	if (byte == CAN || byte == SUB) {
		reader->state = READER_TEXT;
		return true;
	}
	if (reader->state != READER_TEXT)
		return reader_take_sequence(reader, byte, ret_token);
	reader_take_text(reader, byte, ret_token);
	return true;
}

size_t escape_reader_next(struct escape_reader *reader, const char *bytes, size_t size,
			  struct escape_token *ret_token)
{
	size_t taken = 0;

	ret_token->kind = ESCAPE_NONE;
	while (taken < size && ret_token->kind == ESCAPE_NONE)
		taken += reader_take(reader, (uint8_t)bytes[taken], ret_token);
	return taken;
}
