/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON: text into a tree, strictly; a tree into structs, by tables; and making trees.
 *
 * json_parse() takes RFC 8259 and nothing beyond it, and refuses what is legal but ambiguous: the
 * same key twice, null, NUL characters, half a surrogate pair, nesting deeper than JSON_DEPTH_MAX.
 * Every value of the tree remembers its line. A tree takes a few hundred times the memory of its
 * text, so how large the text is, and how many values it has, is bounded before any of it is made.
 *
 * json_read() fills a struct from an object by a table of its keys: unknown keys, missing ones,
 * wrong types and values out of range are refused, each with line, key and what would be right.
 *
 * What is refused is never taken in part: the caller throws the half-filled struct away.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX  16
#define JSON_SIZE_MAX   (1024 * 1024) /* bytes of text */
#define JSON_VALUES_MAX 32768         /* objects, arrays, texts, numbers, … */

/* Where and why a text was refused. */
struct json_error {
	int line;          /* 1-based; 0 if the value did not come from a text */
	char key[128];     /* "disks[2].lun"; "" for the document */
	char message[320]; /* what is wrong and what would be right, for people */
};

/*
 * What is wrong with a file, and where: "/a.json:3: disks[2].lun is taken"; without line (0) or key
 * ("") where there is none, as in "/a.json: Permission denied". It is cut if it does not fit.
 */
#define JSON_ERROR_TEXT_MAX 5120
void json_error_describe(const char *path, unsigned line, const char *key, const char *message,
			 char *buffer, size_t size);

static inline void json_putp(struct json_object **object)
{
	json_object_put(*object);
}
#define AUTO_JSON CLEANUP(json_putp)

/* ---- Text into a tree ---- */

/* What a text may be. */
struct json_bounds {
	size_t size;   /* bytes; at most INT32_MAX counts */
	size_t values; /* all that the tree has, from the document down to the last number */
};

/*
 * size: bytes of text, which need not end in a NUL; at most JSON_SIZE_MAX, with JSON_VALUES_MAX
 * values. The document has to be an object. Return: 0; -EINVAL with *ret_error filled; -ENOMEM.
 */
int json_parse(const char *text, size_t size, struct json_object **ret_object,
	       struct json_error *ret_error) MUST_CHECK;

/* The same within other bounds. */
int json_parse_bounded(const char *text, size_t size, const struct json_bounds *bounds,
		       struct json_object **ret_object, struct json_error *ret_error) MUST_CHECK;

/* The line that a value begins on; 0 if it is not from json_parse(). */
int json_line(struct json_object *value);

/* "a string", "a whole number", …: for messages. */
const char *json_type_text(struct json_object *value);

/* Whether two trees say the same. Takes over both; NULL, for want of memory, is like nothing. */
bool json_equal(struct json_object *a, struct json_object *b);

/*
 * The keys by which two objects differ, as an array of texts: "notes", or "memory.size" of objects
 * that both have. NULL, for want of memory, also where an object is NULL.
 */
struct json_object *json_differing_keys(struct json_object *a, struct json_object *b);

/* ---- Making trees ---- */

/*
 * An object of keys and values, which it takes over; the list is closed by NULL. Return: NULL
 * without memory, which is also what a value of NULL is taken for.
 *     json_make("name", json_object_new_string(name), "lun", json_object_new_int64(lun), NULL)
 */
struct json_object *json_make(const char *key, ...) __attribute__((sentinel)) MUST_CHECK;

/*
 * Adds a member to *object, or an element to *array, and takes over the value. Without memory (or
 * if the value is NULL) the tree is freed and its pointer set to NULL, on which further additions
 * do nothing: one check at the end will do.
 */
void json_add(struct json_object **object, const char *key, struct json_object *value);
void json_append(struct json_object **array, struct json_object *value);

