/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text that others wrote: is it UTF-8, and how is it shown without harm.
 *
 * Whatever came from a guest, a worker, a file name or a definition passes text_escape() before it
 * reaches a terminal or a log. Printable text stays as it is; the rest becomes visible: control
 * characters and bytes that are not UTF-8 as \x1b, line and direction controls as \u202e, a
 * backslash as \\.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same text, or both NULL. */
bool text_equal(const char *a, const char *b);

/*
 * The character of UTF-8 at the beginning of `size` bytes, at least one, or -1. *ret_length: bytes
 * that it takes; 1 where it is none.
 */
int32_t text_utf8_decode(const char *bytes, size_t size, size_t *ret_length);

/* A character, at most U+10FFFF, as UTF-8. Return: bytes, 1 to TEXT_UTF8_MAX. */
#define TEXT_UTF8_MAX 4
size_t text_utf8_encode(char form[TEXT_UTF8_MAX], uint32_t character);

/* Well-formed UTF-8: nothing overlong, no surrogates, at most U+10FFFF. */
bool text_is_utf8(const char *text, size_t size);

/* How many bytes at the beginning of text are whole characters of UTF-8. */
size_t text_utf8_prefix(const char *text, size_t size);

/* Characters that move the cursor, end a line or turn the direction of writing, or are no text. */
bool text_is_control(uint32_t character);

/*
 * Copies `size` bytes and a NUL to buffer as UTF-8: '?' stands in for what is none and for NULs,
 * and what does not fit is cut off at a whole character. buffer_size: at least 1. Return: bytes
 * written, without the NUL.
 */
size_t text_repair(char *buffer, size_t buffer_size, const char *text, size_t size);

/*
 * Writes the escaped form of `size` bytes and a NUL to buffer, cut short at a whole character if
 * it does not fit. buffer_size: at least 1. Return: bytes written, without the NUL.
 */
size_t text_escape(char *buffer, size_t buffer_size, const char *text, size_t size);

/* The same, whole, in memory that the caller frees; NULL without memory. */
char *text_escape_new(const char *text, size_t size);

/*
 * The same for JSON text, in which controls become \u escapes of JSON: it stays the same document.
 */
char *text_escape_json_new(const char *json, size_t size);

/* Characters of valid UTF-8, which is near enough to the columns that a terminal uses. */
size_t text_columns(const char *text);
