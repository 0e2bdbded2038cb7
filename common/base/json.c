/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON text into a tree that knows its lines.
 *
 * json-c parses, but it tells nobody on which line a value was, and takes the last of two equal
 * keys in silence. So a second pass walks the text, which is known to be valid by then, in step
 * with the tree: it notes the line of each value in the value itself (as its user data), and a
 * value whose line is already set was named twice.
 *
 * How many values a text has is counted before json-c sees it: each but the document comes after a
 * brace, a bracket or a comma. What is no JSON may be counted wrongly, and is refused later.
 */
#include "common/base/json.h"

#include "common/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json_visit.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void json_error_describe(const char *path, unsigned line, const char *key, const char *message,
			 char *buffer, size_t size)
{
	char number[16] = "";

	if (line > 0)
		snprintf(number, sizeof(number), ":%u", line);
	snprintf(buffer, size, "%s%s: %s%s%s", path, number, key, *key != '\0' ? " " : "", message);
}

struct scanner {
	const char *at, *end;
	int line;
	struct json_reader reader;
};

static int scan_value(struct scanner *scanner, struct json_object *value, bool named);

static int scanner_refuse(struct scanner *scanner, const char *format, ...) PRINTF_LIKE(2, 3);

static int scanner_refuse(struct scanner *scanner, const char *format, ...)
{
	struct json_error *error = scanner->reader.error;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	memcpy(error->key, scanner->reader.path, sizeof(error->key));
	error->line = scanner->line;
	return -EINVAL;
}

/* The next character that is not blank, or '\0' at the end. */
static char scan_blank(struct scanner *scanner)
{
	for (; scanner->at < scanner->end; scanner->at++) {
		if (*scanner->at == '\n')
			scanner->line++;
		else if (!strchr(" \t\r", *scanner->at))
			return *scanner->at;
	}
	return '\0';
}

/* The second digit of the halves: U+D800 to U+DBFF, U+DC00 to U+DFFF. */
#define HIGH_SURROGATE "89ab"
#define LOW_SURROGATE  "cdef"

/* Whether the text goes on with an escape of such a half. */
static bool is_surrogate(const char *text, const char *end, const char *second)
{
	return end - text >= 6 && text[0] == '\\' && text[1] == 'u' &&
	       tolower((unsigned char)text[2]) == 'd' &&
	       strchr(second, tolower((unsigned char)text[3]));
}

/*
 * Steps over what follows a backslash, which may be a quote. Half a surrogate pair stands for no
 * character; json-c would put another in its place.
 */
static int scan_escape(struct scanner *scanner)
{
	const char *at = scanner->at, *end = scanner->end;

	if (end - at >= 6 && memcmp(at, "\\u0000", 6) == 0)
		return scanner_refuse(scanner, "strings hold no NUL characters");
	if (is_surrogate(at, end, LOW_SURROGATE) ||
	    (is_surrogate(at, end, HIGH_SURROGATE) && !is_surrogate(at + 6, end, LOW_SURROGATE)))
		return scanner_refuse(scanner,
				      "%.6s is half a character; write both halves of its pair, or "
				      "the character itself",
				      at);
	scanner->at += is_surrogate(at, end, HIGH_SURROGATE) ? 11 : 1;
	return 0;
}

/* Steps over a string, whose text is put where ret_text points, without its quotes. */
static int scan_string(struct scanner *scanner, const char **ret_text, size_t *ret_size)
{
	const char *begin = ++scanner->at;
	int r;

	for (; scanner->at < scanner->end && *scanner->at != '"'; scanner->at++) {
		if ((unsigned char)*scanner->at < 0x20)
			return scanner_refuse(scanner, "strings hold no control characters; write "
						       "them as \\n, \\t or \\u00xx");
		if (*scanner->at != '\\')
			continue;
		r = scan_escape(scanner);
		if (r < 0)
			return r;
	}
	*ret_text = begin;
	*ret_size = (size_t)(scanner->at - begin);
	if (scanner->at < scanner->end)
		scanner->at++;
	return 0;
}

static int scan_key(struct scanner *scanner, char key[static sizeof(scanner->reader.path)])
{
	const char *text;
	size_t size;
	int r;

	r = scan_string(scanner, &text, &size);
	if (r < 0)
		return r;
	if (size >= sizeof(scanner->reader.path) || memchr(text, '\\', size))
		return scanner_refuse(scanner, "a key is too long or written with escapes; keys "
					       "are short plain names");
	memcpy(key, text, size);
	key[size] = '\0';
	return 0;
}