/* Appends a text that is made as by printf(3). */
void json_append_format(struct json_object **array, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * A text that takes at most `most` bytes as JSON, where some characters are written as six: what is
 * beyond is cut off, between characters. text: UTF-8.
 */
struct json_object *json_make_text(const char *text, size_t most) MUST_CHECK;

/* Registers and addresses, which are 64 bits wide and read in hexadecimal: the text "0x1f". */
struct json_object *json_make_hex(uint64_t value) MUST_CHECK;

/* ---- Looking into trees, whatever is there ---- */

/* The text of a member, as long as the object lives; "": it has no such member, or is no object. */
const char *json_member_text(struct json_object *object, const char *key);

/* Elements; 0 of what is no array. */
size_t json_array_size(struct json_object *array);

/* ---- A tree into structs ---- */

/* Where a reading has got to. Begins as JSON_READER(&error). */
struct json_reader {
	struct json_error *error;
	char path[sizeof(((struct json_error *)NULL)->key)];
	bool ignores_unknown; /* keys, which are else refused */
};
#define JSON_READER(error_) ((struct json_reader){ .error = (error_) })

struct json_key;

/* Reads one value into the member at `target`. Return: 0; -EINVAL by json_refuse(); -ENOMEM. */
typedef int (*json_read_fn)(struct json_reader *reader, const struct json_key *key,
			    struct json_object *value, void *target);

struct json_key {
	const char *name;
	json_read_fn read;
	size_t offset; /* of the member, in the struct given to json_read() */
	bool required;
	uint64_t minimum, maximum; /* of a number; of a string's length in bytes */
	const void *detail;        /* what `read` says */
};

/* An object. Keys that it lacks leave their member as it was, unless they are required. */
int json_read(struct json_reader *reader, struct json_object *object, const struct json_key *keys,
	      size_t key_count, void *target) MUST_CHECK;

/*
 * The same from a text of at most `most` bytes, whose tree the caller gets too. Return: as of
 * json_parse(), with nothing to free if it failed.
 */
int json_read_text(const char *text, size_t size, size_t most, const struct json_key *keys,
		   size_t key_count, void *target, struct json_object **ret_tree,
		   struct json_error *ret_error) MUST_CHECK;

/* Fills the error at the present path, with the line of `value` (may be NULL). Return: -EINVAL. */
int json_refuse(struct json_reader *reader, struct json_object *value, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Into a member or an element, for refusals to name it. Return: what json_leave() takes. */
size_t json_enter_key(struct json_reader *reader, const char *name);
size_t json_enter_index(struct json_reader *reader, size_t index);
void json_leave(struct json_reader *reader, size_t mark);

/* bool */
int json_read_bool(struct json_reader *reader, const struct json_key *key,
		   struct json_object *value, void *target);

/* unsigned, from minimum to maximum */
int json_read_unsigned(struct json_reader *reader, const struct json_key *key,
		       struct json_object *value, void *target);

/* uint64_t, from minimum to maximum (at most INT64_MAX) */
int json_read_uint64(struct json_reader *reader, const struct json_key *key,
		     struct json_object *value, void *target);

/* uint64_t, bytes: a number, or text as parse_size() takes it */
int json_read_size(struct json_reader *reader, const struct json_key *key,
		   struct json_object *value, void *target);

/* char *, allocated, the old value freed. detail: NULL, or a const struct json_text_rule */
int json_read_string(struct json_reader *reader, const struct json_key *key,
		     struct json_object *value, void *target);

struct json_text_rule {
	bool (*accepts)(const char *text);
	const char *expected; /* "must be …" */
};

/* An enum counted from 0. detail: const char *const[], its names, closed by NULL */
int json_read_enum(struct json_reader *reader, const struct json_key *key,
		   struct json_object *value, void *target);

/* Nothing: the number of a format's version has to be `minimum`. */
int json_read_version(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target);

/* struct guid */
int json_read_guid(struct json_reader *reader, const struct json_key *key,
		   struct json_object *value, void *target);

/* What json_read_bool() and the others say of a value of another type. Return: -EINVAL. */
int json_refuse_type(struct json_reader *reader, struct json_object *value, const char *expected);

/* An object inside, with the same target. detail: const struct json_key_table */
int json_read_members(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target);

struct json_key_table {
	const struct json_key *keys;
	size_t count;
};

/* struct json_object *: any value of the type in `minimum` (enum json_type); a new reference */
int json_read_value(struct json_reader *reader, const struct json_key *key,
		    struct json_object *value, void *target);
