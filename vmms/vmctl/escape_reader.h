/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is written to a terminal, taken apart into characters, controls and sequences (ECMA-48).
 *
 * Any bytes, cut anywhere, make tokens: what is not UTF-8 is U+FFFD. Strings for the terminal, such
 * as a title (OSC, DCS, SOS, PM, APC, and ESC k of screen), are left out, and so is what is of no
 * known form. A sequence that has not ended after ESCAPE_SEQUENCE_MAX bytes is given up, and what
 * follows is text again. Nothing is allocated; all numbers are bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESCAPE_SEQUENCE_MAX   4096
#define ESCAPE_PARAMETERS_MAX 16   /* those behind are left out */
#define ESCAPE_PARAMETER_MAX  9999 /* a greater number is this one */

enum escape_kind {
	ESCAPE_NONE,
	ESCAPE_CHARACTER, /* from U+0020 on, but not U+007F */
	ESCAPE_CONTROL,   /* below U+0020, or U+007F */
	ESCAPE_SIMPLE,    /* ESC, maybe an intermediate byte, and a final one */
	ESCAPE_CSI,       /* ESC [, parameters, maybe an intermediate byte, and a final one */
};

struct escape_token {
	enum escape_kind kind;
	uint32_t character; /* or the control */
	char prefix;        /* of the parameters: one of < = > ?, or NUL */
	char intermediate;  /* or NUL */
	char final;
	unsigned parameters[ESCAPE_PARAMETERS_MAX]; /* 0: not given */
};

/* Zeroed, it is at the beginning of text. */
struct escape_reader {
	enum { READER_TEXT, READER_ESCAPE, READER_CSI, READER_OSC, READER_STRING } state;
	struct escape_token token; /* that is being read */
	unsigned parameter;        /* that is being read; beyond the last: left out */
	unsigned length;           /* bytes of the sequence, so far */
	bool unknown;              /* the sequence has no known form */
	bool palette;  /* it sets a colour of Linux's console, and has no end of its own */
	char bytes[4]; /* of a character, which is not whole yet */
	unsigned byte_count, bytes_needed;
};

/*
 * Takes bytes until there is a token. *ret_token: its kind is ESCAPE_NONE if there is none yet; all
 * bytes have been taken then. Return: bytes taken, which may be none if there is a token.
 */
size_t escape_reader_next(struct escape_reader *reader, const char *bytes, size_t size,
			  struct escape_token *ret_token);