static int scan_object(struct scanner *scanner, struct json_object *object)
{
	char key[sizeof(scanner->reader.path)];
	struct json_object *member;
	size_t mark;
	int r;

	scanner->at++;
	while (scan_blank(scanner) == '"') {
		r = scan_key(scanner, key);
		if (r < 0)
			return r;
		mark = json_enter_key(&scanner->reader, key);
		scan_blank(scanner);
		scanner->at++; /* the colon */
		if (!json_object_is_type(object, json_type_object) ||
		    !json_object_object_get_ex(object, key, &member))
			member = NULL;
		r = scan_value(scanner, member, true);
		if (r < 0)
			return r;
		json_leave(&scanner->reader, mark);
		if (scan_blank(scanner) == ',')
			scanner->at++;
	}
	scanner->at++;
	return 0;
}

static int scan_array(struct scanner *scanner, struct json_object *array)
{
	struct json_object *element;
	size_t mark;
	int r;

	scanner->at++;
	for (size_t i = 0; scan_blank(scanner) != ']' && scanner->at < scanner->end; i++) {
		element = json_object_is_type(array, json_type_array)
				  ? json_object_array_get_idx(array, i)
				  : NULL;
		mark = json_enter_index(&scanner->reader, i);
		r = scan_value(scanner, element, false);
		if (r < 0)
			return r;
		json_leave(&scanner->reader, mark);
		if (scan_blank(scanner) == ',')
			scanner->at++;
	}
	scanner->at++;
	return 0;
}

static void scan_digits(struct scanner *scanner)
{
	while (scanner->at < scanner->end && isdigit((unsigned char)*scanner->at))
		scanner->at++;
}

static bool scan_one_of(struct scanner *scanner, const char *characters)
{
	if (scanner->at == scanner->end || !strchr(characters, *scanner->at))
		return false;
	scanner->at++;
	return true;
}

/* true, false and numbers. json-c lets through some that RFC 8259 does not have. */
static int scan_scalar(struct scanner *scanner)
{
	const char *begin = scanner->at;
	size_t left = (size_t)(scanner->end - scanner->at);

	if ((left >= 4 && memcmp(begin, "true", 4) == 0) ||
	    (left >= 5 && memcmp(begin, "false", 5) == 0)) {
		scanner->at += *begin == 't' ? 4 : 5;
		return 0;
	}
	scan_one_of(scanner, "-");
	if (!scan_one_of(scanner, "0")) {
		begin = scanner->at;
		scan_digits(scanner);
		if (scanner->at == begin)
			return scanner_refuse(scanner, "is not a number, string, true or false");
	}
	if (scan_one_of(scanner, "."))
		scan_digits(scanner);
	if (scan_one_of(scanner, "eE")) {
		scan_one_of(scanner, "+-");
		scan_digits(scanner);
	}
	if (scanner->at < scanner->end && !strchr(",]} \t\r\n", *scanner->at))
		return scanner_refuse(scanner, "is not a number, string, true or false");
	return 0;
}

/* value: its place in the tree; NULL under an earlier twin, which the tree does not show. */
static int scan_value(struct scanner *scanner, struct json_object *value, bool named)
{
	const char *text;
	size_t size;
	char first = scan_blank(scanner);

	if (value && named && json_line(value) != 0)
		return scanner_refuse(scanner, "is given twice; keep one of the two");
	if (value)
		json_object_set_serializer(value, NULL, (void *)(intptr_t)scanner->line, NULL);
	if (first == '{')
		return scan_object(scanner, value);
	if (first == '[')
		return scan_array(scanner, value);
	if (first == '"')
		return scan_string(scanner, &text, &size);
	if (first == 'n')
		return scanner_refuse(scanner, "null is not a value here; leave the key out");
	return scan_scalar(scanner);
}

/* json-c keeps the digits of a fraction where the line goes. */
static int clear_line(struct json_object *value, int flags, struct json_object *parent,
		      const char *key, size_t *index, void *data)
{
	if (value && !(flags & JSON_C_VISIT_SECOND))
		json_object_set_serializer(value, NULL, NULL, NULL);
	return JSON_C_VISIT_RETURN_CONTINUE;
}

static int set_lines(const char *text, size_t size, struct json_object *object,
		     struct json_error *ret_error)
{
	struct scanner scanner = {
		.at = text, .end = text + size, .line = 1, .reader = JSON_READER(ret_error)
	};

	json_c_visit(object, 0, clear_line, NULL);
	return scan_value(&scanner, object, false);
}

/* offset: where reading came to its end. */
static int parse_failed(const char *text, size_t offset, const char *why,
			struct json_error *ret_error)
{
	*ret_error = (struct json_error){ .line = 1 };
	for (size_t i = 0; i < offset; i++)
		ret_error->line += text[i] == '\n';
	snprintf(ret_error->message, sizeof(ret_error->message), "not JSON: %s", why);
	return -EINVAL;
}

static int parse_text(struct json_tokener *tokener, const char *text, size_t size,
		      struct json_object **ret_object, struct json_error *ret_error)
{
	struct json_object *object;
	enum json_tokener_error error;
	size_t end;

	object = json_tokener_parse_ex(tokener, text, (int)size);
	error = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	if (error == json_tokener_continue)
		return parse_failed(text, size, "the text ends too early", ret_error);
	if (error != json_tokener_success)
		return parse_failed(text, end, json_tokener_error_desc(error), ret_error);
	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return parse_failed(text, 0, "the document must be an object, { … }", ret_error);
	}
	*ret_object = object;
	return 0;
}

/* At most that many values, and one for each empty object or array. */
static size_t count_values(const char *text, size_t size)
{
	bool in_string = false;
	size_t count = 1;

	for (size_t i = 0; i < size; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '{' || text[i] == '[' || text[i] == ','))
			count++;
	}
	return count;
}

/* Return: 0; -EINVAL with *ret_error. */
static int check_text(const char *text, size_t size, const struct json_bounds *bounds,
		      struct json_error *ret_error)
{
	size_t most = MIN(bounds->size, (size_t)INT32_MAX);
	const char *nul;
	size_t prefix;
	char why[96];

	if (size > most) {
		snprintf(why, sizeof(why), "the text has more than %zu bytes", most);
		return parse_failed(text, 0, why, ret_error);
	}
	nul = memchr(text, '\0', size);
	if (nul)
		return parse_failed(text, (size_t)(nul - text), "there is a NUL character",
				    ret_error);
	prefix = text_utf8_prefix(text, size);
	if (prefix != size)
		return parse_failed(text, prefix, "there are bytes that are not UTF-8", ret_error);
	if (count_values(text, size) > bounds->values) {
		snprintf(why, sizeof(why), "there are more than %zu values", bounds->values);
		return parse_failed(text, 0, why, ret_error);
	}
	return 0;
}

int json_parse_bounded(const char *text, size_t size, const struct json_bounds *bounds,
		       struct json_object **ret_object, struct json_error *ret_error)
{
	AUTO_JSON struct json_object *object = NULL;
	struct json_tokener *tokener;
	int r;

	r = check_text(text, size, bounds, ret_error);
	if (r < 0)
		return r;
	tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	r = parse_text(tokener, text, size, &object, ret_error);
	json_tokener_free(tokener);
	if (r == 0)
		r = set_lines(text, size, object, ret_error);
	if (r < 0)
		return r;
	*ret_object = TAKE_PTR(object);
	return 0;
}

int json_parse(const char *text, size_t size, struct json_object **ret_object,
	       struct json_error *ret_error)
{
	const struct json_bounds bounds = { .size = JSON_SIZE_MAX, .values = JSON_VALUES_MAX };

	return json_parse_bounded(text, size, &bounds, ret_object, ret_error);
}

bool json_equal(struct json_object *a, struct json_object *b)
{
	AUTO_JSON struct json_object *tree_a = a;
	AUTO_JSON struct json_object *tree_b = b;

	return tree_a && tree_b && json_object_equal(tree_a, tree_b);
}

/* ---- What differs ---- */

static int append_key(struct json_object **keys, const char *outer, const char *inner)
{
	char key[128];

	snprintf(key, sizeof(key), "%s%s%s", outer ? outer : "", outer ? "." : "", inner);
	json_append(keys, json_object_new_string(key));
	return *keys ? 0 : -ENOMEM;
}

/* Of two objects, the members that differ; a member that one lacks differs. */
static int compare(struct json_object *a, struct json_object *b, const char *outer,
		   struct json_object **keys);

static int compare_member(struct json_object *a, struct json_object *b, const char *outer,
			  const char *name, struct json_object **keys)
{
	if (json_object_equal(a, b))
		return 0;
	if (!outer && json_object_is_type(a, json_type_object) &&
	    json_object_is_type(b, json_type_object))
		return compare(a, b, name, keys);
	return append_key(keys, outer, name);
}

static int compare(struct json_object *a, struct json_object *b, const char *outer,
		   struct json_object **keys)
{
	struct json_object *other;
	int r = 0;

	json_object_object_foreach(a, name, value)
	{
		if (r == 0)
			r = compare_member(value, json_object_object_get(b, name), outer, name,
					   keys);
	}
	json_object_object_foreach(b, name_of_b, value_of_b)
	{
		if (r == 0 && !json_object_object_get_ex(a, name_of_b, &other))
			r = compare_member(NULL, value_of_b, outer, name_of_b, keys);
	}
	return r;
}

struct json_object *json_differing_keys(struct json_object *a, struct json_object *b)
{
	struct json_object *keys = json_object_new_array();

	if (a && b && keys && compare(a, b, NULL, &keys) == 0)
		return keys;
	json_object_put(keys);
	return NULL;
}

int json_line(struct json_object *value)
{
	return value ? (int)(intptr_t)json_object_get_userdata(value) : 0;
}
